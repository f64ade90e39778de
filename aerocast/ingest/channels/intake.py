"""Appends to raw what the source delivers and what the channels have, each exactly once, whatever its month.

A kill may come between any two lines here. Then the next intake sees what was appended, and confirms it.
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
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import slots, strays
from aerocast.ingest.channels.base import Batch, Channel
from aerocast.lake import DELIVERY, Lake, LakeReader, Stream, compaction
from aerocast.tables import roster
from aerocast.tables.layers import raw_edges
from aerocast.tables.raw import Delivery, raw_names

SOURCE = "source"  # the way in that is no channel
_PLACE = "aerocast place"  # beside fields of any name


@dataclass
class IntakeReport:
    """What an intake did. `rows` are those appended, by the way they came in; `months` the same by month.

    `repeats` are readings of batches, or lines of a file, that were there already, `unsaid` those of a live source that
    say nothing new, `withdrawals` those that a file no longer holds, `moves` those that have a month only now.
    `failures` says of each way in that could not be read why, `rejections` what was put aside there and why, `notes`
    what was left out or looks odd.
    """

    rows: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    repeats: int = 0
    unsaid: int = 0
    withdrawals: int = 0
    moves: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    rejections: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, way: str, table: pa.Table, *, fresh: bool) -> None:
        if not fresh:
            self.repeats += len(table)
            return
        self.segments += 1
        self.rows[way] += len(table)
        self.months.update(table["month"].to_pylist())


def place_strays(lake: Lake, feed: Feed, now: datetime, report: IntakeReport) -> None:
    """Readings that came too early or too late for the declaration of then go to the months of their times.

    Raises:
        AeroCastError: raw cannot be read or written.
    """
    with duckdb.connect() as con:
        report.moves += strays.move_strays(con, lake, feed, now)


def admit_stations(lake: Lake, feed: Feed, months: Iterable[str], report: IntakeReport) -> None:
    """Stations that are not declared join by their first reading, where the declaration has places for them.

    Raises:
        AeroCastError: raw cannot be read, or the stations not be written.
    """
    with duckdb.connect() as con:
        joined = roster.admit(con, lake, feed, sorted({*months, *report.months}))
    report.notes += [f"{station} joined by its first reading" for station in joined]


def take_all(lake: Lake, feed: Feed, channels: Sequence[Channel]) -> IntakeReport:
    """Appends what the channels have. One that cannot be read is noted in `failures`, and the others are taken.

    Raises:
        AeroCastError: raw cannot be written; what was not appended stays in its channel.
    """
    report, raw = IntakeReport(), f"{feed.name}/raw"
    for channel in channels:
        for batch in _batches_of(channel, feed, report):
            token = batch.segment if batch.position is None else Stream(batch.segment, batch.position)
            fresh = lake.append(raw, batch.table, token, edges=raw_edges(feed))
            report.note(channel.name, batch.table, fresh=fresh)
        report.rejections += channel.rejections
        report.notes += channel.notes
    compaction.tidy(lake, raw)
    return report


def _batches_of(channel: Channel, feed: Feed, report: IntakeReport) -> Iterator[Batch]:
    """The channel's batches; each is done with when the next one is asked for, that is, after its commit."""
    try:
        for batch in channel.take(feed):
            yield batch
            channel.confirm(batch)
    except AeroCastError as error:
        report.failures[channel.name] = str(error)


def take_source(lake: Lake, feed: Feed, deliveries: Iterable[Delivery], report: IntakeReport) -> None:
    """Appends what a source delivers: of a file what its months do not hold yet, of a live source what is news.

    One that cannot be read is noted in `report.failures`: what came in before it stays useful.

    Raises:
        AeroCastError: raw cannot be written.
    """
    with duckdb.connect() as con:
        if feed.source.watch == "whole":
            _take_file(con, lake, feed, deliveries, report)
        else:
            for delivery in _until_failure(deliveries, report):
                _append_news(con, lake, feed, delivery.table, report)


