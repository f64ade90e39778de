"""The sensor that keeps a feed alive: new readings, logged forecasts and changed sensor faults become one run.

A tick looks at what is cheap to look at: the source's fingerprint, the log's closed segments, the faults that bronze
was made with. What a run then has to compute is the assets' own business: months that have not changed are skipped.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg
import msgspec
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from aerocast.feed import Feed
from aerocast.home import Home
from aerocast.months import month_of
from aerocast_assets.keys import key, live_job_name, months, table
from aerocast_assets.resources import Platform

POLL = timedelta(seconds=30)
NEWEST = 2  # months that a run covers at least
PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)  # after a failed run; doubled with each in a row
ROOM = timedelta(minutes=2)  # between runs while there is no champion, so that the first models can be made
FAILURES = 8


class Cursor(msgspec.Struct, frozen=True):
    """What the newest run was asked for with: the source's fingerprint, and the newest month there was."""

    fingerprint: str = ""
    month: str = ""


class Look(NamedTuple):
    """What there is to do: reasons for a run (none: nothing to do), what was seen, and months that must be covered."""

    reasons: list[str]
    said: list[str]
    cursor: Cursor
    touched: Sequence[str]


def live_sensor(feed: Feed, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """`<feed>_live`: at most one run at a time."""

    @dg.sensor(
        name=live_job_name(feed),
        job=job,
        minimum_interval_seconds=max(1, round((feed.poll or POLL).total_seconds())),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs when the source, the prediction log or the list of sensor faults has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        from aerocast import clock

        root, before = platform.root, _remembered(context)
        now = clock.now(root, feed.name, feed.end)
        failed, waits = _newest_runs(context.instance, root, feed, datetime.now(UTC))
        if waits:
            return dg.SensorResult(skip_reason=waits, cursor=context.cursor)
        look = look_around(root, feed, before, now)
        if failed:
            look.reasons.append(f"the newest {failed} runs failed")
        if not look.reasons:
            told = f"at {now:%Y-%m-%d %H:%M}: " + "; ".join(look.said)
            return dg.SensorResult(skip_reason=told, cursor=context.cursor)
        context.log.info("; ".join(look.reasons))
        request = _request(root, feed, look, before, now)
        return dg.SensorResult(run_requests=[request], cursor=msgspec.json.encode(look.cursor).decode())

    return sensor


def look_around(root: Home, feed: Feed, before: Cursor, now: datetime) -> Look:
    """What has changed since `before`, as of the feed's `now`.

    Raises:
        AeroCastError: the source, the log or the drift state cannot be read.
    """
    from aerocast import faults, predictions
    from aerocast.drift import state
    from aerocast.quality import reach
    from aerocast.sources import fingerprint

    seen, keys = state.read(root, feed.name), months(feed).get_partition_keys()
    mark = fingerprint(feed.source, feed, now) if feed.poll else before.fingerprint
    segments = len(predictions.segments(root, feed.name))
    outdated = faults.outdated(root, feed.name, seen.faults if seen else (), now, reach(feed))
    touched = [month for month in outdated if month in keys]
    found = [
        (mark != before.fingerprint, "the source has changed", "the source is as it was" if feed.poll else ""),
        (segments > 0, f"{segments} segments of the prediction log wait", "the prediction log is empty"),
        (bool(touched), f"sensor faults have changed in {', '.join(touched)}", "sensor faults are as they were"),
    ]
    return Look(
        [new for changed, new, _ in found if changed],
        [old for changed, _, old in found if not changed and old],
        Cursor(mark, _newest(feed, now)),
        touched,
    )


def _newest(feed: Feed, now: datetime) -> str:
    """The newest month that has begun for the feed."""
    keys = months(feed).get_partition_keys()
    return max((month for month in keys if month <= month_of(now)), default=keys[0])


def _request(root: Home, feed: Feed, look: Look, before: Cursor, now: datetime) -> dg.RunRequest:
    """One run over the newest months, and all since the last one or that a fault touches; the first over all."""
    from aerocast import release
    from aerocast.lake import Lake

    keys = months(feed).get_partition_keys()
    at = keys.index(look.cursor.month)
    wanted = [*keys[max(0, at - NEWEST + 1) : at + 1], *look.touched, *([before.month] if before.month else [])]
    known = [month for month in wanted if month in keys]
    first, last = min(known), max(known)
    if not Lake(root).exists(table(feed, "silver")):
        first, last = keys[0], keys[-1]
    serving = [target for target in feed.targets if release.current(root, feed.name, target)]
    layers = [key(feed, layer) for layer in ("raw", "bronze", "silver", "windows", "evaluation")]
    return dg.RunRequest(
        job_name=live_job_name(feed),
        # A target without a champion has no forecasts to make yet.
        asset_selection=None
        if len(serving) == len(feed.targets)
        else [*layers, *(key(feed, target, "forecasts") for target in serving)],
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
            "aerocast/live": "; ".join(look.reasons)[:200],
            "aerocast/feed_time": now.isoformat(),
        },
    )


def _newest_runs(instance: dg.DagsterInstance, root: Home, feed: Feed, real: datetime) -> tuple[int, str]:
    """How many of the newest runs failed in a row; and why no run may start now, as a sentence, empty if one may."""
    from aerocast import release

    job = live_job_name(feed)
    running = instance.get_runs(dg.RunsFilter(job_name=job, statuses=NOT_FINISHED_STATUSES), limit=1)
    if running:
        return 0, f"run {running[0].run_id[:8]} is under way"
    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=FAILURES)
    failed = 0
    while failed < len(records) and records[failed].dagster_run.status is dg.DagsterRunStatus.FAILURE:
        failed += 1
    newest = records[0] if records else None
    if newest is None or not newest.end_time:
        return 0, ""
    since = real - datetime.fromtimestamp(newest.end_time, UTC)
    if failed:
        pause = min(LONGEST_PAUSE, PAUSE * 2 ** (failed - 1))
        if since < pause:
            left = (pause - since).total_seconds()
            return failed, f"the newest {failed} runs failed: the next one starts in {left:.0f} s"
    elif since < ROOM and not all(release.current(root, feed.name, target) for target in feed.targets):
        return 0, "a target has no champion yet: its first models get room to be made"
    return failed, ""


def _remembered(context: dg.SensorEvaluationContext) -> Cursor:
    """The cursor; a new one where it cannot be read, which costs one run."""
    try:
        return msgspec.json.decode(context.cursor, type=Cursor) if context.cursor else Cursor()
    except msgspec.DecodeError as error:
        context.log.warning(f"the cursor cannot be read ({error}): starting afresh")
        return Cursor()
