"""What keeps a feed alive: new readings, logged forecasts and changed sensor faults become runs, one at a time.

A tick looks at what is cheap to look at: the source's fingerprint, the channels, the log's closed segments, the faults
that bronze was made with, and what each month of raw holds beside what bronze was made of. A run covers what must be
made again and no more: months that touch each other go together, the newest first, the others with the next ticks.
What a run then has to compute is the assets' own business.

Runs are few: delivered readings are gathered between them, and an answer is no reason for one, since it cannot be
judged before the readings of its step are there; only a log that no reading comes for is taken up by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_of
from aerocast.common.waits import remaining
from aerocast.common.words import duration, the_newest
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from aerocast_assets._compat import AssetJob
from aerocast_assets.automation import cursors, runs
from aerocast_assets.automation.switch import described, sensor_status
from aerocast_assets.checks.intake import all_read_name
from aerocast_assets.keys import LIVE_TAG, job_name, key, live_job_name, months, table, tables
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.ingest.channels.base import Channel
    from aerocast.ingest.channels.patience import Delay

LOOK = timedelta(seconds=30)
ROOM = timedelta(minutes=2)  # between runs while there is no champion, so that the first models can be made


class LiveCursor(msgspec.Struct, frozen=True):
    """What the newest run over the present was asked for with: the source's fingerprint, and the months from and to.

    A month that was asked for is not yet one that was read: after a failure the next run begins with `since` again.
    """

    fingerprint: str = ""
    month: str = ""
    since: str = ""

    def unread(self) -> "LiveCursor":
        """As it was before that run."""
        return LiveCursor("", self.since, self.since)


class Runs(NamedTuple):
    """The feed's newest live runs: how many failed in a row, why none may start now, and when the newest one ended."""

    failed: int = 0
    waits: str = ""
    ended: datetime | None = None


class LiveLook(NamedTuple):
    """What there is to do: reasons for a run over the present, months that must be made again, and what is quiet."""

    present: list[str]
    touched: dict[str, list[str]]
    quiet: list[str]
    fingerprint: str

    @property
    def reasons(self) -> list[str]:
        return [*self.present, *(f"{what} in {', '.join(touched)}" for what, touched in self.touched.items())]


