"""MLflow beside the assets: what it takes is noted there, what it refuses is said in the log, and nobody misses it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from aerocast.storage.home import Home
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.models.candidates import Candidate
    from aerocast.models.tracking import Curves, Tracker
    from aerocast.promotion.decision import Decision
    from aerocast.promotion.trial import Trial

Result = TypeVar("Result")


def noted(context: dg.AssetExecutionContext, home: Home, action: "Callable[[Tracker], Result]") -> Result | None:
    """What MLflow answers; None, and a warning, if it cannot be used."""
    from aerocast.models.tracking import Tracker
    from aerocast.models.tracking_database import TrackingUnavailable

    tracker = Tracker(home)
    try:
        return action(tracker)
    except TrackingUnavailable as error:
        context.log.warning(f"{error}; training, judging and serving go on without it")
        return None
    finally:
        for note in tracker.notes:
            context.log.warning(note)


def recorded(context: dg.AssetExecutionContext, home: Home, trained: "Candidate", curves: "Curves") -> "Candidate":
    """The candidate with its place in MLflow, if it got one."""
    tags = {"dagster_run_id": context.run.run_id}
    return noted(context, home, lambda tracker: tracker.record(trained, tags, curves)) or trained


def record_scores(
    context: dg.AssetExecutionContext, home: Home, entrants: "Sequence[Candidate]", trial: "Trial"
) -> "list[Candidate]":
    """The candidates as MLflow has them, with the trial's scores; those that it lacks are written to it once more."""
    from aerocast.models import candidates
    from aerocast.promotion import bundle

    by_kind = {each.kind: each for each in entrants}

    def action(tracker: "Tracker") -> None:
        for each in entrants:
            if not tracker.knows(each):
                each = tracker.record(each, {"dagster_run_id": context.run.run_id})
                candidates.write_candidate(home, each)
                by_kind[each.kind] = each
            if each.kind in trial.forecasts:
                tracker.add_scores(each.mlflow_run_id, bundle.trial_scores(trial, each.kind), {})

    noted(context, home, action)
    return list(by_kind.values())


def registered(
    context: dg.AssetExecutionContext, home: Home, winner: "Candidate | None", outcome: "Decision", release: str | None
) -> None:
    """The best candidate is registered either way, with why; the alias moves only to a promoted one."""
    if winner is None or not winner.mlflow_run_id:
        return
    tags = {"feed": winner.feed, "target": winner.target, "kind": winner.kind, "config_hash": winner.config_hash}
    tags |= {"verdict": "promoted" if outcome.promoted else "refused", "reason": outcome.reason}
    tags |= {"release": release} if release else {}

    def action(tracker: "Tracker") -> None:
        tracker.register(winner, tags, champion=outcome.promoted)
        tracker.add_scores(
            winner.mlflow_run_id, {}, {"verdict": tags["verdict"]} | ({"release": release} if release else {})
        )

    noted(context, home, action)


def link(platform: Platform, run_id: str | None) -> dict[str, Any]:
    """The run's page, where MLflow's address is known; else its id."""

    if not run_id:
        return {}
    address = platform.settings.mlflow_url.rstrip("/")
    text = dg.MetadataValue.url(f"{address}/#/runs/{run_id}") if address else run_id
    return {"mlflow_run": text}
