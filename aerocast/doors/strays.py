"""Readings whose month, or whose instant, the declaration tells otherwise now: they go to where they belong.

A reading before the feed's start, after its end or ahead of its clock lies in the month with which it came, and so does
one whose time has no offset as long as no zone is declared. Once the declaration covers it, its row is copied to the
month of its time, with its place among all deliveries, and withdrawn where it was: in one commit.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.doors.slots import withdrawals
from aerocast.feed import Feed
from aerocast.instants import Instants
from aerocast.lake import DELIVERY, Lake
from aerocast.marks import number
from aerocast.months import month_of, month_span
from aerocast.quality import edges
from aerocast.sources.base import WITHDRAWAL, Delivery, raw_schema
from aerocast.sql import literal, quoted, timestamp
from aerocast.times import wall_time

_MONTHS, _ZONE = "placed/months", "placed/zone"  # what raw was looked through for, and with which outcome in mind

_PART = r"^(inbox/[0-9a-f]{64})/\d+$"  # an inbox's file comes in parts

# Beside fields of any name.
_CAME, _INSTANT, _UPTO = "came with", "its instant", "taken back up to"


def placeable(feed: Feed, now: datetime) -> tuple[datetime, datetime]:
    """The first instant, and the one after the last, whose months take readings at the feed's `now`."""
    last = feed.end - timedelta(microseconds=1) if feed.end else None
    present = max(now, feed.start) if last is None else min(max(now, feed.start), last)
    ahead = present + (feed.cadence if last is None else min(feed.cadence, last - present))
    return month_span(month_of(feed.start))[0], month_span(month_of(ahead))[1]


def place(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, table: str, now: datetime) -> int:
    """Moves the rows that belong elsewhere now; how many. Looks again only when zone or placeable months have changed.

    Raises:
        AeroCastError: the lake cannot be read or written.
    """
    span = placeable(feed, now)
    return sum(
        _settle(con, lake, feed, table, stream, state, span)
        # The zone first: by it a time may turn out to lie in another month.
        for stream, state in ((_ZONE, number(feed.source.timezone)), (_MONTHS, number(*span)))
    )


def _settle(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: Feed,
    table: str,
    stream: str,
    state: int,
    span: tuple[datetime, datetime],
) -> int:
    while True:
        version = lake.version(table)
        known = lake.transactions(table).get(stream) if version is not None else state
        if version is None or known == state:
            return 0
        con.execute("SET TimeZone = 'UTC'")
        if stream == _MONTHS:
            found = _outside(con, lake, feed, table, version, span)
        else:
            # Never settled, and no zone: whatever has no offset has no instant, as it should.
            found = _naive(con, lake, feed, table, version, span) if known or feed.source.timezone else None
        moved = _moves(feed, found)
        if lake.amend(table, moved, stream, state, upon=version, edges=edges(feed)):
            return 0 if found is None else len(found)


def _outside(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: Feed,
    table: str,
    version: int,
    span: tuple[datetime, datetime],
) -> pa.Table | None:
    """The rows of placeable months that lie in others, as far as the log says which may have any."""
    months = [month for month, held in lake.spans(table).items() if _has_strays(month, held, *span)]
    if not months:
        return None
    low, high = (f"{timestamp(bound)}::TIMESTAMPTZ" for bound in span)
    _live(con, lake, table, months, version, f"time >= {low} AND time < {high}")
    return con.sql(
        f"SELECT * REPLACE (strftime(time, '%Y-%m') AS month), month AS {quoted(_CAME)} FROM live_rows"
        f" WHERE strftime(time, '%Y-%m') <> month ORDER BY {DELIVERY}, line"
    ).to_arrow_table()


