"""Turns bronze into sliding: overlapping windows [start, start + size), one every `every`, labelled by their start.

A window holds no reading at or after its end. It is there once it is final: when the feed's newest reading, of any
station, is `watermark` or more past its end. What comes later still counts, because a month is a pure function of
bronze: the month is made again, and the windows that hold the late reading change. Windows without a reading are not
stored, and nothing is filled.

Readings are summed up once per `every`, exactly, as in silver; a window's figures come from the total of these sums.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_span
from aerocast.common.times import EPOCH, MICROSECOND
from aerocast.feed.declaration import Feed, Sliding
from aerocast.tables import quantities
from aerocast.tables.silver import spreads, with_vectors


def declaration(feed: Feed) -> Sliding:
    """The feed's sliding windows. Raises AeroCastError if it declares none."""
    if feed.sliding is None:
        raise AeroCastError(f"feed {feed.name}: sliding: no sliding windows are declared")
    return feed.sliding


def lookahead(feed: Feed) -> timedelta:
    """How far after a month's end its windows depend on readings: the last one begins within the month."""
    sliding = declaration(feed)
    return sliding.size - sliding.every


def final_until(feed: Feed, newest: datetime) -> datetime:
    """The latest end of a window that is final when the feed's newest reading is this."""
    sliding = declaration(feed)
    return EPOCH + (newest - sliding.watermark - EPOCH) // sliding.every * sliding.every


def last_end(feed: Feed, month: str, newest: datetime) -> datetime:
    """The latest end that a final window of the month may have: where its rows stop, and no longer once it is over."""
    return min(final_until(feed, newest), month_span(month)[1] + lookahead(feed))


def build(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    bronze: duckdb.DuckDBPyRelation,
    months: Sequence[str],
    newest: datetime,
) -> duckdb.DuckDBPyRelation:
    """Windows of `months`: `station`, `time` (start), per series `c_mean` .. `c_count`, `readings`, `month`.

    `bronze` is a relation of `con` with at least these months, `lookahead` after each and `quantities.reach` before it;
    `newest` is the newest reading of the whole feed (`Lake.span`). `c_std` is the sample's, null for one reading;
    angles and vectors are as in silver, and `readings` counts rows, whatever was measured in them. A column whose value
    is not its mean has it as `c_value`. The relation is read lazily.
    """
    con.execute("SET TimeZone = 'UTC'")
    bronze.create_view("sliding_bronze", replace=True)
    sliding = declaration(feed)
    every, parts = sliding.every // MICROSECOND, sliding.size // sliding.every
    runs = _runs(feed, months, newest)
    windows = " OR ".join(f"bucket - back BETWEEN {low} AND {high - 1}" for low, high in runs)
    readings, near = (
        " OR ".join(
            f"(time >= make_timestamptz({low * every - before // MICROSECOND})"
            f" AND time < make_timestamptz({(high + parts - 1) * every}))"
            for low, high in runs
        )
        for before in (timedelta(0), quantities.reach(feed))
    )
    rows = f"(SELECT *{with_vectors(feed)} FROM sliding_bronze WHERE {near or 'false'})"
    values, sums, totals, figures = spreads(feed, sliding.size)
    return con.sql(f"""
        WITH sums AS MATERIALIZED (
            SELECT station, bucket, count(*) AS readings, {sums} FROM (
                SELECT station, epoch_us(time) // {every} AS bucket, {values} FROM {quantities.readings(feed, rows)}
                WHERE {readings or "false"})
            GROUP BY station, bucket),
        windows AS (
            SELECT station, bucket - back AS slot, sum(readings) AS readings, {totals}
            FROM sums, range({parts}) parts(back) WHERE {windows or "false"} GROUP BY station, slot)
        SELECT station, make_timestamptz(slot * {every}) AS time, {figures}, CAST(readings AS INTEGER) AS readings,
            strftime(make_timestamptz(slot * {every}), '%Y-%m') AS month
        FROM windows""")


def _runs(feed: Feed, months: Sequence[str], newest: datetime) -> list[tuple[int, int]]:
    """The final windows of the months as numbers [low, high), counted in `every` from 1970; neighbours are joined."""
    sliding, runs = declaration(feed), list[tuple[int, int]]()
    for month in sorted(set(months)):
        low = (month_span(month)[0] - EPOCH) // sliding.every
        high = (last_end(feed, month, newest) - sliding.size - EPOCH) // sliding.every + 1
        if high <= low:
            continue
        if runs and runs[-1][1] == low:
            low = runs.pop()[0]
        runs.append((low, high))
    return runs
