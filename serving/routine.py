"""Is a champion too old: the age in the feed's own time, its limit, and the request for a retrain that follows."""

from datetime import timedelta

from aerocast.common.errors import AeroCastError
from aerocast.common.words import duration
from aerocast.contracts import requests
from serving import predictor
from serving.hot_swap import ServingStore
from serving.loading import Served
from serving.problems import problem
from serving.schemas import RetrainCheck
from serving.slots import sentence


def check(store: ServingStore, feed: str | None, target: str | None) -> RetrainCheck:
    """What is due for (feed, target), by default the only feed and its first target. Reads the disk."""
    served = predictor.choose(store, feed, target)
    try:
        pending = requests.open_requests(store.home, served.feed.name)
    except (AeroCastError, OSError) as error:
        raise _unavailable(error) from None
    request = pending.get(served.manifest.target)
    return _report(store, served, request.id if request else None)


def ask(store: ServingStore, feed: str | None, target: str | None, force: bool) -> tuple[RetrainCheck, str]:
    """As `check`, and asks for a retrain if one is due or `force`d, for the reason that is returned, too; else empty.

    The sensor takes it up; nothing starts here. A forced one trains and judges again even where nothing has changed.
    """
    state = check(store, feed, target)
    if not force and (state.request is not None or not state.due):
        return state, ""
    served = predictor.choose(store, state.feed, state.target)
    try:
        reason = _reason(state, force)
        request = requests.request_retrain(store.home, state.feed, state.target, reason, force=force)
    except AeroCastError as error:
        raise _unavailable(error) from None
    return _report(store, served, request.id), reason


def _report(store: ServingStore, served: Served, request: str | None) -> RetrainCheck:
    lineage, limit = served.manifest.lineage, served.feed.max_age
    trained_at, now = lineage.feed_time or lineage.created_at, store.now(served.feed)
    age = max(0.0, (now - trained_at).total_seconds())
    most = None if limit is None else limit.total_seconds()
    # One made by a clock that was ahead says nothing of its age (as `aerocast.retraining.policy.routine` has it).
    due = most is not None and (age > most or trained_at > now)
    return RetrainCheck(
        *served.key, served.manifest.version, trained_at, now, age, most, due, request, served.active_hold
    )


def _reason(state: RetrainCheck, force: bool) -> str:
    reason = f"{state.version} is {duration(timedelta(seconds=state.age_seconds))} old"
    if state.due and state.limit_seconds is not None:
        reason += f", its limit is {duration(timedelta(seconds=state.limit_seconds))}"
    return f"forced; {reason}" if force else reason


def _unavailable(error: Exception) -> Exception:
    return problem("requests-unavailable", sentence(error), status=503)
