"""The seasonal baseline of outcomes as SQL: the newest value seasons before the target's time that the origin knew.

A season of whole days follows the station's clock, as for models (`aerocast.features.seasons`). Of several seasons the
one with the least error counts, for each target and horizon of a month: a forecast is compared with the best of them.
"""

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from aerocast.common.months import month_span
from aerocast.common.sql import literal
from aerocast.common.times import MICROSECOND, to_numpy
from aerocast.features.grid import Times
from aerocast.features.local_time import offsets
from aerocast.feed.declaration import Feed


def reach(feed: Feed) -> timedelta:
    """How far before a target time its row looks: to the origin, and to the seasons before that were known there."""
    longest = feed.horizons[-1] * feed.cadence
    return max(longest, *((-(-longest // season) + 1) * season for season in feed.seasons))


def joins(feed: Feed, month: str) -> str:
    """Joins `levels` to the month's forecasts `i`, once a season."""
    zones = ", ".join(f"({literal(station)}, {literal(zone)})" for station, zone in feed.zones.items())
    return f"LEFT JOIN (VALUES {zones}) z(id, zone) ON z.id = i.station" + "".join(
        f" LEFT JOIN levels b{at} ON b{at}.target = i.target AND b{at}.station = i.station"
        f" AND epoch_us(b{at}.time) = {_before(feed, season, month)}"
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


def _before(feed: Feed, season: timedelta, month: str) -> str:
    """The newest instant, in microseconds since 1970, that lies seasons before `i.time` and not after `i.origin`."""
    length, time, origin = season // MICROSECOND, "epoch_us(i.time)", "epoch_us(i.origin)"
    count = f"(({time} - {origin} + {length - 1}) // {length})"
    if season % timedelta(days=1) or not feed.cadence % timedelta(days=1):
        return f"{time} - {length} * {count}"
    near, far = (_same_hour(feed, f"({time} - {length} * ({count} + {back}))", month) for back in (0, 1))
    return f"CASE WHEN {near} <= {origin} THEN {near} ELSE {far} END"


def _same_hour(feed: Feed, before: str, month: str) -> str:
    """The instant at which clocks show what they show at `i.time`; `before` is whole days earlier by UTC."""
    now, then = (_ahead(feed, time, month) for time in ("epoch_us(i.time)", before))
    if now == then:  # clocks that are not changed
        return before
    step = feed.cadence // MICROSECOND
    return f"{before} + CASE WHEN ({now} - {then}) % {step} = 0 THEN {now} - {then} ELSE 0 END"


def _ahead(feed: Feed, time: str, month: str) -> str:
    """Microseconds that the station's clock is ahead of UTC; 0 for a station that is no longer declared.

    Spelt out: DuckDB's own conversion of an instant takes longer than all else that is joined.
    """
    start, end = month_span(month)
    quarters = np.arange(to_numpy(start - reach(feed)), to_numpy(end), np.timedelta64(900, "s"))
    by_zone = {zone: _steps(quarters, offsets(quarters, zone), time) for zone in sorted(set(feed.zones.values()))}
    if set(by_zone.values()) == {"0"}:
        return "0"
    cases = " ".join(f"WHEN {literal(zone)} THEN {own}" for zone, own in by_zone.items())
    return f"CASE z.zone {cases} ELSE 0 END"


def _steps(times: Times, seconds: NDArray[np.float64], time: str) -> str:
    """SQL: of the `seconds` (n,) that hold from `times` (n,) on those of an expression's instant, in microseconds."""
    changes = np.flatnonzero(np.diff(seconds)) + 1
    values = [int(each) * 1_000_000 for each in seconds[[0, *changes]]]
    borders = [int(each) * 1_000_000 for each in times[changes].astype(np.int64)]
    cases = " ".join(f"WHEN {time} < {border} THEN {value}" for border, value in zip(borders, values, strict=False))
    return f"CASE {cases} ELSE {values[-1]} END" if cases else str(values[-1])
