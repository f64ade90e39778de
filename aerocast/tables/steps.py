"""The steps of a feed's grid: which one holds an instant, what it is called, and how long it is.

A step shorter than a day is [label, label + cadence) in UTC, whatever clocks do. A step of a day is a day of its
station's clock, which has 23 or 25 hours where clocks are changed, and a step of a week is seven of them from Monday
on. Its label is the date of its first day as 00:00 UTC, so a grid of days is as regular as one of hours.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from aerocast.common.sql import literal
from aerocast.common.times import EPOCH, MICROSECOND
from aerocast.feed.declaration import Feed

DAY = timedelta(days=1)
MONDAY = timedelta(days=4)  # after 1 January 1970, a Thursday


def follow_clock(feed: Feed) -> bool:
    """Whether steps are days or weeks of local clocks other than UTC."""
    return not feed.cadence % DAY and any(zone != "UTC" for zone in feed.zones.values())


def slack(feed: Feed) -> timedelta:
    """How far from its label, beyond the cadence, an instant of a step may lie."""
    return DAY if follow_clock(feed) else timedelta(0)


def clock(feed: Feed, time: datetime, station: str) -> datetime:
    """What the station's clock shows, as if in UTC, where steps follow it; the instant itself elsewhere."""
    if not follow_clock(feed):
        return time
    return time.astimezone(ZoneInfo(feed.zones[station])).replace(tzinfo=UTC)


def clocks(feed: Feed, time: datetime) -> tuple[datetime, datetime]:
    """The earliest and the latest `clock` of all stations."""
    local_time = [clock(feed, time, station) for station in feed.zones]
    return min(local_time), max(local_time)


def number(feed: Feed, local_time: datetime) -> int:
    """The number of the step that holds what a `clock` shows, or has this label."""
    return (local_time - EPOCH - _origin(feed)) // feed.cadence


def label(feed: Feed, number: int) -> datetime:
    return EPOCH + _origin(feed) + number * feed.cadence


def first_from(feed: Feed, local_time: datetime) -> int:
    """The number of the first step with this label or a later one."""
    return -(-(local_time - EPOCH - _origin(feed)) // feed.cadence)


def floor(feed: Feed, local_time: datetime) -> datetime:
    """The label of the step that holds what a `clock` shows."""
    return label(feed, number(feed, local_time))


def sql_clock(feed: Feed, time: str = "time", station: str = "station") -> str:
    """SQL, as `clock`: microseconds since 1970, of an expression's instant and station."""
    if not follow_clock(feed):
        return f"epoch_us({time})"
    return f"epoch_us(timezone({_zone(feed, station)}, {time}))"


def sql_number(feed: Feed, microseconds: str) -> str:
    """SQL, as `number`: of the microseconds of a `sql_clock`, or of a label."""
    return f"(({microseconds} - {_origin(feed) // MICROSECOND}) // {feed.cadence // MICROSECOND})"


def sql_label(feed: Feed, number: str) -> str:
    """SQL, as `label`: microseconds since 1970."""
    return f"({number} * {feed.cadence // MICROSECOND} + {_origin(feed) // MICROSECOND})"


def sql_length(feed: Feed, number: str = "step", station: str = "station") -> str:
    """SQL: microseconds from a step's beginning to its end."""
    if not follow_clock(feed):
        return str(feed.cadence // MICROSECOND)
    begin, end = (
        f"epoch_us(timezone({_zone(feed, station)}, make_timestamp({sql_label(feed, each)})))"
        for each in (number, f"({number} + 1)")
    )
    return f"({end} - {begin})"


def _zone(feed: Feed, station: str) -> str:
    zones = " ".join(f"WHEN {literal(id)} THEN {literal(zone)}" for id, zone in feed.zones.items())
    first = next(iter(feed.zones.values()))  # for a station that joined by a reading
    return f"CASE {station} {zones} ELSE {literal(first)} END"


def _origin(feed: Feed) -> timedelta:
    """From 1970 to the beginning of the step with the number 0."""
    return timedelta(0) if feed.cadence % (7 * DAY) else MONDAY
