"""Into raw: what the source delivers and what waits at the doors, each exactly once, whatever its month.

A kill may come between any two lines here. Then the next intake finds what was appended there, and tells the doors.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import quoted
from aerocast.feed.model import Feed
from aerocast.ingest.doors import slots, strays
from aerocast.ingest.doors.base import Batch, Door
from aerocast.lake import DELIVERY, Lake, LakeReader, Stream, compaction
from aerocast.tables.layers import raw_edges
from aerocast.tables.raw import Delivery, raw_names

SOURCE = "source"  # the way in that is no door
_PLACE = "aerocast place"  # beside fields of any name


@dataclass
class IntakeReport:
    """What an intake found. `rows` are those appended, by the way they came in; `months` the same by month.

    `known` are readings of batches, or lines of a file, that were there already, `unsaid` those of a live source that
    say nothing new, `withdrawn` those that a file no longer holds, `placed` those that have a month only now.
    `failed` says of each way in that could not be read why, `rejected` what was put aside there and why, `notes` what
    was left out or looks odd.
    """

    rows: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    known: int = 0
    unsaid: int = 0
    withdrawn: int = 0
    placed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, way: str, table: pa.Table, *, fresh: bool) -> None:
        if not fresh:
            self.known += len(table)
            return
        self.segments += 1
        self.rows[way] += len(table)
        self.months.update(table["month"].to_pylist())


def table_of(feed: Feed) -> str:
    """The name of the feed's raw table in the lake."""
    return f"{feed.name}/raw"


def place_strays(lake: Lake, feed: Feed, now: datetime, taken: IntakeReport) -> None:
    """Readings that came too early or too late for the declaration of then go to the months of their times.

    Raises:
        AeroCastError: raw cannot be read or written.
    """
    with duckdb.connect() as con:
        taken.placed += strays.place(con, lake, feed, table_of(feed), now)


def take_all(lake: Lake, feed: Feed, doors: Sequence[Door]) -> IntakeReport:
    """Appends what waits at the doors. One that cannot be read is noted in `failed`, and the others are taken.

    Raises:
        AeroCastError: raw cannot be written; what was not appended waits at its door.
    """
    taken = IntakeReport()
    for door in doors:
        for batch in _guarded(door, feed, taken):
            token = batch.segment if batch.position is None else Stream(batch.segment, batch.position)
            fresh = lake.append(table_of(feed), batch.table, token, edges=raw_edges(feed))
            taken.note(door.name, batch.table, fresh=fresh)
        taken.rejected += door.rejected
        taken.notes += door.notes
    compaction.tidy(lake, table_of(feed))
    return taken


def _guarded(door: Door, feed: Feed, taken: IntakeReport) -> Iterator[Batch]:
    """The door's batches; each is done with when the next one is asked for, that is, after its commit."""
    try:
        for batch in door.take(feed):
            yield batch
            door.done(batch)
    except AeroCastError as error:
        taken.failed[door.name] = str(error)


def take_source(lake: Lake, feed: Feed, deliveries: Iterable[Delivery], taken: IntakeReport) -> None:
    """Appends what a source delivers: of a file what its months do not hold yet, of a live source what is news.

    One that cannot be read is noted in `taken.failed`: what came in before it stays useful.

    Raises:
        AeroCastError: raw cannot be written.
    """
    with duckdb.connect() as con:
        if feed.source.watch == "whole":
            _take_file(con, lake, feed, deliveries, taken)
        else:
            for delivery in _noted(deliveries, taken):
                _append_news(con, lake, feed, delivery.table, taken)


def _take_file(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, deliveries: Iterable[Delivery], taken: IntakeReport
) -> None:
    """Each month of the file in the place of what it was; months that it has no more are emptied at the end."""
    table, delivered = table_of(feed), set[str]()
    gone = lake.ledger(table).removed_months()
    for delivery in _noted(deliveries, taken):
        delivered.add(delivery.slot)
        if delivery.month not in gone:
            _take_slot(con, lake, feed, delivery, taken)
    if SOURCE in taken.failed:  # nobody knows which months it has no more
        return
    for delivery in slots.emptied(lake, feed, table, delivered):
        _take_slot(con, lake, feed, delivery, taken)


def _take_slot(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, delivery: Delivery, taken: IntakeReport) -> None:
    rows = slots.replace(con, lake, feed, table_of(feed), delivery)
    if rows is None:
        taken.known += len(delivery.table)
        return
    said = rows.filter(pc.field("line") >= 0)
    taken.withdrawn += len(rows) - len(said)
    taken.known += len(delivery.table) - len(said)
    if len(rows):
        taken.note(SOURCE, said, fresh=True)
        taken.months.update(dict.fromkeys(rows["month"].unique().to_pylist(), 0))


def _noted(deliveries: Iterable[Delivery], taken: IntakeReport) -> Iterator[Delivery]:
    try:
        yield from deliveries
    except AeroCastError as error:
        taken.failed[SOURCE] = str(error)


def _append_news(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, table: pa.Table, taken: IntakeReport) -> None:
    """Appends the rows that are news against one version of raw, if no other intake of the source came in between.

    The position is that of the commit which this version allows: what was decided on an older version is refused, and
    decided again. A name for each delivery would not do: content that comes back after a correction is news again.
    """
    name = table_of(feed)
    while True:
        version = lake.version(name)
        rows = news(con, lake, feed, table, version)
        stream, position = f"{SOURCE}/{feed.source.label}", 0 if version is None else version + 1
        if not len(rows) or lake.append(name, rows, Stream(stream, position), edges=raw_edges(feed)):
            break
    taken.unsaid += len(table) - len(rows)
    if len(rows):
        taken.note(SOURCE, rows, fresh=True)


def news(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, table: pa.Table, version: int | None
) -> pa.Table:
    """The rows that say something else than the one before them of their (station, time), stored or in the table.

    Compared is with what the same source said: what came in by another way is no reason to repeat it. A correction is
    news, and so is its reversal. Rows whose time cannot be read are news once.
    """
    said = f"row({', '.join(quoted(column) for column in ('flags', *raw_names(feed).values()))})"
    unread = f"CASE WHEN time IS NULL THEN row(time_text, {said}) END"
    spoken = f"station, time, source, {unread} AS unread, {said} AS said"
    lake.prepare(con).register("delivered", table.append_column(_PLACE, pa.array(range(len(table)), pa.int64())))
    stored = ""
    if version is not None:
        lake.relation(con, table_of(feed), table["month"].unique().to_pylist(), version).create_view("stored")
        span = "(SELECT min(time) FROM delivered) AND (SELECT max(time) FROM delivered)"
        stored = f"SELECT {spoken}, {DELIVERY}, line, NULL AS place FROM stored"
        stored += f" WHERE time IS NULL OR time BETWEEN {span} UNION ALL"
    new = f"SELECT {spoken}, {2**62} AS {DELIVERY}, line, {quoted(_PLACE)} AS place FROM delivered"
    places = con.sql(
        f"SELECT place FROM ({stored} {new})"
        " QUALIFY place IS NOT NULL AND said IS DISTINCT FROM lag(said)"
        f" OVER (PARTITION BY station, time, source, unread ORDER BY {DELIVERY}, line) ORDER BY place"
    ).to_arrow_table()
    con.unregister("delivered")
    con.execute("DROP VIEW IF EXISTS stored")
    return table.take(places["place"])
