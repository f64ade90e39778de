"""Moves readings whose month or instant is another one by a changed declaration to the month where they belong.

A reading before the feed's start, after its end or ahead of its clock lies in the month with which it came, and so does
one whose time has no offset as long as no zone is declared. Once the declaration covers it, its row is copied to the
month of its time and withdrawn where it was, in one commit. It keeps its place among all deliveries; what another zone
moves, though, counts as delivered when the zone was corrected.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.months import month_span
from aerocast.common.sql import literal, quoted, timestamp
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.slots import withdrawals
from aerocast.ingest.instants import instants_of, time_declaration
from aerocast.lake import DELIVERY, Lake, LakeReader
from aerocast.lake.fingerprints import fingerprint
from aerocast.tables.layers import raw_edges
from aerocast.tables.raw import WITHDRAWAL, Delivery, placeable, raw_schema

_MONTHS, _ZONE = "placed/months", "placed/zone"  # what raw was looked through for, and with which outcome in mind

POSTED = "http"
_PART = r"^(inbox/[0-9a-f]{64})/\d+$"
# Beside fields of any name.
_CAME, _WAS, _PLACE, _UPTO = "came with", "was at", "its place", "taken back up to"


class _Snapshot(NamedTuple):
    """Raw at one version; `low` and `high` bound the instants of placeable months, in SQL."""

    con: duckdb.DuckDBPyConnection
    lake: LakeReader
    table: str
    version: int
    low: str
    high: str

    @property
    def expired_months(self) -> str:
        """The months that retention has taken out, as a list in SQL that is never empty."""
        return ", ".join(map(literal, ["", *sorted(self.lake.ledger(self.table).removed_months())]))


def move_strays(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, now: datetime) -> int:
    """Moves the rows that belong elsewhere now; how many. Looks again only when zone or placeable months have changed.

    Raises:
        AeroCastError: the lake cannot be read or written.
    """
    span = placeable(feed, now)
    return sum(
        _move_stream(con, lake, feed, stream, state, span)
        # The zone first: by it a time may turn out to lie in another month.
        for stream, state in ((_ZONE, fingerprint(time_declaration(feed))), (_MONTHS, fingerprint(*span)))
    )


def _move_stream(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, stream: str, state: int, span: tuple[datetime, datetime]
) -> int:
    table, bounds = f"{feed.name}/raw", [f"{timestamp(edge)}::TIMESTAMPTZ" for edge in span]
    while True:
        version = lake.version(table)
        last_state = lake.ledger(table).position(stream)
        if version is None or last_state == state:
            return 0
        raw = _Snapshot(con, lake, table, version, *bounds)
        if stream == _MONTHS:
            rows = _outside(raw, span)
        elif last_state is None and time_declaration(feed) is None:
            rows = None  # whatever has no offset has no instant, as it should
        else:
            rows = _rows_of_other_instants(raw, feed, unread=last_state is None)
        moves = _moves(feed, rows)
        if lake.amend(table, moves, {stream: state}, upon=version, edges=raw_edges(feed)):
            return 0 if rows is None else len(rows)


def _outside(raw: _Snapshot, span: tuple[datetime, datetime]) -> pa.Table | None:
    """The rows of placeable months that lie in others, as far as the log says which may have any."""
    months = [month for month, own in raw.lake.spans(raw.table).items() if _has_strays(month, own, *span)]
    if not months:
        return None
    _live(raw, months, f"time >= {raw.low} AND time < {raw.high}")
    return raw.con.sql(
        f"SELECT * REPLACE (strftime(time, '%Y-%m') AS month), month AS {quoted(_CAME)}, time AS {quoted(_WAS)}"
        " FROM live_rows"
        f" WHERE strftime(time, '%Y-%m') NOT IN (month, {raw.expired_months}) ORDER BY {DELIVERY}, line"
    ).to_arrow_table()


def _rows_of_other_instants(raw: _Snapshot, feed: Feed, *, unread: bool) -> pa.Table | None:
    """The rows with the instants that the declaration gives their times now, where these are others.

    `unread`: only those that no instant was known of. All rows of a (station, time) come together, in their order, and
    are delivered again: a row that stays in its month must come after its withdrawal. What a file's source says is left
    to the file (`aerocast.ingest.channels.slots`).
    """
    con, month_of_instant = raw.con, "strftime(instant, '%Y-%m')"
    covered = f"instant >= {raw.low} AND instant < {raw.high} AND {month_of_instant} NOT IN ({raw.expired_months})"
    inside = f"CASE WHEN {covered} THEN {month_of_instant} ELSE month END"
    which = f"time_text IS NOT NULL{' AND time IS NULL' if unread else ''}"
    which += f" AND source <> {literal(feed.source.label)}" if feed.source.watch == "whole" else ""
    tables = []
    for month in raw.lake.months(raw.table):
        _live(raw, [month], which)
        rows = con.sql(f"SELECT * FROM live_rows ORDER BY {DELIVERY}, line").to_arrow_table()
        if not len(rows):
            continue
        clocks = pc.binary_join_element_wise(pc.fill_null(rows["station"], ""), _deliveries(rows), "/")
        times = pa.table({"instant": instants_of(con, feed).of(rows["time_text"], clocks)})
        con.register("strays_naive", rows.append_column(_PLACE, pa.array(range(len(rows)), pa.int64())))
        con.register("strays_told", times.append_column("place", pa.array(range(len(rows)), pa.int64())))
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE strays_changed AS
            SELECT DISTINCT source, station, time_text
            FROM strays_naive n JOIN strays_told t ON n.{quoted(_PLACE)} = t.place
            WHERE t.instant IS DISTINCT FROM n.time""")
        tables.append(
            con.sql(f"""
            SELECT * REPLACE (instant AS time, {inside} AS month) FROM (
                SELECT n.* EXCLUDE ({quoted(_PLACE)}), t.instant, n.month AS {quoted(_CAME)}, n.time AS {quoted(_WAS)}
                FROM strays_naive n JOIN strays_told t ON n.{quoted(_PLACE)} = t.place
                SEMI JOIN strays_changed c ON c.source = n.source AND c.station IS NOT DISTINCT FROM n.station
                    AND c.time_text = n.time_text
                ORDER BY t.place)""")
            .to_arrow_table()
            .drop_columns("instant")
        )
        con.unregister("strays_naive")
        con.unregister("strays_told")
    if not tables:
        return None
    result = pa.concat_tables(tables, promote_options="default")
    order = pc.sort_indices(result, [(DELIVERY, "ascending"), ("line", "ascending")])
    nulls = pa.nulls(len(result), pa.int64())
    result = result.take(order).set_column(result.column_names.index(DELIVERY), DELIVERY, nulls)
    return result.set_column(result.column_names.index("line"), "line", pa.array(range(len(result)), pa.int64()))


