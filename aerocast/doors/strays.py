"""Readings that came before their time could be placed: they go to their own month once the declaration covers it.

A reading before the feed's start, after its end or ahead of its clock lies in the month with which it came. Its row is
copied to the month of its time, with its place among all deliveries, and withdrawn where it was: in one commit.
"""

from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from aerocast.doors.slots import withdrawals
from aerocast.feed import Feed
from aerocast.lake import DELIVERY, Lake
from aerocast.marks import number
from aerocast.months import month_of, month_span
from aerocast.quality import edges
from aerocast.sources.base import WITHDRAWAL, Delivery, raw_schema
from aerocast.sql import literal, quoted, timestamp

_STREAM = "placed"


def placeable(feed: Feed, now: datetime) -> tuple[datetime, datetime]:
    """The first instant, and the one after the last, whose months take readings at the feed's `now`."""
    last = feed.end - timedelta(microseconds=1) if feed.end else None
    present = max(now, feed.start) if last is None else min(max(now, feed.start), last)
    ahead = present + (feed.cadence if last is None else min(feed.cadence, last - present))
    return month_span(month_of(feed.start))[0], month_span(month_of(ahead))[1]


def place(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, table: str, now: datetime) -> int:
    """Moves the strays that have a month now; how many. Looks again only when what can be placed has changed.

    Raises:
        AeroCastError: the lake cannot be read or written.
    """
    low, high = placeable(feed, now)
    bounds = number(low, high)
    while True:
        version = lake.version(table)
        if version is None or lake.transactions(table).get(_STREAM) == bounds:
            return 0
        rows = _moved(con, lake, feed, table, version, low, high)
        if lake.amend(table, rows, _STREAM, bounds, upon=version, edges=edges(feed)):
            return sum(flags != WITHDRAWAL for flags in rows["flags"].to_pylist())


def _moved(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, table: str, version: int, low: datetime, high: datetime
) -> pa.Table:
    """Copies of the strays in their own months, and withdrawals of them in those where they are."""
    schema = raw_schema(feed).append(pa.field(DELIVERY, pa.int64()))
    months = [month for month, span in lake.spans(table).items() if _has_strays(month, span, low, high)]
    if not months:
        return schema.empty_table()
    stored = lake.relation(con, table, months, version)
    flags = "" if "flags" in stored.columns else ", NULL::VARCHAR AS flags"  # of a raw table of an older home
    stored.select(f"*{flags}").create_view("strays_raw", replace=True)
    key = "PARTITION BY month, source, station, time_text"
    withdrawn = f"max(CASE WHEN flags = {literal(WITHDRAWAL)} THEN ({DELIVERY}, line) END) OVER ({key})"
    columns = ", ".join(
        quoted(name) for name in schema.names if name in stored.columns and name not in ("month", "flags")
    )
    span = f"time >= {timestamp(low)}::TIMESTAMPTZ AND time < {timestamp(high)}::TIMESTAMPTZ"
    con.execute("SET TimeZone = 'UTC'")
    found = con.sql(f"""
        SELECT {columns}, flags, strftime(time, '%Y-%m') AS month, month AS came_with
        FROM (SELECT *, {withdrawn} AS upto FROM strays_raw WHERE {span})
        WHERE strftime(time, '%Y-%m') <> month AND flags IS DISTINCT FROM {literal(WITHDRAWAL)}
            AND (upto IS NULL OR ({DELIVERY}, line) > upto)
        ORDER BY {DELIVERY}, line""").to_arrow_table()
    copies = pa.table([_column(found, field) for field in schema], schema=schema)
    return pa.concat_tables([*_withdrawn(feed, found, schema), copies])


def _has_strays(month: str, span: tuple[datetime, datetime], low: datetime, high: datetime) -> bool:
    """Whether a month holds times of other months that can be placed, as far as the log says."""
    start, end = month_span(month)
    before, after = span[0] < start and start > low, span[1] >= end and end < high
    return before or after


def _withdrawn(feed: Feed, found: pa.Table, schema: pa.Schema) -> list[pa.Table]:
    """Withdrawals in the months where the strays are, a table a (month, source)."""
    tables, line = [], 0
    for came_with, source in sorted(set(zip(*(found[n].to_pylist() for n in ("came_with", "source")), strict=True))):
        rows = [
            row
            for row in found.select(["station", "time", "time_text", "came_with", "source"]).to_pylist()
            if (row["came_with"], row["source"]) == (came_with, source)
        ]
        distinct = {(row["station"], row["time_text"]): row for row in rows}
        table = pa.Table.from_pylist(list(distinct.values()), found.select(["station", "time", "time_text"]).schema)
        gone = withdrawals(feed, table, source, Delivery(came_with, _STREAM, "", table))
        lines = pa.array(range(line - len(gone), line), pa.int64())
        line -= len(gone)
        gone = gone.set_column(gone.column_names.index("line"), "line", lines)
        tables.append(gone.append_column(DELIVERY, pa.nulls(len(gone), pa.int64())).cast(schema))
    return tables


def _column(found: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    return found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(len(found), field.type)