def live_sensor(feed: Feed, job: AssetJob) -> dg.SensorDefinition:
    """`<feed>_live`: at most one run at a time."""

    @dg.sensor(
        name=live_job_name(feed),
        job=job,
        minimum_interval_seconds=max(1, round(((_looked_at(feed) and feed.poll) or LOOK).total_seconds())),
        default_status=sensor_status(feed),
        owners=feed.owners,
        description=described(
            feed, "Runs when the source, a channel, the prediction log, a month or the list of faults asks for it."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        from aerocast.contracts import clock, declared
        from aerocast.ingest.channels import channels_of
        from aerocast.operations.healing import heal

        for note in heal(platform.root, feed):
            context.log.warning(note)
        root, before = platform.root, cursors.read(context, LiveCursor, "a run over the present makes a new one")
        now = clock.now(root, feed.name, feed.end)
        declared.publish(root, feed)  # a feed without a source begins with the server that knows it
        failed, waits, ended = newest_runs(context.instance, root, feed, datetime.now(UTC))
        if waits:
            return dg.SensorResult(skip_reason=waits, cursor=context.cursor)
        before = before.unread() if failed else before
        look = look_around(root, feed, before, now, channels_of(root, feed, platform.settings), ended)
        if failed:
            look.present.append(f"{the_newest(failed, 'run')} failed")
        if not look.reasons:
            text = f"at {now:%Y-%m-%d %H:%M}: " + "; ".join(look.quiet)
            return dg.SensorResult(skip_reason=text, cursor=context.cursor)
        context.log.info("; ".join(look.reasons))
        covered, after = _choose(root, feed, look, before, now, failed)
        request = ask(root, feed, covered, "; ".join(look.reasons), now)
        return dg.SensorResult(run_requests=[request], cursor=cursors.encoded(after))

    return sensor


def _looked_at(feed: Feed) -> bool:
    """Whether its source is looked at by the sensor: a service is asked by a schedule, and a push needs no look."""
    return feed.poll is not None and feed.source.watch in ("whole", "live")


def look_around(
    root: Home,
    feed: Feed,
    before: LiveCursor,
    now: datetime,
    channels: "Sequence[Channel]",
    ended: datetime | None = None,
) -> LiveLook:
    """What has changed since `before`, as of the feed's `now`; `ended` is when the newest run did.

    A channel that cannot be looked at is told, and waited for.

    Raises:
        AeroCastError: the log or a table cannot be read.
    """
    from aerocast.contracts import clock
    from aerocast.ingest.channels import patience
    from aerocast.ingest.channels.intake import SOURCE

    delays = patience.read_delays(root, feed.name)
    looked = _looked_at(feed)
    waiting, closed = _waiting(channels, delays)
    try:
        mark = feed.source.fingerprint(feed, now) if looked else before.fingerprint
    except AeroCastError as error:  # the channels are as good as ever
        looked, mark = False, before.fingerprint
        closed.append(f"the source cannot be checked: {error}")
    again = looked and SOURCE in delays and delays[SOURCE].is_due(datetime.now(UTC))
    looks = [
        (
            looked and mark != before.fingerprint,
            "the source has changed",
            "the source has not changed" if looked else "",
        ),
        (again, "the source could not be read and is tried again", ""),
        _due(f"readings wait: {', '.join(waiting)}", ended, clock.real_duration(root, feed.name, feed.readings_wait))
        if waiting
        else (False, "", "nothing waits in the channels"),
        _log(root, feed),
    ]
    touched = _touched(root, feed, now)
    quiet = ["sensor faults have not changed", "every month is up to date"]
    notes = [old for is_reason, _, old in looks if not is_reason and old]
    notes += [calm for calm, months_of in zip(quiet, touched.values(), strict=True) if not months_of]
    return LiveLook(
        [new for is_reason, new, _ in looks if is_reason],
        {what: months_of for what, months_of in touched.items() if months_of},
        [*notes, *closed],
        mark,
    )


def _log(root: Home, feed: Feed) -> tuple[bool, str, str]:
    """The closed segments of the prediction log, as `_due` tells them."""
    from aerocast.contracts import clock, predictions

    segments = predictions.closed_segments(root, feed.name)
    if not segments:
        return False, "", "the prediction log is empty"
    wait = clock.real_duration(root, feed.name, feed.log_waits)
    what = f"{len(segments)} segments of the prediction log wait"
    return _due(what, predictions.last_write(segments[0]), wait)


def _touched(root: Home, feed: Feed, now: datetime) -> dict[str, list[str]]:
    """The months that must be made again, by reason."""
    from aerocast.lake import Lake
    from aerocast.tables import layers, training
    from aerocast.tables.staleness import ROWS

    keys, lake = set(months(feed).get_partition_keys()), Lake(root).view()
    stale = layers.stale_months(feed, lake, now, training.later(root, feed, lake))
    reasons = {"sensor faults have changed": layers.FAULTS, "readings are new": ROWS}
    return {reason: sorted(keys & set(stale.get(part, ()))) for reason, part in reasons.items()}


def _due(what: str, since: datetime | None, patience: timedelta) -> tuple[bool, str, str]:
    """Whether what waits is a reason for a run now, the reason, and what is said until it is one.

    Without a beginning, or if a clock was set back meanwhile, nothing is waited for.
    """
    wait = remaining(patience, since, datetime.now(UTC)) if since else timedelta(0)
    return not wait, what, f"{what}, gathered for another {duration(wait)}"


def _waiting(channels: "Iterable[Channel]", delays: "Mapping[str, Delay]") -> tuple[list[str], list[str]]:
    """What waits at each channel that has something, and what is wrong with those that cannot be looked at, or read."""
    from aerocast.ingest.channels.patience import delay_text

    waiting, closed = [], []
    for channel in channels:
        delay = delays.get(channel.name)
        if delay and not delay.is_due(datetime.now(UTC)):
            closed.append(f"{channel.name}: {delay_text([delay])}")
            continue
        try:
            if count := channel.backlog():
                waiting.append(f"{count} at {channel.name}")
        except AeroCastError as error:
            closed.append(f"{channel.name} cannot be looked at: {error}")
    return waiting, closed


def _newest(feed: Feed, now: datetime) -> str:
    """The newest month that has begun for the feed."""
    keys = months(feed).get_partition_keys()
    return max((month for month in keys if month <= month_of(now)), default=keys[0])


def present(root: Home, feed: Feed, now: datetime, since: str = "") -> list[str]:
    """The months of a run over the present: from `since` to the newest; all of them as long as there is no silver.

    Without `since` the source may have moved on from the newest month that raw holds. In the first hours of a month the
    one before is covered, too: its windows still wait for their outcomes.
    """
    from aerocast.lake import Lake

    keys, lake = list(months(feed).get_partition_keys()), Lake(root)
    if not lake.exists(table(feed, "silver")):
        return keys
    newest = _newest(feed, now)
    oldest = since or max((month for month in lake.months(table(feed, "raw")) if month <= newest), default=newest)
    first = min(oldest, month_of(now - feed.horizons[-1] * feed.cadence))
    return [month for month in keys if first <= month <= newest] or [newest]


def _choose(
    root: Home, feed: Feed, look: LiveLook, before: LiveCursor, now: datetime, failed: int
) -> tuple[list[str], LiveCursor]:
    """The months of the next run, and the cursor after it; after failures the groups take turns."""
    stale = {month for touched in look.touched.values() for month in touched}
    current = present(root, feed, now, before.month) if look.present else []
    groups = grouped(months(feed).get_partition_keys(), stale | set(current))
    group = groups[failed % len(groups)]
    read = bool(current) and current[-1] in group
    return group, LiveCursor(look.fingerprint, _newest(feed, now), current[0]) if read else before


def grouped(keys: Sequence[str], stale: Iterable[str]) -> list[list[str]]:
    """The wanted months of `keys` in groups without a gap, the newest first."""
    places, groups = {month: at for at, month in enumerate(keys)}, list[list[str]]()
    for month in sorted(set(stale) & set(keys)):
        if groups and places[groups[-1][-1]] == places[month] - 1:
            groups[-1].append(month)
        else:
            groups.append([month])
    return groups[::-1]


def ask(root: Home, feed: Feed, covered: Sequence[str], reason: str, now: datetime) -> dg.RunRequest:
    """A live run over these months, which have no gap."""
    from aerocast.releases.release import serving_release

    serving = [target for target in feed.targets if serving_release(root, feed.name, target).release]
    layers = [key(feed, layer) for layer in (*tables(feed), "evaluation", "anomalies")]
    layers += [key(feed, target, "training_set") for target in feed.targets]
    return dg.RunRequest(
        job_name=live_job_name(feed),
        # A target without a sound champion has no forecasts to make yet.
        asset_selection=None
        if len(serving) == len(feed.targets)
        else [*layers, *(key(feed, target, "forecasts") for target in serving)],
        tags={
            "dagster/asset_partition_range_start": covered[0],
            "dagster/asset_partition_range_end": covered[-1],
            LIVE_TAG: runs.shortened(reason),
            "aerocast/feed_time": now.isoformat(),
            **runs.own_retries(),  # the sensor itself asks again
        },
    )


def newest_runs(instance: dg.DagsterInstance, root: Home, feed: Feed, real: datetime) -> Runs:
    """The newest live runs at the instant `real`; `waits` is a sentence, and empty if a run may start."""
    from aerocast.releases import release

    job = live_job_name(feed)
    for run in instance.get_runs(dg.RunsFilter(statuses=list(runs.UNFINISHED))):
        if run.job_name == job or _makes_tables(feed, run):
            return Runs(waits=f"run {run.run_id[:8]} is under way")
    newest = instance.get_run_records(dg.RunsFilter(job_name=job), limit=runs.FAILURES)
    # A way in that could not be read is tried again on its own, and keeps no other waiting.
    records = [each for each in newest if runs.failures(instance, each) != {all_read_name(feed)}]
    failed, waits = runs.back_off(records, real)
    if not newest or not newest[0].end_time:
        return Runs()
    ended = datetime.fromtimestamp(newest[0].end_time, UTC)
    room = timedelta(0) if failed else remaining(ROOM, ended, real)
    if room and not all(release.current(root, feed.name, target) for target in feed.targets):
        waits = "a target has no champion yet: its first models take precedence"
    return Runs(failed, waits, ended)


def _makes_tables(feed: Feed, run: dg.DagsterRun) -> bool:
    """Whether some other run makes the feed's tables: what it will make is not behind."""
    layers = {key(feed, layer) for layer in tables(feed)}
    return run.job_name == job_name(feed) or bool(layers & set(run.asset_selection or ()))