def _deliveries(rows: pa.Table) -> pa.ChunkedArray:
    """Whose wall clock is read on: a file's, whatever parts it came in. Which posts came together nobody knows now."""
    one = pc.binary_join_element_wise(
        rows["segment"], rows[DELIVERY].cast(pa.string()), rows["line"].cast(pa.string()), "/"
    )
    return pc.if_else(pc.equal(rows["source"], POSTED), one, pc.replace_substring_regex(rows["segment"], _PART, r"\1"))


def _live(raw: _Snapshot, months: list[str], which: str) -> None:
    """The view `live_rows`: raw's rows that `which` (SQL) chooses, but for withdrawals and what they take back."""
    relation = raw.lake.relation(raw.con, raw.table, months, raw.version)
    relation.create_view("strays_raw", replace=True)
    is_withdrawal = f"flags = {literal(WITHDRAWAL)}"
    key = "PARTITION BY month, source, station, time_text"
    upto = f"max(CASE WHEN {is_withdrawal} THEN ({DELIVERY}, line) END) OVER ({key})"
    raw.con.execute(
        f"CREATE OR REPLACE TEMP VIEW live_rows AS SELECT * EXCLUDE ({quoted(_UPTO)}) FROM ("
        f" SELECT *, {upto} AS {quoted(_UPTO)} FROM strays_raw WHERE {which} OR {is_withdrawal})"
        f" WHERE ({is_withdrawal}) IS NOT TRUE AND ({quoted(_UPTO)} IS NULL OR ({DELIVERY}, line) > {quoted(_UPTO)})"
    )


def _has_strays(month: str, span: tuple[datetime, datetime], low: datetime, high: datetime) -> bool:
    """Whether a month holds times of other months that can be placed, as far as the log says."""
    start, end = month_span(month)
    before, after = span[0] < start and start > low, span[1] >= end and end < high
    return before or after


def _moves(feed: Feed, rows: pa.Table | None) -> pa.Table:
    """Withdrawals of rows where they are (`came with`), and their copies where they belong."""
    schema = raw_schema(feed).append(pa.field(DELIVERY, pa.int64()))
    if rows is None or not len(rows):
        return schema.empty_table()
    copies = pa.table([_column(rows, field) for field in schema], schema=schema)
    return pa.concat_tables([*_withdrawal_tables(feed, rows, schema), copies])


def _withdrawal_tables(feed: Feed, rows: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
    """Withdrawals, a table a (month, source); their lines are negative, and no two of a commit are the same."""
    key, line = ["station", _WAS, "time_text"], 0
    origins = rows.group_by([_CAME, "source"]).aggregate([])
    for origin in sorted(origins.to_pylist(), key=lambda each: (each[_CAME], each["source"])):
        own = rows.filter(pc.and_(pc.equal(rows[_CAME], origin[_CAME]), pc.equal(rows["source"], origin["source"])))
        distinct = own.select(key).group_by(key).aggregate([]).rename_columns(["station", "time", "time_text"])
        table = withdrawals(feed, distinct, origin["source"], Delivery(origin[_CAME], "placed", "", distinct))
        lines = pa.array(range(line - len(table), line), pa.int64())
        line -= len(table)
        table = table.set_column(table.column_names.index("line"), "line", lines)
        yield table.append_column(DELIVERY, pa.nulls(len(table), pa.int64())).cast(schema)


def _column(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    return rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
