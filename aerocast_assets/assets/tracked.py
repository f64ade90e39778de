"""MLflow beside the assets: what it takes is noted there, what it refuses is said in the log, and nobody misses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import SEQUENCE
from aerocast.storage.home import Home
from aerocast_assets.keys import table
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
    context: dg.AssetExecutionContext,
    platform: Platform,
    feed: Feed,
    target: str,
    entrants: "tuple[Sequence[Candidate], Candidate | None]",
    trial: "Trial",
) -> "dict[str, Candidate]":
    """Gives MLflow the trial's scores and rows, and the candidates that it lacks; all with the trial's entry.

    An entry that is made of several candidates is a run of its own. The graph for sequences has scores of its own.
    """
    from aerocast.features.grid import WindowSpec
    from aerocast.models import candidates
    from aerocast.promotion import bundle

    (rivals, sequence), entry, home = entrants, trial.entry, platform.root
    spec, version = WindowSpec.of(feed, target), platform.lake.version(table(feed, target, "windows"))
    by_kind = {each.kind: each for each in rivals}
    others = [entry] if entry and entry.kind not in by_kind else []
    kinds = {*feed.candidates, SEQUENCE}
    rows = bundle.rows_of_trial(feed, target, trial, version)

    def recorded_run(tracker: "Tracker", each: "Candidate") -> "Candidate":
        if tracker.knows(each):
            return each
        again = tracker.record(each, {"dagster_run_id": context.run.run_id})
        if each.kind in kinds:
            candidates.write_candidate(home, again)
        return again

    def action(tracker: "Tracker") -> None:
        for each in (*rivals, *others):
            by_kind[each.kind] = recorded_run(tracker, each)
            if each.kind in trial.forecasts:
                scores = bundle.trial_scores(trial, each.kind)
                tracker.add_scores(by_kind[each.kind].mlflow_run_id, scores, {}, rows)
        if sequence and (scores := bundle.sequence_scores(spec, sequence, trial)):
            tracker.add_scores(recorded_run(tracker, sequence).mlflow_run_id, scores, {}, rows)

    noted(context, home, action)
    return by_kind | ({entry.kind: by_kind.get(entry.kind, entry)} if entry else {})


def registered(
    context: dg.AssetExecutionContext,
    platform: Platform,
    by_kind: "Mapping[str, Candidate]",
    outcome: "Decision",
    release: str | None,
) -> None:
    """The best candidate is registered either way, with why; the alias moves only to a promoted one.

    Every candidate that serves a horizon of the release names it, too, and the horizons.
    """
    winner = by_kind.get(outcome.winner or "")
    if winner is None or not winner.mlflow_run_id:
        return
    verdict = {"verdict": "promoted" if outcome.promoted else "refused"} | ({"release": release} if release else {})
    tags = {"feed": winner.feed, "target": winner.target, "kind": winner.kind, "config_hash": winner.config_hash}
    tags |= {"reason": outcome.reason} | verdict
    text = outcome.reason + (f"\n\n{_release_link(platform, winner, release)}" if release else "")
    parts = horizons_by_kind(outcome, winner.kind) if release else {}

    def action(tracker: "Tracker") -> None:
        tracker.register(winner, tags, champion=outcome.promoted, text=text)
        tracker.add_scores(winner.mlflow_run_id, {}, verdict)
        for kind, horizons in parts.items():
            if (each := by_kind.get(kind)) and each.mlflow_run_id:
                tracker.add_scores(each.mlflow_run_id, {}, {**verdict, "horizons": horizons})

    noted(context, platform.root, action)


def horizons_by_kind(outcome: "Decision", winner: str) -> dict[str, str]:
    """The horizons that each kind's candidate serves, as `1, 6`; without the incumbent's own models."""
    horizons: dict[str, list[int]] = {winner: [*outcome.kinds]}
    for at, kind in outcome.kinds.items():
        if kind != winner and outcome.served_by.get(at, kind) == kind:
            horizons.setdefault(kind, []).append(at)
    return {kind: ", ".join(map(str, each)) for kind, each in horizons.items()}


def _release_link(platform: Platform, winner: "Candidate", release: str) -> str:
    """Where the server shows the release, as Markdown."""
    address = f"{platform.settings.server.rstrip('/')}/models?feed={winner.feed}&target={winner.target}"
    return f"Release [{release}]({address}) of {winner.feed}/{winner.target}"


def link(platform: Platform, run_id: str | None, model: str | None = None) -> dict[str, Any]:
    """The run's page and that of the registered model, where MLflow's address is known; else the run's id."""
    if not run_id:
        return {}
    address = platform.settings.mlflow_url.rstrip("/")
    if not address:
        return {"mlflow_run": run_id}
    pages = {"mlflow_run": f"runs/{run_id}"} | ({"mlflow_model": f"models/{model}"} if model else {})
    return {name: dg.MetadataValue.url(f"{address}/#/{page}") for name, page in pages.items()}
