"""champion: every candidate and the incumbent on the same rows; the better one is released, and the reason kept.

While a person holds what serves, a trial is held and recorded, and replaces nothing. Run config `release` chooses one
instead (see `aerocast_assets.assets.choice`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast.models import SEQUENCE
from aerocast.storage.home import Home
from aerocast_assets.assets import tracked, verdicts
from aerocast_assets.assets.describe import status
from aerocast_assets.keys import ONCE, key, models, table
from aerocast_assets.resources import Choice, Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from aerocast.candidates import Candidate
    from aerocast.grid import Grid
    from aerocast.judging import Trial
    from aerocast.manifest import Manifest
    from aerocast.pointer import Hold
    from aerocast.promotion import Decision
    from aerocast.release import Release

CODE = code_version("aerocast.judging")
RETRAIN_TAG = "retrain_reason"
# The verdict of a release that was chosen by hand: it stands for as long as these candidates are all there are.
STANDS = "stands:"


def champion(feed: Feed, target: str) -> dg.AssetsDefinition:
    """`<feed>/<target>/champion`: the release that serves, and the tables `promotions` and `scores` behind it."""

    @dg.asset(
        key=key(feed, target, "champion"),
        deps=[key(feed, target, name) for name in (*models(feed), "training_set")],
        group_name=feed.name,
        kinds={"onnx", "mlflow"},
        code_version=CODE,
        description="Replaced only by a candidate that beats both baselines and, on the same rows, the incumbent.",
        automation_condition=ONCE,
    )
    def asset(context: dg.AssetExecutionContext, config: Choice, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import candidates
        from aerocast_assets.assets import choice

        found = [each for kind in feed.candidates if (each := candidates.read(platform.root, feed.name, target, kind))]
        sequence = candidates.read(platform.root, feed.name, target, SEQUENCE)
        offered = config_hash(
            candidates={each.kind: each.config_hash for each in found},
            sequence=sequence.config_hash if sequence else None,
        )
        if config.lift:
            return choice.lift(context, platform, feed, target)
        if config.release:
            return choice.choose(context, platform, feed, target, config, f"{STANDS}{offered}")
        return _judge(context, config, platform, feed, target, (found, sequence), offered)

    return asset


def _judge(
    context: dg.AssetExecutionContext,
    config: Choice,
    platform: Platform,
    feed: Feed,
    target: str,
    entrants: "tuple[Sequence[Candidate], Candidate | None]",
    offered: str,
) -> dg.MaterializeResult[None]:
    """Holds the trial, unless it was held before; who serves afterwards, and why."""
    from aerocast import clock, judging, release, silver, training
    from aerocast.lake import Lake
    from aerocast.windows import WindowSpec

    root, lake, (found, sequence) = platform.root, Lake(platform.root), entrants
    since = _regime(config, found)
    version = config_hash(
        candidates=offered,
        since=since.isoformat() if since else None,
        promotion=feed.promotion.model_dump(mode="json"),
        code=CODE,
    )
    pointer = release.current(root, feed.name, target)
    incumbent, unreadable = _incumbent(root, feed, target, pointer.version if pointer else None)
    hold = pointer.active_hold if pointer else None
    # What was refused only because of a hold is tried again when that has ended.
    verdict = f"{version}@{hold.since.isoformat()}" if hold else version
    verdict = f"{verdict}@{context.run.run_id}" if config.force else verdict
    if incumbent and (standing := _standing(lake, feed, target, verdict, offered, config)):
        context.log.info(f"unchanged: {incumbent.manifest.kind} {incumbent.version} {standing}")
        return result(incumbent.manifest, status(None) | verdicts.shown(lake, feed, target, root), version)
    with platform.sql() as con:
        samples = training.load(WindowSpec.of(feed, target), lake.relation(con, table(feed, target, "windows")))

        def series(window: WindowSpec, wanted: "Sequence[str]") -> "Mapping[str, Grid]":
            rows = lake.relation(con, table(feed, "silver"), training.months_read(window, wanted))
            return silver.grids(con, feed, rows)

        trial = judging.hold(feed, WindowSpec.of(feed, target), samples, found, incumbent, since, series)
    trial = replace(trial, note=trial.note + unreadable)
    found = tracked.judged(context, root, found, trial)
    winner = next((each for each in found if each.kind == trial.decision.winner), None)
    serves, challenger, outcome = _release(context, root, feed, trial, (winner, sequence), incumbent, hold)
    tracked.registered(context, root, winner, outcome, challenger)
    about = verdicts.Context(
        run_id=context.run.run_id,
        feed_time=clock.now(root, feed.name, feed.end),
        retrain_reason=context.run.tags.get(RETRAIN_TAG),
        since=since,
        version=serves.version if serves else None,
        challenger=challenger,
        incumbent=pointer.version if pointer else None,
        hold=str(hold) if hold else None,
    )
    verdicts.record(lake, feed, target, trial, outcome, about, verdict)
    context.log.info(outcome.reason)
    return result(serves, status(trial) | verdicts.shown(lake, feed, target, root, trial), version)


def _incumbent(root: Home, feed: Feed, target: str, version: str | None) -> "tuple[Release | None, str]":
    """What serves, or else why it cannot be read, such as a release of a newer format: then it does not count."""
    from aerocast import release

    try:
        return release.load(root, feed.name, target, version) if version else None, ""
    except AeroCastError as error:
        return None, f" The incumbent {version} does not count: {error}."


def _regime(config: Choice, found: "Sequence[Candidate]") -> "datetime | None":
    """Where the regime began that is judged: as asked, or as the candidates were trained."""
    from aerocast.splits import instant

    return instant(config.since) or max((each.since for each in found if each.since), default=None)


def _standing(lake: Any, feed: Feed, target: str, verdict: str, offered: str, config: Choice) -> str | None:
    """Why nothing has to be decided; None if it has."""
    if config.force:
        return None
    newest = verdicts.newest(lake, feed, target)
    if newest and newest["verdict"] == f"{STANDS}{offered}":
        return "was chosen, and there is no newer candidate"
    if lake.took(table(feed, target, "promotions"), verdict, verdicts.SLOT):
        return "was proven on these rows"
    return None


def _release(
    context: dg.AssetExecutionContext,
    root: Home,
    feed: Feed,
    trial: "Trial",
    graphs: "tuple[Candidate | None, Candidate | None]",
    incumbent: "Release | None",
    hold: "Hold | None",
) -> "tuple[Manifest | None, str | None, Decision]":
    """What serves from now on, the version of the winner as a release, and the decision as it is recorded."""
    from aerocast import clock, judging, release
    from aerocast.windows import WindowSpec

    (winner, sequence), decision = graphs, trial.decision
    now = incumbent.manifest if incumbent else None
    if winner and now and winner.config_hash == now.lineage.config_hash:
        reason = f"Kept: the best candidate, {winner.kind}, is what serves already ({now.version})."
        return now, now.version, msgspec.structs.replace(decision, promoted=True, reason=reason)
    decision = msgspec.structs.replace(decision, reason=decision.reason + trial.note)
    if hold:
        reason = f"Held: {now.version if now else 'what serves'} stays, for {hold}. The trial found: {decision.reason}"
        decision = msgspec.structs.replace(decision, promoted=False, reason=reason)
    shadowed = not decision.promoted and now is not None and feed.promotion.shadow > 0
    if winner is None or not (decision.promoted or shadowed):
        if winner and release.challenger(root, feed.name, winner.target):
            release.challenge(root, feed.name, winner.target, None)
        return now, None, decision
    reason = context.run.tags.get(RETRAIN_TAG) or ("first champion" if incumbent is None else "refresh")
    present = clock.now(root, feed.name, feed.end)
    spec = WindowSpec.of(feed, winner.target)
    made = judging.manifest(feed, spec, (winner, sequence), trial, context.run.run_id, reason, present)
    version = release.write(root, made, judging.files(winner, sequence))
    if shadowed:
        release.challenge(root, feed.name, winner.target, version)
        return now, version, decision
    release.promote(root, feed.name, winner.target, version)
    return release.load(root, feed.name, winner.target, version).manifest, version, decision


def result(serves: "Manifest | None", shown: dict[str, Any], version: str) -> dg.MaterializeResult[None]:
    metadata = dict(shown)
    if serves:
        lineage = serves.lineage
        metadata |= {
            "release": serves.version,
            "kind": serves.kind,
            "config_hash": lineage.config_hash,
            **tracked.link(lineage.mlflow_run_id),
            "trained_to": str(lineage.training_end),
            "delta_versions": dg.MetadataValue.json(lineage.delta_versions),
            "skill_overall": round(serves.metrics.overall.skill, 4),
            **{
                f"{figure}_{horizon}": dg.MetadataValue.float(value)
                for horizon, scores in serves.metrics.horizons.items()
                for figure in ("rmse", "skill", "coverage")
                if (value := getattr(scores, figure)) is not None
            },
        }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version))
