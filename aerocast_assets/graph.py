"""A feed's whole asset graph: every layer's assets, their checks, and the job that runs them all."""

from collections.abc import Iterable

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets import keys
from aerocast_assets._compat import AssetJob
from aerocast_assets.assets.anomalies import anomalies
from aerocast_assets.assets.bronze import bronze
from aerocast_assets.assets.candidates import candidates
from aerocast_assets.assets.champion import champion
from aerocast_assets.assets.evaluation import evaluation
from aerocast_assets.assets.experiments import experiments
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
from aerocast_assets.checks.drift import readings_checks
from aerocast_assets.checks.intake import intake_checks
from aerocast_assets.checks.live import live_checks
from aerocast_assets.checks.quality import quality_checks
from aerocast_assets.checks.skill import skill_checks
from aerocast_assets.keys import RETRAIN_OF, key, models, tables


def observe_job_name(feed: Feed) -> str:
    """The job that asks the feed's source whether it has changed."""
    return f"{feed.name}_observe"


def feed_definitions(feed: Feed) -> dg.Definitions:
    """Definitions of one feed; nothing in them is shared with another feed."""
    layers = [raw(feed), bronze(feed), *sliding_layer(feed), silver(feed), windows(feed)]
    layers += [training_set(feed, target) for target in feed.targets]
    trained = [candidates(feed, target) for target in feed.targets]
    served = [make(feed, target) for target in feed.targets for make in (champion, forecasts)]
    served += [evaluation(feed), anomalies(feed)]
    checks = [
        *intake_checks(feed),
        *quality_checks(feed),
        readings_checks(feed),
        *(skill_checks(feed, target) for target in feed.targets),
        live_checks(feed),
    ]
    everything = [each for asset in (*layers, *trained, *served) for each in asset.keys]
    about = f"Everything of {feed.name}, from readings to forecasts; what has not changed is skipped."
    whole = _job(feed, keys.job_name(feed), everything, about)
    observe = _job(
        feed, observe_job_name(feed), [key(feed, "source")], f"Whether the source of {feed.name} has changed."
    )
    live = _live_job(feed)
    retrains = {target: _retrain_job(feed, target) for target in feed.targets}
    rollbacks = [_rollback_job(feed, target) for target in feed.targets]
    return dg.Definitions(
        assets=[source(feed), *layers, *trained, *served, experiments(feed)],
        asset_checks=checks,
        jobs=[whole, observe, live, *retrains.values(), *rollbacks, *_experiment_jobs(feed)],
        sensors=[*own_flow(feed), live_sensor(feed, live), retrain_sensor(feed, list(retrains.values()))],
        schedules=[
            *(routine_schedule(feed, target, job) for target, job in retrains.items()),
            *poll_schedule(feed, live),
        ],
    )


def _job(
    feed: Feed, name: str, assets: Iterable[dg.AssetKey], description: str, tags: dict[str, str] | None = None
) -> AssetJob:
    selection = dg.AssetSelection.assets(*assets)
    return dg.define_asset_job(name, selection=selection, description=description, tags=tags, owners=feed.owners)


def _live_job(feed: Feed) -> AssetJob:
    assets = [key(feed, layer) for layer in (*tables(feed), "evaluation", "anomalies")]
    assets += [key(feed, target, name) for target in feed.targets for name in ("training_set", "forecasts")]
    about = "New readings and logged forecasts, up to evaluation, drift and anomalies; models are left as they are."
    return _job(feed, keys.live_job_name(feed), assets, about)


def _retrain_job(feed: Feed, target: str) -> AssetJob:
    assets = [key(feed, target, name) for name in ("training_set", *models(feed), "champion", "forecasts")]
    about = f"Retrains candidates for {target}, promotes the best if it is proven better, and forecasts."
    return _job(feed, keys.retrain_job_name(feed, target), assets, about, {RETRAIN_OF: f"{feed.name}/{target}"})


def _rollback_job(feed: Feed, target: str) -> AssetJob:
    assets = [key(feed, target, name) for name in ("champion", "forecasts")]
    about = f"Lets the release of {target} serve that the champion's config names; or lifts the hold on it."
    return _job(feed, keys.rollback_job_name(feed, target), assets, about, {"dagster/priority": "100"})


def _experiment_jobs(feed: Feed) -> list[AssetJob]:
    """The jobs that people alone start; nothing that serves changes by them."""
    abouts = {
        "backtest": "Trains and judges over folds of the past; nothing that serves changes. Started by people alone.",
        "tuning": "Looks for better parameters of candidates; nothing that serves changes. Started by people alone.",
    }
    return [
        _job(feed, keys.experiment_job_name(feed, name), [key(feed, target, name) for target in feed.targets], about)
        for name, about in abouts.items()
    ]
