"""From facts to conditions: no clock, no disk. What is not known is said, so that an open alarm outlasts a file that
cannot be read for a while.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from aerocast.common.times import to_minute
from aerocast.common.waits import is_recent
from aerocast.common.words import count, duration
from aerocast.contracts.alarms import AlarmKind, Condition, Heartbeat, Judge, Judgement, key_of
from aerocast.contracts.drift_state import Heat
from aerocast.contracts.loop_notes import PastDecision

MOST_STATIONS = 10  # silent ones of a feed that are told one by one
SHOWN = 5
SILENT: Mapping[Judge, AlarmKind] = {"platform": "platform_silent", "server": "server_silent"}
OF_FEED: tuple[AlarmKind, ...] = ("feed_silent", "station_silent", "drift_hot", "retrain_useless")
OF_TARGET: tuple[AlarmKind, ...] = ("release_refused", "release_withdrawn")
ROOM_AGAIN = 0.02  # of the disk beyond the limit, until it has room again: at the limit it would come and go


def together(judgements: Iterable[Judgement]) -> Judgement:
    """All that was judged apart, as one."""
    every = list(judgements)
    return Judgement(
        tuple(each for one in every for each in one.conditions), tuple(key for one in every for key in one.unclear)
    )


def unclear(kinds: Iterable[AlarmKind], *about: str) -> Judgement:
    """That nothing is known of conditions of these kinds; of one feed, one target where that is said."""
    return Judgement((), tuple(f"{key_of(kind, *about)}/" for kind in kinds))


def silence(
    feed: str, newest: Mapping[str, datetime | None], patience: timedelta, now: datetime, end: datetime | None
) -> Judgement:
    """Stations whose newest reading is older than the feed's patience; None: there is none at all.

    Of a feed with more than a few of them, or with no other, one condition tells it: then its stations stay as they
    are. A recorded feed that has come to its end is not silent but over.
    """
    if end is not None and now >= end:
        return Judgement()
    late = {station: at for station, at in newest.items() if at is None or now - at > patience}
    if not late:
        return Judgement()
    if len(late) <= MOST_STATIONS and len(late) < len(newest):
        return Judgement(tuple(_silent_station(feed, station, at, patience, now) for station, at in late.items()))
    last = max((at for at in late.values() if at), default=None)
    names = ", ".join(sorted(late)[:SHOWN]) + (", ..." if len(late) > SHOWN else "")
    who = "every station" if len(late) == len(newest) else f"{len(late)} of {count(len(newest), 'station')} ({names})"
    text = f"{feed}: {who} silent for more than {duration(patience)}" + (f", since {to_minute(last)}" if last else "")
    return Judgement((Condition("feed_silent", text, feed, since=last),), unclear(["station_silent"], feed).unclear)


def _silent_station(feed: str, station: str, at: datetime | None, patience: timedelta, now: datetime) -> Condition:
    age = f"its newest reading is {duration(now - at)} old, of {to_minute(at)}" if at else "there is no reading of it"
    text = f"{feed}: {station} is silent: {age}; {duration(patience)} are allowed"
    return Condition("station_silent", text, feed, station=station, since=at)


def hot(feed: str, heat: Heat, evidence: str) -> Judgement:
    """That the drift of a target lasts."""
    if not heat.hot:
        return Judgement()
    text = f"{feed}: drift of {heat.target} lasts: {evidence}"
    return Judgement((Condition("drift_hot", text, feed, heat.target, since=heat.since),))


def useless(feed: str, target: str, has_helped: bool, why: str, since: datetime | None) -> Judgement:
    """That a retrain had its time and the target is still hot."""
    if has_helped:
        return Judgement()
    return Judgement((Condition("retrain_useless", f"{feed}: {target} is {why}", feed, target, since=since),))


def decision(feed: str, target: str, newest: PastDecision | None) -> Judgement:
    """What the newest decision came to: a trial refused, or what served was replaced without one.

    Either is over with the next trial that promotes, or with a person's hold.
    """
    if newest is None:
        return Judgement()
    if newest.test_rows is not None:
        if newest.promoted or newest.hold:
            return Judgement()
        text = f"{feed}: a release of {target} was refused: {newest.reason}"
        return Judgement((Condition("release_refused", text, feed, target, since=newest.decided_at),))
    if newest.promoted and newest.incumbent and newest.version != newest.incumbent:
        text = f"{feed}: release {newest.incumbent} of {target} was withdrawn for {newest.version}: {newest.reason}"
        return Judgement((Condition("release_withdrawn", text, feed, target, since=newest.decided_at),))
    if newest.promoted:
        return Judgement()
    return unclear(OF_TARGET, feed, target)  # a hold that was put or lifted: it changes nothing of what was before


def unusable(feed: str, target: str, error: str | None, since: datetime | None) -> Judgement:
    """That a release does not load, so that another one serves, or none."""
    if error is None:
        return Judgement()
    text = f"{feed}: a release of {target} does not load: {error}"
    return Judgement((Condition("release_unusable", text, feed, target, since=since),))


def failing(check: str, feed: str | None, description: str, since: datetime | None) -> Condition:
    """A check of an asset that failed as an error; `check` is `<asset>:<name>`."""
    return Condition("check_failed", f"{check} failed: {description or 'no reason was given'}", feed, check=check,
                     since=since)  # fmt: skip


def disk(free: int, total: int, least: float, is_open: bool) -> Judgement:
    """That less than a share of the disk is free."""
    if not total or free / total >= least + (ROOM_AGAIN if is_open else 0.0):
        return Judgement()
    text = f"the disk of the home is nearly full: {free / total:.1%} of it is free ({free / 1e9:,.1f} GB)"
    return Judgement((Condition("disk_full", text),))


def still(judge: Judge, beat: Heartbeat | None, watch_began: datetime, now: datetime, patience: timedelta) -> Judgement:
    """That the other judge looks no more. One that never did is not missed.

    For as long as `watch_began` is younger than the patience nothing is said: after a start of both, neither was idle.
    """
    kind = SILENT[judge]
    if beat is None or is_recent((now - beat.at).total_seconds(), patience.total_seconds()):
        return Judgement()
    if is_recent((now - watch_began).total_seconds(), patience.total_seconds()):
        return unclear([kind])
    how = "was stopped" if beat.ended else "is silent"
    text = f"the {judge} {how} since {to_minute(beat.at)}; {duration(patience)} are allowed"
    return Judgement((Condition(kind, text, since=beat.at),))


def newest_of(decisions: Sequence[PastDecision]) -> PastDecision | None:
    """The decision that stands: of those that are written newest first."""
    return decisions[0] if decisions else None
