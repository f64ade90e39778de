"""A feed's whole asset graph: every layer's assets, their checks, and the job that runs them all."""

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets._compat import AssetJob
from aerocast_assets.assets.bronze import bronze
from aerocast_assets.assets.candidates import candidate
from aerocast_assets.assets.champion import champion
from aerocast_assets.assets.evaluation import evaluation
from aerocast_assets.assets.forecasts import forecasts
from aerocast_assets.assets.raw import raw, source
from aerocast_assets.assets.silver import silver
from aerocast_assets.assets.sliding import sliding_layer
from aerocast_assets.assets.training_set import training_set
from aerocast_assets.assets.windows import windows
from aerocast_assets.automation.flow import own_flow
from aerocast_assets.automation.live import live_sensor
from aerocast_assets.automation.polling import poll_schedule
from aerocast_assets.automation.retraining import retrain_sensor
from aerocast_assets.automation.routine import routine_schedule
from aerocast_assets.checks.coverage import coverage_check
from aerocast_assets.checks.drift import drift_checks
from aerocast_assets.checks.intake import intake_checks
from aerocast_assets.checks.quality import quality_checks
from aerocast_assets.checks.retraining import retraining_check
from aerocast_assets.checks.skill import skill_checks
from aerocast_assets.keys import (
    RETRAIN_OF,
    job_name,
    key,
    live_job_name,
    models,
    retrain_job_name,
    rollback_job_name,
    tables,
)
from aerocast_assets.labels import labelled


def observe_job_name(feed: Feed) -> str:
    """The job that asks the feed's source whether it has changed."""
    return f"{feed.name}_observe"


def feed_definitions(feed: Feed) -> dg.Definitions:
    """Definitions of one feed; nothing in them is shared with another feed."""
    layers = [raw(feed), bronze(feed), *sliding_layer(feed), silver(feed), windows(feed)]
    layers += [training_set(feed, target) for target in feed.targets]
    trained = [candidate(feed, target, kind) for target in feed.targets for kind in models(feed)]
    served = [make(feed, target) for target in feed.targets for make in (champion, forecasts)] + [evaluation(feed)]
    checks = [
        *intake_checks(feed),
        *quality_checks(feed),
        *drift_checks(feed),
        *(check for target in feed.targets for check in skill_checks(feed, target)),
        *(make(feed, target) for make in (coverage_check, retraining_check) for target in feed.targets),
    ]
    everything = [asset.key for asset in (*layers, *trained, *served)]
    live = _live_job(feed)
    retrains = {target: _retrain_job(feed, target) for target in feed.targets}
    return dg.Definitions(
        assets=labelled(feed, [source(feed), *layers, *trained, *served]),
        asset_checks=checks,
        jobs=[
            dg.define_asset_job(
                job_name(feed),
                selection=dg.AssetSelection.assets(*everything),
                description=f"Everything of {feed.name}, from readings to forecasts; what has not changed is skipped.",
                owners=feed.owners,
            ),
            dg.define_asset_job(
                observe_job_name(feed),
                selection=dg.AssetSelection.assets(key(feed, "source")),
                description=f"Whether the source of {feed.name} has changed.",
                owners=feed.owners,
            ),
            live,
            *retrains.values(),
            *(_rollback_job(feed, target) for target in feed.targets),
        ],
        sensors=[*own_flow(feed), live_sensor(feed, live), retrain_sensor(feed, list(retrains.values()))],
        schedules=[
            *(routine_schedule(feed, target, job) for target, job in retrains.items()),
            *poll_schedule(feed, live),
        ],
    )


def _live_job(feed: Feed) -> AssetJob:
    layers = [key(feed, layer) for layer in (*tables(feed), "evaluation")]
    return dg.define_asset_job(
        live_job_name(feed),
        selection=dg.AssetSelection.assets(
            *layers, *(key(feed, target, name) for target in feed.targets for name in ("training_set", "forecasts"))
        ),
        description="New readings and logged forecasts, up to evaluation and drift; models are left as they are.",
        owners=feed.owners,
    )


def _retrain_job(feed: Feed, target: str) -> AssetJob:
    names = ("training_set", *models(feed), "champion", "forecasts")
    return dg.define_asset_job(
        retrain_job_name(feed, target),
        selection=dg.AssetSelection.assets(*(key(feed, target, name) for name in names)),
        tags={RETRAIN_OF: f"{feed.name}/{target}"},
        description=f"Retrains candidates for {target}, promotes the best if it is proven better, and forecasts.",
        owners=feed.owners,
    )


def _rollback_job(feed: Feed, target: str) -> AssetJob:
    return dg.define_asset_job(
        rollback_job_name(feed, target),
        selection=dg.AssetSelection.assets(*(key(feed, target, name) for name in ("champion", "forecasts"))),
        tags={"dagster/priority": "100"},
        description=f"Lets the release of {target} serve that the champion's config names; or lifts the hold on it.",
        owners=feed.owners,
    )
