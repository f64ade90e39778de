"""champion: all candidates and the incumbent on the same rows; what is better is released, and the reason kept.

While a person holds what serves, a trial is held and recorded, and replaces nothing. Run config `release` chooses one
instead: a person's choice is a rollback, which holds until it is lifted. The loop chooses, too: a challenger that has
proven itself on live requests. Its choice yields to a person's. With `first_aid` nothing newly trained is judged, but
what serves, reweighted.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import code_version, config_hash
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import SEQUENCE
from aerocast.promotion import table
from aerocast_assets.assets import first_aid, tracked, verdicts
from aerocast_assets.assets.describe import status
from aerocast_assets.assets.step import step
from aerocast_assets.keys import ONCE, key, models
from aerocast_assets.keys import table as name_of
from aerocast_assets.labels import feed_spec
from aerocast_assets.resources import Platform, ReleaseChoice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from aerocast.contracts.manifest import Manifest
    from aerocast.features.grid import Grid
    from aerocast.lake import LakeReader
    from aerocast.models.candidates import Candidate
    from aerocast.promotion import choice
    from aerocast.promotion.trial import Trial
    from aerocast.releases.release import Release

CODE = code_version("aerocast.promotion.bundle")  # which imports the trial
RETRAIN_TAG = "retrain_reason"


def champion(feed: Feed, target: str) -> dg.AssetsDefinition:
    """`<feed>/<target>/champion`: the release that serves, and the tables `promotions` and `scores` behind it."""

    spec = feed_spec(
        feed,
        "champion",
        target,
        deps=[key(feed, target, name) for name in (*models(feed), "training_set")],
        kinds={"onnx", "mlflow"},
        code_version=CODE,
        description="Replaced only by a challenger that beats both baselines and, on the same rows, the incumbent; "
        "what does not beat them at a horizon does not serve it.",
        automation_condition=ONCE,
    )

    @step(spec)
    def asset(
        context: dg.AssetExecutionContext, config: ReleaseChoice, platform: Platform
    ) -> dg.MaterializeResult[None]:
        from aerocast.models import candidates

        offers = [
            each
            for kind in feed.candidates
            if (each := candidates.read_candidate(platform.root, feed.name, target, kind))
        ]
        sequence = candidates.read_candidate(platform.root, feed.name, target, SEQUENCE)
        if config.first_aid:
            try:
                offers = first_aid.candidates(platform, feed, target, offers, config.first_aid)
            except AeroCastError as error:
                return _unchanged(context, platform, feed, target, str(error))
        offered = config_hash(
            candidates={each.kind: each.config_hash for each in offers},
            sequence=sequence.config_hash if sequence else None,
        )
        if config.lift or config.release:
            result = _choose(context, platform, feed, target, config, offered)
        else:
            result = _judge(context, config, platform, feed, target, (offers, sequence), offered)
        table.publish(platform.lake, platform.root, feed.name, target)
        return result

    return asset


def _judge(
    context: dg.AssetExecutionContext,
    config: ReleaseChoice,
    platform: Platform,
    feed: Feed,
    target: str,
    entrants: "tuple[Sequence[Candidate], Candidate | None]",
    offered: str,
) -> dg.MaterializeResult[None]:
    """Holds the trial, unless it was held before; who serves afterwards, and why."""
    from aerocast.contracts import clock
    from aerocast.promotion import choice, rollout
    from aerocast.releases import release

    root, lake, (rivals, sequence) = platform.root, platform.lake, entrants
    since = rollout.regime(config.since, rivals)
    version = config_hash(
        candidates=offered,
        since=since.isoformat() if since else None,
        promotion=feed.promotion.model_dump(mode="json"),
        code=CODE,
    )
    now = release.serving_release(root, feed.name, target)
    verdict = now.verdict(version)
    once = config.force or bool(config.first_aid)
    verdict = f"{verdict}@{context.run.run_id}" if once else verdict
    if now.release and not once and (standing := choice.settled_reason(lake, feed.name, target, verdict, offered)):
        context.log.info(f"unchanged: {now.release.manifest.kind} {now.release.version} {standing}")
        return _result(
            platform, now.release.manifest, status(None) | verdicts.describe(platform, feed, target), version
        )
    trial = _try(platform, lake, feed, target, rivals, now.release, since)
    trial = replace(trial, note=trial.note + now.note)
    by_kind = tracked.record_scores(context, platform, feed, target, entrants, trial)
    winner = by_kind[trial.entry.kind] if trial.entry else None
    reason = context.run.tags.get(RETRAIN_TAG)
    outcome = rollout.apply_decision(root, feed, trial, (winner, sequence), now, context.run.run_id, reason)
    tracked.registered(context, platform, by_kind, outcome.decision, outcome.challenger)
    about = table.Context(
        run_id=context.run.run_id,
        feed_time=clock.now(root, feed.name, feed.end),
        retrain_reason=reason,
        since=since,
        version=outcome.serves.version if outcome.serves else None,
        challenger=outcome.challenger,
        incumbent=now.pointer.version if now.pointer else None,
        hold=str(now.hold) if now.hold else None,
    )
    table.record(lake, feed, target, trial, outcome.decision, about, verdict)
    context.log.info(outcome.decision.reason)
    return _result(platform, outcome.serves, status(trial) | verdicts.describe(platform, feed, target, trial), version)


def _unchanged(
    context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str, why: str
) -> dg.MaterializeResult[None]:
    """What serves goes on, and nothing was judged."""
    from aerocast.releases import release

    now = release.serving_release(platform.root, feed.name, target)
    context.log.warning(f"unchanged: {why}")
    serves = now.release.manifest if now.release else None
    described = status(None) | {"not_judged": why} | verdicts.describe(platform, feed, target)
    return _result(platform, serves, described, config_hash(release=serves.version if serves else None))


def _try(
    platform: Platform,
    lake: "LakeReader",
    feed: Feed,
    target: str,
    rivals: "Sequence[Candidate]",
    incumbent: "Release | None",
    since: "datetime | None",
) -> "Trial":
    """The trial of these candidates and the incumbent, on what the tables hold now."""
    from aerocast.features.grid import WindowSpec
    from aerocast.promotion.trial import run_trial
    from aerocast.tables import silver, training

    spec = WindowSpec.of(feed, target)
    with platform.sql() as con:
        samples = training.load(spec, lake.relation(con, name_of(feed, target, "windows")))

        def series(window: WindowSpec, months: "Sequence[str]") -> "Mapping[str, Grid]":
            rows = lake.relation(con, name_of(feed, "silver"), training.source_months(window, months))
            return silver.grids(con, feed, rows)

        return run_trial(feed, spec, samples, rivals, incumbent, since, series)


def _result(
    platform: Platform, serves: "Manifest | None", described: dict[str, Any], version: str
) -> dg.MaterializeResult[None]:
    metadata = dict(described)
    if serves:
        lineage = serves.lineage
        metadata |= {
            "release": serves.version,
            "kind": serves.kind,
            "kinds": dg.MetadataValue.json(_texts({at: serves.kind_at(at) for at in serves.horizons})),
            **({"served_by": dg.MetadataValue.json(_texts(serves.served_by))} if serves.served_by else {}),
            "config_hash": lineage.config_hash,
            **tracked.link(platform, lineage.mlflow_run_id, f"{serves.feed.name}.{serves.target}"),
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


def _texts(by_horizon: "Mapping[int, str]") -> dict[str, str]:
    return {str(horizon): text for horizon, text in by_horizon.items()}


def _choose(
    context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str, config: ReleaseChoice, offered: str
) -> dg.MaterializeResult[None]:
    """Lets a release serve from now on, and holds it unless the loop chose it; or ends such a hold. History keeps all.

    Raises:
        Failure: there is no such release, it is damaged, or a person holds another one; the one that serves goes on.
            Nothing of this changes by itself, so that the run is not repeated.
    """
    from aerocast.promotion import choice
    from aerocast.promotion.withdrawal import write_as_judged

    root, lake, tag = platform.root, platform.lake, context.run.tags.get(RETRAIN_TAG)
    try:
        if config.lift:
            outcome = choice.lift(root, feed, target)
        else:
            length = choice.parse_length(config.hold_for, "hold_for")
            hold = None if config.automatic else choice.hold_for(length, tag or "")
            version = config.release
            if config.as_judged:
                version = write_as_judged(root, feed.name, target, version, context.run.run_id, tag or "")
            outcome = choice.choose(lake, root, feed, target, version, hold, tag or "", offered)
            _follow(context, platform, feed, target, outcome)
    except AeroCastError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if outcome.segment:
        choice.record(lake, root, feed, target, outcome, context.run.run_id, tag)
    context.log.info(outcome.reason if outcome.segment else f"unchanged: {outcome.reason}")
    described = verdicts.describe(platform, feed, target)
    hold = outcome.pointer.hold
    state = config_hash(
        release=outcome.serves.version,
        promoted_at=outcome.pointer.promoted_at.isoformat(),
        hold=hold.since.isoformat() if hold else None,
    )
    return _result(platform, outcome.serves, status(outcome.segment) | described, state)


def _follow(
    context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str, outcome: "choice.Choice"
) -> None:
    """MLflow's alias follows what serves."""
    from aerocast.models.tracking import model_name

    name, run_id = model_name(feed.name, target), outcome.serves.lineage.mlflow_run_id
    tags = {"verdict": "promoted", "reason": outcome.reason} if outcome.is_switch else {}
    if tracked.noted(context, platform.root, lambda tracker: tracker.follow(name, run_id, tags)) is False:
        version = outcome.serves.version
        context.log.warning(f"MLflow does not know the training of {version}, so its alias stays where it is")
