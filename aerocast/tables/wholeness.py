"""Decides which steps are whole, and so where each station's grid ends.

Only a whole step is an input or an outcome. What arrived decides first: a step is whole
once its station's usual last reading in a step is there, so a station that reports once a step, at whatever minute, is
as new as its reading; or once the others have a whole step beyond it. A station that fell silent in the middle of a
step is waited for as long as the feed's `freshness`. A step without any reading of a station is a gap once it is over
by the feed's clock. A recording that is at its `end` holds whole steps only.

Habits are learned from the newest steps, so nothing has to be declared, and they follow a station that changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aerocast.common.months import month_of, month_span, months_around
from aerocast.common.sql import quoted, timestamp
from aerocast.common.times import from_numpy
from aerocast.features.grid import Progress
from aerocast.feed.declaration import Feed
from aerocast.tables import steps
from aerocast.tables.silver import Extent, begin, floor, names

if TYPE_CHECKING:
    import duckdb

    from aerocast.lake import LakeReader

HABIT = 24  # steps with a reading, before the newest, that say what is usual
JITTER = 4  # a reading may come this part of the usual interval early

Span = tuple[datetime, datetime]
_NOTHING = timedelta(0)


def span_of(lake: LakeReader, feed: Feed) -> Span | None:
    """The first and the newest reading; months that retention removed still count, so that no month looks new."""
    span, removals = lake.span(f"{feed.name}/bronze"), lake.ledger(f"{feed.name}/bronze").removed_months()
    return (min(span[0], month_span(min(removals))[0]), span[1]) if span and removals else span


def extent_of(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, now: datetime) -> Extent | None:
    """Where the feed's grid begins and ends at its `now`; None without a reading."""
    span = span_of(lake, feed)
    if span is None or _is_over(feed, span[1], now):
        return Extent.of_recording(feed, *span) if span else None
    return extent(feed, span, progress(con, lake, feed, span[1]), now)


def progress(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, newest: datetime) -> dict[str, Progress]:
    """How far the readings of each station have come; only stations with one in the newest steps up to `newest`."""
    since = floor(feed, newest) - 2 * HABIT * feed.cadence - steps.slack(feed)
    months = months_around([month_of(since), month_of(newest)], _NOTHING, _NOTHING)
    rows = lake.relation(con, f"{feed.name}/bronze", months)
    return of_readings(con, feed, rows.filter(f"time >= {timestamp(since)}::TIMESTAMPTZ"))


def of_readings(con: duckdb.DuckDBPyConnection, feed: Feed, bronze: duckdb.DuckDBPyRelation) -> dict[str, Progress]:
    """As `progress`, from all these readings."""
    label, number = steps.sql_label(feed, "step"), steps.sql_number(feed, steps.sql_clock(feed))
    columns = [column.name for column in feed.columns]
    values = "".join(f", {quoted(name)} AS v{i}" for i, name in enumerate(columns))
    counts = ", ".join(f"count(v{i}) AS n{i}" for i in range(len(columns)))
    before = f"FILTER (back BETWEEN 1 AND {HABIT})"
    here = ", ".join(f"max(n{i}) FILTER (back = 0)" for i in range(len(columns)))
    usual = ", ".join(f"median(n{i}) {before}" for i in range(len(columns)))
    bronze.create_view("wholeness_readings", replace=True)
    rows = con.execute(f"""
        WITH readings AS (
            SELECT station, epoch_us(time) AS moment, {steps.sql_clock(feed)} AS shown, {number} AS step{values}
            FROM wholeness_readings),
        gaps AS (SELECT station, moment - lag(moment) OVER (PARTITION BY station ORDER BY moment) AS gap FROM readings),
        intervals AS (SELECT station, coalesce(median(gap), 0) AS gap FROM gaps GROUP BY station),
        steps AS (
            SELECT station, step, max(moment) AS last, max(shown) - {label} AS elapsed, {counts},
                row_number() OVER (PARTITION BY station ORDER BY step DESC) - 1 AS back
            FROM readings GROUP BY station, step)
        SELECT station, max({label}) // 1000000, max(last) // 1000000,
            coalesce(max(elapsed) FILTER (back = 0) >= median(elapsed) {before} - any_value(gap) / {JITTER}, false),
            [{here}], [{usual}]
        FROM steps JOIN intervals USING (station) GROUP BY station""").fetchall()
    return {station: _progress(feed, *row) for station, *row in rows}


def _progress(feed: Feed, step: int, reading: int, full: bool, readings: list[Any], usual: list[Any]) -> Progress:
    missing = len(names(feed)) - len(feed.columns)  # a vector's components have no readings of their own
    return Progress(
        np.datetime64(step, "s"),
        np.datetime64(reading, "s"),
        full,
        np.array([*readings, *([0] * missing)], dtype=np.int64),
        np.array([np.nan if each is None else each for each in [*usual, *([None] * missing)]], dtype=np.float32),
    )


def extent(feed: Feed, span: Span, progress: Mapping[str, Progress], now: datetime) -> Extent:
    """The extent of a feed with these first and newest readings, at its `now`."""
    own = {station: progress[station] for station in feed.station_ids if station in progress}
    if _is_over(feed, span[1], now) or not own:
        return Extent.of_recording(feed, *span)
    begins = {station: from_numpy(each.step) for station, each in own.items()}
    local_times = {station: steps.clock(feed, now, station) for station in feed.station_ids}
    whole = {
        station: each.full or local_times[station] >= begins[station] + feed.cadence + feed.freshness
        for station, each in own.items()
    }
    front = max(begins[station] + whole[station] * feed.cadence for station in own)
    ends = {station: min(front, steps.floor(feed, moment)) for station, moment in local_times.items()}
    for station, start in begins.items():
        after = start + feed.cadence
        ends[station] = max(after, ends[station]) if whole[station] or after < front else start
    # A feed's first step is there from the start: so the table has a row, and no window is as short.
    first = begin(feed, span[0])
    return Extent(first, {station: max(end, first + feed.cadence) for station, end in ends.items()})


def _is_over(feed: Feed, newest: datetime, now: datetime) -> bool:
    """Whether all readings that are expected have come."""
    if feed.end:
        return now >= feed.end
    return steps.clocks(feed, now)[0] >= floor(feed, newest) + feed.cadence + feed.freshness
