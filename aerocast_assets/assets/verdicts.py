"""The append-only tables behind a champion, `promotions` and `scores`: what is written there, and how it is shown."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from aerocast.feed import Feed
from aerocast.storage.home import Home
from aerocast.times import from_numpy
from aerocast_assets.assets.describe import drawing, preview, report
from aerocast_assets.keys import table

if TYPE_CHECKING:
    import pyarrow as pa

    from aerocast.judging import Trial
    from aerocast.lake import Lake
    from aerocast.manifest import Manifest
    from aerocast.promotion import Decision

SLOT = "verdict"
RELEASES = 20  # newest ones that are shown


class Context(msgspec.Struct, frozen=True):
    """Why a decision was asked for, and between which releases it was; `version` is what serves afterwards.

    `feed_time` is the feed's own present (see `aerocast.clock`), `hold` a person's hold on what serves afterwards.
    """

    run_id: str
    feed_time: datetime
    retrain_reason: str | None = None
    since: datetime | None = None
    version: str | None = None
    challenger: str | None = None
    incumbent: str | None = None
    hold: str | None = None


def record(
    lake: "Lake", feed: Feed, target: str, trial: "Trial", outcome: "Decision", context: Context, verdict: str
) -> None:
    """Appends scores, then the decision, whose segment marks the whole step as done."""
    import pyarrow as pa

    common = _common(verdict)
    scores = [{**msgspec.to_builtins(score), **common} for score in trial.scores]
    for row in scores:
        shares = trial.coverage.get(row["model"])
        at = feed.horizons.index(row["horizon"]) if row["horizon"] else None
        row["coverage"] = shares[at] if shares and at is not None and row["station"] == "all" else None
    decision = {
        **msgspec.to_builtins(outcome),
        **msgspec.structs.asdict(context),
        "test_rows": len(trial.samples.time),
        "test_start": from_numpy(trial.start),
        "test_end": from_numpy(trial.end),
        **common,
    }
    lake.append(table(feed, target, "scores"), pa.Table.from_pylist(scores), verdict, SLOT)
    lake.append(table(feed, target, "promotions"), pa.Table.from_pylist([decision], _decisions()), verdict, SLOT)


def record_choice(
    lake: "Lake",
    feed: Feed,
    target: str,
    chosen: "Manifest",
    context: Context,
    reason: str,
    verdict: str,
    segment: str,
    *,
    promoted: bool = True,
) -> None:
    """Appends that a release was chosen to serve (or its hold lifted), without a trial; once a segment."""
    import pyarrow as pa

    overall = chosen.metrics.overall
    row = {
        **msgspec.structs.asdict(context),
        "promoted": promoted,
        "winner": chosen.kind,
        "reason": reason,
        "composite": overall.composite,
        "skill": overall.skill,
        **_common(verdict),
    }
    lake.append(table(feed, target, "promotions"), pa.Table.from_pylist([row], _decisions()), segment)


def _common(verdict: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"decided_at": now, "verdict": verdict, "month": f"{now:%Y-%m}"}


def _decisions() -> "pa.Schema":
    """Columns of the promotions table, typed: a first row may hold nothing but nulls in some."""
    import pyarrow as pa

    time, text, number = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
    return pa.schema(
        [
            *(("decided_at", time), ("promoted", pa.bool_()), ("winner", text), ("version", text), ("reason", text)),
            *(("composite", number), ("skill", number), ("incumbent_composite", number), ("gain", number)),
            *(("p_value", number), ("statistic", number), ("incumbent", text), ("challenger", text)),
            *(("retrain_reason", text), ("since", time), ("feed_time", time)),
            *(("test_rows", pa.int64()), ("test_start", time), ("test_end", time)),
            *(("run_id", text), ("verdict", text), ("hold", text), ("month", text)),
        ]
    )


def newest(lake: "Lake", feed: Feed, target: str, *, judged: bool = False) -> dict[str, Any] | None:
    """The newest row of promotions, or the newest that a trial decided; None if there is none."""
    import duckdb

    name = table(feed, target, "promotions")
    if not lake.exists(name):
        return None
    with duckdb.connect() as con:
        rows = lake.relation(con, name)
        if judged:
            rows = rows.filter("test_rows IS NOT NULL")
        found: list[dict[str, Any]] = rows.order("delivery DESC").limit(1).to_arrow_table().to_pylist()
    return found[0] if found else None


def shown(lake: "Lake", feed: Feed, target: str, root: Home, trial: "Trial | None" = None) -> dict[str, Any]:
    """The newest decision as its tables keep it, so that it is seen too when nothing had to be decided.

    Pictures are drawn of a new trial, and otherwise shown as they were last.
    """
    from aerocast import plots, release
    from aerocast_assets.assets.releases import releases

    found: dict[str, Any] = {"releases": preview(releases(root, feed, target, RELEASES))}
    if (pointer := release.current(root, feed.name, target)) and (hold := pointer.active_hold):
        found["hold"] = str(hold)
    decision, judged = newest(lake, feed, target), newest(lake, feed, target, judged=True)
    if decision is None:
        return found
    found |= {"decision": decision["reason"], "verdict": _verdict(decision), "promoted": decision["promoted"]}
    # Rows of older tables have no such columns.
    for name in ("p_value", "statistic", "gain", "retrain_reason", "incumbent", "challenger"):
        if decision.get(name) is not None:
            found[name] = decision[name]
    if trial and trial.duel:
        figure = plots.duel(trial.duel, f"{feed.name} {target}: challenger against incumbent")
        drawing(root, report(root, feed.name, target, "proof"), "proof", figure)
    if decision.get("p_value") is not None:
        found |= drawing(root, report(root, feed.name, target, "proof"), "proof")
    if judged and not _is_trial(decision):
        # Its scores say nothing about what was chosen.
        found["newest_trial"] = f"{judged['decided_at']:%Y-%m-%d %H:%M} UTC: {judged['reason']}"
        return found
    return found | (_judged(lake, feed, target, root, judged, draw=trial is not None) if judged else {})


def _is_trial(decision: Mapping[str, Any]) -> bool:
    return decision["test_rows"] is not None


def _verdict(decision: Mapping[str, Any]) -> str:
    if not _is_trial(decision):
        return str(decision["reason"])
    return "promoted" if decision["promoted"] else "held" if decision.get("hold") else "refused"


def _judged(
    lake: "Lake", feed: Feed, target: str, root: Home, decision: Mapping[str, Any], *, draw: bool
) -> dict[str, Any]:
    """What the newest trial found."""
    import duckdb

    from aerocast import plots
    from aerocast.scoring import Score

    with duckdb.connect() as con:
        rows = lake.relation(con, table(feed, target, "scores"))
        last = rows.max("delivery").fetchall()[0][0]
        scores = rows.filter(f"delivery = {last}").to_arrow_table().to_pylist()
    span = f"{decision['test_start']:%Y-%m-%d} to {decision['test_end']:%Y-%m-%d}"
    title = f"{target}: skill on {decision['test_rows']:,} test rows, {span}"
    figure = plots.skills([msgspec.convert(row, Score) for row in scores], feed.horizons, title) if draw else None
    tables = tables_of_scores(scores, feed.horizons)
    return {
        "scores": preview(tables["skill"]),
        f"mae_{feed.column(target).unit}": preview(tables["mae"]),
        "interval_coverage": preview(tables["coverage"]),
        **drawing(root, report(root, feed.name, target, "skill"), "skill", figure),
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
