"""The seasonal baseline of outcomes as SQL: the newest value seasons before the target's time that the origin knew.

A season of whole days follows the station's clock, as for models (`aerocast.features.seasons`). Of several seasons the
one with the least error counts, for each target and horizon of a month: a forecast is compared with the best of them.
"""

from datetime import timedelta

from aerocast.common.sql import literal
from aerocast.common.times import MICROSECOND
from aerocast.feed.declaration import Feed


def reach(feed: Feed) -> timedelta:
    """How far before a target time its row looks: to the origin, and to the seasons before that were known there."""
    longest = feed.horizons[-1] * feed.cadence
    return max(longest, *((-(-longest // season) + 1) * season for season in feed.seasons))


def joins(feed: Feed) -> str:
    """Joins `levels` to the forecasts `i`, once a season."""
    zones = ", ".join(f"({literal(station)}, {literal(zone)})" for station, zone in feed.zones.items())
    return f"LEFT JOIN (VALUES {zones}) z(id, zone) ON z.id = i.station" + "".join(
        f" LEFT JOIN levels b{at} ON b{at}.target = i.target AND b{at}.station = i.station"
        f" AND epoch_us(b{at}.time) = {_before(feed, season)}"
        for at, season in enumerate(feed.seasons)
    )


def values(feed: Feed) -> str:
    """The seasons' values, after `joins`, as a list; the last value where one is missing."""
    return f"[{', '.join(f'coalesce(b{at}.level, last.level)' for at in range(len(feed.seasons)))}]"


def best(feed: Feed) -> str:
    """The value of the season with the least error, of a row with `seasonal` and `actual`."""
    if len(feed.seasons) == 1:
        return "seasonal[1]"
    errors = ", ".join(
        f"avg((actual - seasonal[{at + 1}]) ** 2) OVER (PARTITION BY target, horizon)"
        for at in range(len(feed.seasons))
    )
    return f"seasonal[coalesce(list_position([{errors}], list_min([{errors}])), 1)]"


def _before(feed: Feed, season: timedelta) -> str:
    """The newest instant, in microseconds since 1970, that lies seasons before `i.time` and not after `i.origin`."""
    length, time, origin = season // MICROSECOND, "epoch_us(i.time)", "epoch_us(i.origin)"
    count = f"(({time} - {origin} + {length - 1}) // {length})"
    if season % timedelta(days=1) or not feed.cadence % timedelta(days=1):
        return f"{time} - {length} * {count}"
    near, far = (_same_hour(feed, f"({time} - {length} * ({count} + {back}))") for back in (0, 1))
    return f"CASE WHEN {near} <= {origin} THEN {near} ELSE {far} END"


def _same_hour(feed: Feed, before: str) -> str:
    """The instant at which clocks show what they show at `i.time`; `before` is whole days earlier by UTC."""
    change = f"({_ahead('epoch_us(i.time)')} - {_ahead(before)})"
    step = feed.cadence // MICROSECOND
    return f"{before} + CASE WHEN {change} % {step} = 0 THEN {change} ELSE 0 END"


def _ahead(time: str) -> str:
    """Microseconds that the station's clock is ahead of UTC; 0 for a station that is no longer declared."""
    return f"coalesce(epoch_us(timezone(z.zone, make_timestamptz({time}))) - {time}, 0)"