def _take_file(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, deliveries: Iterable[Delivery], report: IntakeReport
) -> None:
    """Each month of the file in the place of what it was; months that it has no more are emptied at the end."""
    slots_in_file, expired = set[str](), lake.ledger(f"{feed.name}/raw").removed_months()
    for delivery in _until_failure(deliveries, report):
        slots_in_file.add(delivery.slot)
        if delivery.month not in expired and not delivery.is_unchanged:
            _take_slot(con, lake, feed, delivery, report)
    if SOURCE in report.failures:  # nobody knows which months it has no more
        return
    for delivery in slots.emptied_months(lake, feed, slots_in_file):
        _take_slot(con, lake, feed, delivery, report)


def _take_slot(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, delivery: Delivery, report: IntakeReport
) -> None:
    rows = slots.replace_slot(con, lake, feed, delivery)
    if rows is None:
        report.repeats += len(delivery.table)
        return
    lines = rows.filter(pc.field("line") >= 0)
    report.withdrawals += len(rows) - len(lines)
    report.repeats += len(delivery.table) - len(lines)
    if len(rows):
        report.note(SOURCE, lines, fresh=True)
        report.months.update(dict.fromkeys(rows["month"].unique().to_pylist(), 0))


def _until_failure(deliveries: Iterable[Delivery], report: IntakeReport) -> Iterator[Delivery]:
    try:
        yield from deliveries
    except AeroCastError as error:
        report.failures[SOURCE] = str(error)


def _append_news(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, table: pa.Table, report: IntakeReport) -> None:
    """Appends the rows that are news against one version of raw, if no other intake of the source came in between.

    The position is that of the commit which this version allows: what was decided on an older version is refused, and
    decided again. A name for each delivery would not do: content that comes back after a correction is news again.
    """
    name = f"{feed.name}/raw"
    while True:
        version = lake.version(name)
        rows = news(con, lake, feed, table, version)
        stream, position = f"{SOURCE}/{feed.source.label}", 0 if version is None else version + 1
        if not len(rows) or lake.append(name, rows, Stream(stream, position), edges=raw_edges(feed)):
            break
    report.unsaid += len(table) - len(rows)
    if len(rows):
        report.note(SOURCE, rows, fresh=True)


def news(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, table: pa.Table, version: int | None
) -> pa.Table:
    """The rows that differ from the one before them of their (station, time), in raw or in the table.

    They are compared with rows of the same source only: another way in is no reason to repeat a reading. A correction
    is news, and so is its reversal. Rows whose time cannot be read are news once.
    """
    content = f"row({', '.join(quoted(column) for column in ('flags', *raw_names(feed).values()))})"
    time_or_text = f"CASE WHEN time IS NULL THEN row(time_text, {content}) END"
    columns = f"station, time, source, {time_or_text} AS unread, {content} AS said"
    lake.prepare(con).register("delivered", table.append_column(_PLACE, pa.array(range(len(table)), pa.int64())))
    stored_sql = ""
    if version is not None:
        lake.relation(con, f"{feed.name}/raw", table["month"].unique().to_pylist(), version).create_view("stored")
        span = "(SELECT min(time) FROM delivered) AND (SELECT max(time) FROM delivered)"
        stored_sql = f"SELECT {columns}, {DELIVERY}, line, NULL AS place FROM stored"
        stored_sql += f" WHERE time IS NULL OR time BETWEEN {span} UNION ALL"
    new = f"SELECT {columns}, {2**62} AS {DELIVERY}, line, {quoted(_PLACE)} AS place FROM delivered"
    places = con.sql(
        f"SELECT place FROM ({stored_sql} {new})"
        " QUALIFY place IS NOT NULL AND said IS DISTINCT FROM lag(said)"
        f" OVER (PARTITION BY station, time, source, unread ORDER BY {DELIVERY}, line) ORDER BY place"
    ).to_arrow_table()
    con.unregister("delivered")
    con.execute("DROP VIEW IF EXISTS stored")
    return table.take(places["place"])
