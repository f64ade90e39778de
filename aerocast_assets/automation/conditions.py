"""What the platform knows of a feed that people should know: silence, drift, what did not help, decisions, checks.

All of it is read from small documents and from Dagster's newest results; nothing is computed. What cannot be read is
unclear.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from aerocast_assets.automation.retraining import evidence

if TYPE_CHECKING:
    from aerocast.contracts.alarms import Judgement
    from aerocast.contracts.drift_state import DriftState
    from aerocast.storage.atomic import Stamp


class Tails:
    """The newest readings of feeds, read again only when they have changed."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[Stamp, dict[str, datetime]]] = {}

    def newest(self, home: Home, feed: Feed) -> dict[str, datetime] | None:
        """When each station was read last; None for a feed that has no readings yet.

        Raises:
            AeroCastError: the tail cannot be read.
        """
        from aerocast.common.times import from_numpy
        from aerocast.contracts import tail

        stamp = tail.stamp(home, feed.name)
        if stamp is None:
            return None
        before = self._newest.get(feed.name)
        if before is None or before[0] != stamp:
            read = tail.newest_readings(tail.read_grids(home, feed.name))
            self._newest[feed.name] = stamp, {station: from_numpy(time) for station, time in read.items()}
        return self._newest[feed.name][1]


def of_feed(home: Home, feed: Feed, tails: Tails) -> "Judgement":
    """All of a feed but its checks."""
    from aerocast.alerts import conditions

    return conditions.together([_silence(home, feed, tails), _drift(home, feed), *_decisions(home, feed)])


def _silence(home: Home, feed: Feed, tails: Tails) -> "Judgement":
    from aerocast.alerts import conditions
    from aerocast.contracts import clock

    try:
        times, now = tails.newest(home, feed), clock.now(home, feed.name, feed.end)
    except AeroCastError:
        return conditions.unclear(["feed_silent", "station_silent"], feed.name)
    newest = {} if times is None else {station: times.get(station) for station in (*feed.station_ids, *times)}
    return conditions.silence(feed.name, newest, feed.freshness, now, feed.end)


def _drift(home: Home, feed: Feed) -> "Judgement":
    from aerocast.alerts import conditions
    from aerocast.contracts import drift_state

    try:
        state = drift_state.document(home, feed.name).read()
        parts = [_of_target(home, feed, target, state) for target in feed.targets] if state else []
    except AeroCastError:
        return conditions.unclear(["drift_hot", "retrain_useless"], feed.name)
    return conditions.together(parts)


def _of_target(home: Home, feed: Feed, target: str, state: "DriftState") -> "Judgement":
    """Raises AeroCastError: the newest decision cannot be read."""
    from aerocast.alerts import conditions
    from aerocast.contracts import loop_notes
    from aerocast.retraining.policy import has_helped

    heat, notes = state.of(target), loop_notes.decisions(home, feed.name, target).read()
    newest = conditions.newest_of(notes.decisions) if notes else None
    at = (newest.feed_time or newest.decided_at) if newest else None
    helped, why = has_helped(feed.retraining, heat, at, state.judged_at)
    return conditions.together(
        [
            conditions.hot(feed.name, heat, evidence(state, target)),
            conditions.useless(feed.name, target, helped, why, heat.since),
        ]
    )


def _decisions(home: Home, feed: Feed) -> "Iterator[Judgement]":
    from aerocast.alerts import conditions
    from aerocast.contracts import loop_notes

    for target in feed.targets:
        try:
            notes = loop_notes.decisions(home, feed.name, target).read()
        except AeroCastError:
            yield conditions.unclear(conditions.OF_TARGET, feed.name, target)
        else:
            yield conditions.decision(feed.name, target, conditions.newest_of(notes.decisions) if notes else None)


def of_checks(instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]) -> "Judgement":
    """Checks whose newest result is a failure with severity ERROR; one that is under way is unclear."""
    from aerocast.alerts import conditions
    from aerocast.contracts.alarms import Condition, Judgement

    own, unclear = list[Condition](), list[str]()
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    for key, record in sorted(records.items(), key=lambda item: str(item[0])):
        evaluation, feed = record.evaluation, key.asset_key.path[0]
        since = datetime.fromtimestamp(record.create_timestamp, UTC)
        name = f"{key.asset_key.to_user_string()}:{key.name}"
        if evaluation is None:
            unclear.append(conditions.failing(name, feed, "", since).key)
        elif not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR:
            own.append(conditions.failing(name, feed, evaluation.description or "", since))
    return Judgement(tuple(own), tuple(unclear))