def _naive(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: Feed,
    table: str,
    version: int,
    span: tuple[datetime, datetime],
) -> pa.Table | None:
    """The rows whose time has no offset, with the instant that the zone gives it now, where that is another one.

    They are delivered anew, in their order: a row that stays in its month must come after its own withdrawal. So do all
    others of the same words, of which a clock that repeats an hour shows two instants: a withdrawal is of them all.
    """
    _live(con, lake, table, None, version, f"{wall_time('time_text')} IS NOT NULL")
    rows = con.sql(f"SELECT *, month AS {quoted(_CAME)} FROM live_rows ORDER BY {DELIVERY}, line").to_arrow_table()
    if not len(rows):
        return None
    own = pc.equal(rows["source"], feed.source.label)  # a file is one delivery, in how many parts it ever came
    delivery = pc.if_else(own, rows["source"], pc.replace_substring_regex(rows["segment"], _PART, r"\1"))
    clocks = pc.binary_join_element_wise(pc.fill_null(rows["station"], ""), delivery, "/")
    instants = Instants(con, feed.source.timezone).of(rows["time_text"], clocks, rows["time"])
    rows = rows.append_column(_INSTANT, instants)
    con.register("strays_naive", rows)
    low, high = (f"{timestamp(bound)}::TIMESTAMPTZ" for bound in span)
    instant = quoted(_INSTANT)
    inside = f"CASE WHEN {instant} >= {low} AND {instant} < {high} THEN strftime({instant}, '%Y-%m') ELSE month END"
    found = con.sql(
        f"SELECT * EXCLUDE ({instant}) REPLACE ({instant} AS time, {inside} AS month, NULL::BIGINT AS {DELIVERY},"
        f" row_number() OVER (ORDER BY {DELIVERY}, line) - 1 AS line) FROM strays_naive"
        f" QUALIFY bool_or({instant} IS DISTINCT FROM strays_naive.time) OVER (PARTITION BY {quoted(_CAME)}, source,"
        " station, time_text) ORDER BY line"
    ).to_arrow_table()
    con.unregister("strays_naive")
    return found


def _live(
    con: duckdb.DuckDBPyConnection, lake: Lake, table: str, months: list[str] | None, version: int, which: str
) -> None:
    """The view `live_rows`: raw's rows that `which` (SQL) chooses, but for withdrawals and what they take back."""
    stored = lake.relation(con, table, months, version)
    flags = "" if "flags" in stored.columns else ", NULL::VARCHAR AS flags"  # of a raw table of an older home
    stored.select(f"*{flags}").create_view("strays_raw", replace=True)
    said = f"flags = {literal(WITHDRAWAL)}"
    upto = f"max(CASE WHEN {said} THEN ({DELIVERY}, line) END) OVER (PARTITION BY month, source, station, time_text)"
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW live_rows AS SELECT * EXCLUDE ({quoted(_UPTO)}) FROM ("
        f" SELECT *, {upto} AS {quoted(_UPTO)} FROM strays_raw WHERE {which} OR {said})"
        f" WHERE ({said}) IS NOT TRUE AND ({quoted(_UPTO)} IS NULL OR ({DELIVERY}, line) > {quoted(_UPTO)})"
    )


def _has_strays(month: str, span: tuple[datetime, datetime], low: datetime, high: datetime) -> bool:
    """Whether a month holds times of other months that can be placed, as far as the log says."""
    start, end = month_span(month)
    before, after = span[0] < start and start > low, span[1] >= end and end < high
    return before or after


def _moves(feed: Feed, found: pa.Table | None) -> pa.Table:
    """Withdrawals of rows where they are (`came with`), and their copies where they belong."""
    schema = raw_schema(feed).append(pa.field(DELIVERY, pa.int64()))
    if found is None or not len(found):
        return schema.empty_table()
    copies = pa.table([_column(found, field) for field in schema], schema=schema)
    return pa.concat_tables([*_withdrawn(feed, found, schema), copies])


def _withdrawn(feed: Feed, found: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
    """Withdrawals, a table a (month, source); their lines are negative, and no two of a commit are the same."""
    key, line = ["station", "time", "time_text"], 0
    places = found.group_by([_CAME, "source"]).aggregate([])
    for place in sorted(places.to_pylist(), key=lambda each: (each[_CAME], each["source"])):
        own = found.filter(pc.and_(pc.equal(found[_CAME], place[_CAME]), pc.equal(found["source"], place["source"])))
        distinct = own.select(key).group_by(key).aggregate([])
        table = withdrawals(feed, distinct, place["source"], Delivery(place[_CAME], "placed", "", distinct))
        lines = pa.array(range(line - len(table), line), pa.int64())
        line -= len(table)
        table = table.set_column(table.column_names.index("line"), "line", lines)
        yield table.append_column(DELIVERY, pa.nulls(len(table), pa.int64())).cast(schema)


def _column(found: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    return found[field.name].cast(field.type) if field.name in found.column_names else pa.nulls(len(found), field.type)
