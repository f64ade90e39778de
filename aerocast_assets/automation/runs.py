"""Retrain runs: how one is asked for, and what became of it."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common import waits
from aerocast.common.waits import LONGEST_PAUSE, PAUSE
from aerocast.common.words import duration, the_newest
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from aerocast_assets._compat import StepEventStatus
from aerocast_assets.assets.candidates import step_name
from aerocast_assets.assets.champion import RETRAIN_TAG
from aerocast_assets.keys import RETRAIN_OF, key, retrain_job_name

if TYPE_CHECKING:
    from aerocast.retraining.memory import LastRun, Outcome

KEY_TAG = "aerocast/retrain_key"  # the policy's name of the attempt
ASKED_TAG = "aerocast/feed_time"  # when it was asked for, in the feed's time
REQUEST_TAG = "aerocast/request"
MAX_RETRIES = "dagster/max_retries"
LOOKED_AT = 20  # newest runs of a target that are looked through
LONGEST = 240  # characters of a reason: a tag, not a report
FAILURES = 8  # newest runs of a job that are looked through for failures in a row
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = tuple(status for status in dg.DagsterRunStatus if status not in ENDED)


def ask(
    feed: Feed,
    target: str,
    reason: str,
    now: datetime,
    *,
    run_key: str | None = None,
    since: datetime | None = None,
    release: str = "",
    as_judged: bool = False,
    first_aid: bool = False,
    force: bool = False,
    tags: dict[str, str] | None = None,
) -> dg.RunRequest:
    """A retrain of the target for the regime that began `since`; with `release` only that version is chosen.

    With `as_judged` what its trial judged is chosen; with `first_aid` what serves is reweighted for that regime.

    With `force` models are trained and judged again, though nothing may have changed.
    """
    return dg.RunRequest(
        run_key=run_key,
        job_name=retrain_job_name(feed, target),
        run_config=_aid_config(feed, target, since)
        if first_aid
        else _config(feed, target, since, (release, as_judged), force=force),
        tags={RETRAIN_TAG: shortened(reason), ASKED_TAG: now.isoformat(), **(tags or {})},
        asset_selection=[key(feed, target, name) for name in ("champion", "forecasts")]
        if release or first_aid
        else None,
    )


def back_off(records: Sequence[dg.RunRecord], now: datetime) -> tuple[int, str]:
    """How many of a job's newest runs (newest first) failed in a row, and why none may start now; empty if one may."""
    statuses = [record.dagster_run.status is dg.DagsterRunStatus.FAILURE for record in records]
    failed = statuses.index(False) if False in statuses else len(statuses)
    if not failed or not (ended := records[0].end_time):
        return failed, ""
    pause = waits.backoff(PAUSE, failed - 1, LONGEST_PAUSE)
    pause_left = waits.remaining(pause, datetime.fromtimestamp(ended, UTC), now)
    text = f"{the_newest(failed, 'run')} failed: the next one starts in {duration(pause_left)}"
    return failed, text if pause_left else ""


def failures(instance: dg.DagsterInstance, record: dg.RunRecord) -> set[str]:
    """The steps that failed in a run that failed; none of any other run."""
    if record.dagster_run.status is not dg.DagsterRunStatus.FAILURE:
        return set()
    steps = instance.get_run_step_stats(record.dagster_run.run_id)
    return {step.step_key for step in steps if step.status is StepEventStatus.FAILURE}


def own_retries() -> dict[str, str]:
    """Tags of an attempt that the policy itself tries again: Dagster's own retry would come beside it."""
    return {MAX_RETRIES: "0"}


def shortened(reason: str) -> str:
    return reason if len(reason) <= LONGEST else reason[: LONGEST - 1] + "…"


def _config(
    feed: Feed, target: str, since: datetime | None, choice: tuple[str, bool], *, force: bool
) -> dict[str, Any]:
    release, as_judged = choice
    training: dict[str, Any] = {"since": since.isoformat()} if since else {}
    training |= {"force": True} if force else {}
    selection = {"release": release, "automatic": True} | ({"as_judged": True} if as_judged else {})
    champion = selection if release else training
    ops = {step_name(feed, target): training, f"{feed.name}__{target}__champion": champion}
    return {"ops": {name: {"config": values} for name, values in ops.items() if values}}


def _aid_config(feed: Feed, target: str, since: datetime | None) -> dict[str, Any]:
    return {"ops": {f"{feed.name}__{target}__champion": {"config": {"first_aid": since.isoformat() if since else ""}}}}


def retrains(
    instance: dg.DagsterInstance, root: Home, feed: Feed, target: str, keys: Collection[str] = ()
) -> "Iterator[LastRun]":
    """Yields the newest retrain run of the target, then those whose key is among `keys`, in the feed's time.

    A run that waits in the queue is under way. Whether a finished one promoted is what its row of `promotions` says.
    """
    from aerocast.retraining.memory import LastRun

    of_target = dg.RunsFilter(tags={RETRAIN_OF: f"{feed.name}/{target}"})
    for number, record in enumerate(instance.get_run_records(of_target, limit=LOOKED_AT)):
        run, own = record.dagster_run, record.dagster_run.tags.get(KEY_TAG, "")
        if number and own not in keys:
            continue
        over = run.status in ENDED
        ended = record.end_time or record.update_timestamp.timestamp() if over else None
        yield LastRun(
            _outcome(root, feed, target, run) if over else "running",
            _feed_time(root, feed, run, record.start_time or record.create_timestamp.timestamp()),
            _feed_time(root, feed, run, ended) if ended else None,
            own,
            run.run_id,
            run.tags.get(RETRAIN_TAG, ""),
        )


def _feed_time(root: Home, feed: Feed, run: dg.DagsterRun, instant: float) -> datetime:
    """The feed's time at a real instant of a run; if the clock was set again since, that when it was asked for."""
    from aerocast.contracts import clock

    own, real, asked_at = (
        clock.document(root, feed.name).read(),
        datetime.fromtimestamp(instant, UTC),
        run.tags.get(ASKED_TAG),
    )
    if own and own.started > real and asked_at:
        return datetime.fromisoformat(asked_at)
    return clock.now(root, feed.name, feed.end, real=real)


def _outcome(root: Home, feed: Feed, target: str, run: dg.DagsterRun) -> "Outcome":
    from aerocast.lake import Lake
    from aerocast.promotion import table

    if run.status is not dg.DagsterRunStatus.SUCCESS:
        return "failed"
    decision = table.of_run(Lake(root), feed.name, target, run.run_id)
    return "promoted" if decision and decision["promoted"] else "refused"


def hold(root: Home, feed: Feed, target: str) -> str:
    """The hold of a person on what serves, as a sentence; empty without one."""
    from aerocast.releases import release

    pointer = release.current(root, feed.name, target)
    return f"{pointer.version} stays: {pointer.active_hold}" if pointer and pointer.active_hold else ""


def launched(instance: dg.DagsterInstance, request: str) -> bool:
    """Whether there is a run that took up this request."""
    return bool(instance.get_run_records(dg.RunsFilter(tags={REQUEST_TAG: request}), limit=1))
