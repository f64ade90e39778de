"""champion: every candidate and the incumbent on the same rows; the better one is released, and the reason kept."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast_assets.assets.candidates import SEQUENCE
from aerocast_assets.assets.describe import drawing, preview, report, status, utc
from aerocast_assets.keys import ONCE, key, table
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    import pyarrow as pa

    from aerocast.candidates import Candidate
    from aerocast.judging import Trial
    from aerocast.lake import Lake
    from aerocast.manifest import Manifest
    from aerocast.promotion import Decision
    from aerocast.release import Release

CODE = ("judging", "scoring", "promotion", "manifest", "release")
RETRAIN_TAG = "retrain_reason"
SLOT = "verdict"


def champion(feed: Feed, target: str) -> dg.AssetsDefinition:
    """`<feed>/<target>/champion`: the release that serves, and the tables `promotions` and `scores` behind it."""

    @dg.asset(
        key=key(feed, target, "champion"),
        deps=[key(feed, target, kind) for kind in (*feed.candidates, SEQUENCE)] + [key(feed, "windows")],
        group_name=feed.name,
        kinds={"onnx", "mlflow"},
        code_version=code_version(*CODE),
        description="Replaced only by a candidate that beats both baselines and, on the same rows, the incumbent.",
        automation_condition=ONCE,
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import candidates, judging, release, training
        from aerocast.lake import Lake
        from aerocast.windows import WindowSpec

        root, spec, lake = platform.root, WindowSpec.of(feed, target), Lake(platform.root)
        found = [each for kind in feed.candidates if (each := candidates.read(root, feed.name, target, kind))]
        sequence = candidates.read(root, feed.name, target, SEQUENCE)
        version = config_hash(
            candidates={each.kind: each.config_hash for each in found},
            sequence=sequence.config_hash if sequence else None,
            promotion=feed.promotion.model_dump(mode="json"),
            code=code_version(*CODE),
        )
        pointer = release.current(root, feed.name, target)
        incumbent = release.load(root, feed.name, target, pointer.version) if pointer else None
        verdict = version if not config.force else f"{version}@{context.run.run_id}"
        if incumbent and lake.took(table(feed, target, "promotions"), verdict, SLOT):
            context.log.info(f"unchanged: {incumbent.manifest.kind} {incumbent.version} was proven on these rows")
            return _result(incumbent.manifest, status(None) | _shown(lake, feed, target, root), version)
        with platform.sql() as con:
            samples = training.load(spec, lake.relation(con, table(feed, target, "windows")))
        trial = judging.hold(feed, spec, samples, found, incumbent)
        winner = next((each for each in found if each.kind == trial.decision.winner), None)
        serves, outcome = _release(context, root, feed, trial, winner, sequence, incumbent)
        _register(platform, feed, target, winner, outcome, promoted=outcome.promoted)
        _record(lake, feed, target, trial, outcome, serves.version if serves else None, verdict, context.run.run_id)
        context.log.info(outcome.reason)
        return _result(serves, status(trial) | _shown(lake, feed, target, root, draw=True), version)

    return asset


def _release(
    context: dg.AssetExecutionContext,
    root: Path,
    feed: Feed,
    trial: "Trial",
    winner: "Candidate | None",
    sequence: "Candidate | None",
    incumbent: "Release | None",
) -> tuple["Manifest | None", "Decision"]:
    """What serves from now on, and the decision as it is recorded."""
    from aerocast import judging, release
    from aerocast.windows import WindowSpec

    now, decision = incumbent.manifest if incumbent else None, trial.decision
    if winner and now and winner.config_hash == now.lineage.config_hash:
        reason = f"Kept: the best candidate, {winner.kind}, is what serves already ({now.version})."
        return now, msgspec.structs.replace(decision, promoted=True, reason=reason)
    decision = msgspec.structs.replace(decision, reason=decision.reason + trial.note)
    if not decision.promoted or winner is None:
        return now, decision
    reason = context.run.tags.get(RETRAIN_TAG) or ("first champion" if incumbent is None else "refresh")
    made = judging.manifest(
        feed, WindowSpec.of(feed, winner.target), (winner, sequence), trial, context.run.run_id, reason
    )
    version = release.write(root, made, judging.files(winner, sequence))
    release.promote(root, feed.name, winner.target, version)
    return release.load(root, feed.name, winner.target, version).manifest, decision


def _register(
    platform: Platform, feed: Feed, target: str, winner: "Candidate | None", outcome: "Decision", *, promoted: bool
) -> None:
    """The best candidate is registered either way, with why; the alias moves only to a promoted one."""
    from aerocast.tracking import Tracker, model_name

    if winner is None:
        return
    tracker, name = Tracker(platform.root), model_name(feed.name, target)
    tags = {
        "verdict": "promoted" if promoted else "refused",
        "reason": outcome.reason,
        "config_hash": winner.config_hash,
    }
    version = tracker.register(name, winner.mlflow_run_id, winner.model_uri, tags)
    if promoted:
        tracker.champion(name, version)


def _record(
    lake: "Lake",
    feed: Feed,
    target: str,
    trial: "Trial",
    outcome: "Decision",
    version: str | None,
    verdict: str,
    run_id: str,
) -> None:
    """Appends scores, then the decision, whose segment marks the whole step as done."""
    import pyarrow as pa

    now = datetime.now(UTC)
    common = {"decided_at": now, "verdict": verdict, "month": f"{now:%Y-%m}"}
    scores = [{**msgspec.to_builtins(score), **common} for score in trial.scores]
    for row in scores:
        shares = trial.coverage.get(row["model"])
        at = feed.horizons.index(row["horizon"]) if row["horizon"] else None
        row["coverage"] = shares[at] if shares and at is not None and row["station"] == "all" else None
    decision = {
        **msgspec.to_builtins(outcome),
        "version": version,
        "run_id": run_id,
        "test_rows": len(trial.samples.time),
        "test_start": utc(trial.start),
        "test_end": utc(trial.end),
        **common,
    }
    lake.append(table(feed, target, "scores"), pa.Table.from_pylist(scores), verdict, SLOT)
    lake.append(table(feed, target, "promotions"), pa.Table.from_pylist([decision], _decisions()), verdict, SLOT)


def _decisions() -> "pa.Schema":
    """Columns of the promotions table, typed: a first row may hold nothing but nulls in some."""
    import pyarrow as pa

    time, text, number = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
    return pa.schema(
        [
            *(("decided_at", time), ("promoted", pa.bool_()), ("winner", text), ("version", text), ("reason", text)),
            *(("composite", number), ("skill", number), ("incumbent_composite", number), ("gain", number)),
            *(("test_rows", pa.int64()), ("test_start", time), ("test_end", time)),
            *(("run_id", text), ("verdict", text), ("month", text)),
        ]
    )


def _shown(lake: "Lake", feed: Feed, target: str, root: Path, *, draw: bool = False) -> dict[str, Any]:
    """The newest decision as its tables keep it, so that it is seen too when nothing had to be decided."""
    import duckdb

    from aerocast import plots
    from aerocast.scoring import Score

    with duckdb.connect() as con:
        newest = {
            name: rows.filter(f"delivery = {rows.max('delivery').fetchall()[0][0]}").to_arrow_table().to_pylist()
            for name in ("scores", "promotions")
            for rows in [lake.relation(con, table(feed, target, name))]
        }
    (decision,), rows = newest["promotions"], newest["scores"]
    span = f"{decision['test_start']:%Y-%m-%d} to {decision['test_end']:%Y-%m-%d}"
    title = f"{target}: skill on {decision['test_rows']:,} test rows, {span}"
    figure = plots.skills([msgspec.convert(row, Score) for row in rows], feed.horizons, title) if draw else None
    tables = tables_of_scores(rows, feed.horizons)
    return {
        "decision": decision["reason"],
        "promoted": decision["promoted"],
        "scores": preview(tables["skill"]),
        f"mae_{feed.column(target).unit}": preview(tables["mae"]),
        "interval_coverage": preview(tables["coverage"]),
        **drawing(report(root, feed.name, target, "skill"), "skill", figure),
        "test_rows": decision["test_rows"],
        "test_start": str(decision["test_start"]),
        "test_end": str(decision["test_end"]),
    }


def tables_of_scores(scores: Sequence[Mapping[str, Any]], horizons: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """A table each of `skill` (with the composite), `mae` and `coverage`: one row a model, best first, all stations."""
    pooled = {(row["model"], row["horizon"]): row for row in scores if row["station"] == "all"}
    models = sorted({model for model, _ in pooled}, key=lambda model: float(pooled[model, 0]["composite"]))

    def rows(number: str, digits: str) -> list[dict[str, Any]]:
        cells = {model: [pooled[model, horizon][number] for horizon in horizons] for model in models}
        heads = [f"{number} at {horizon}" for horizon in horizons]
        shown = {model: ["" if cell is None else format(cell, digits) for cell in cells[model]] for model in models}
        return [{"model": model, **dict(zip(heads, shown[model], strict=True))} for model in models]

    skill = [{**row, "composite": format(pooled[row["model"], 0]["composite"], ".4f")} for row in rows("skill", "+.3f")]
    return {"skill": skill, "mae": rows("mae", ".3f"), "coverage": rows("coverage", ".1%")}


def _result(serves: "Manifest | None", shown: dict[str, Any], version: str) -> dg.MaterializeResult[None]:
    metadata = dict(shown)
    if serves:
        lineage = serves.lineage
        metadata |= {
            "release": serves.version,
            "kind": serves.kind,
            "config_hash": lineage.config_hash,
            "trained_to": str(lineage.training_end),
            "delta_versions": dg.MetadataValue.json(lineage.delta_versions),
            "skill_overall": round(serves.metrics.overall.skill, 4),
        }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version))
