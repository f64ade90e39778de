"""Reads the months of files: CSV, Parquet or JSON lines, plain or compressed.

Their rows are streamed and sorted into months by DuckDB, which spills to disk: memory is bounded by the largest month,
not by the files.
"""

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.months import month_of
from aerocast.common.sql import literal, quoted
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels.files import open_file
from aerocast.ingest.channels.readings import definition_of, laid_out
from aerocast.ingest.deliveries.csv_file import open_csv
from aerocast.ingest.deliveries.layout import Layout, choose_columns, station_of_file
from aerocast.ingest.instants import instants_of, time_declaration
from aerocast.ingest.sources import _growth
from aerocast.ingest.sources._file_places import SourceFile, files, is_being_written, places
from aerocast.ingest.sources._file_source import FileSource
from aerocast.ingest.sources._json_document import as_json_lines
from aerocast.ingest.sources.json import JsonSource
from aerocast.tables.raw import Delivery, placeable, raw_names, raw_schema, segment_of

_MEMORY = "1GB"
_MOST_NOTES = 20
Rows = tuple[Iterator[pa.Table], list[str], Layout, bool]


def read_months(source: FileSource, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
    """See `SourceKind.read`."""
    label, locations = source.label, places(source, request.work)
    try:
        with tempfile.TemporaryDirectory(prefix="aerocast-") as folder, duckdb.connect() as con:
            con.execute(f"SET temp_directory = {literal(folder)}; SET memory_limit = '{_MEMORY}'; SET TimeZone = 'UTC'")
            reader = _Reader(source, feed, request, Path(folder), con)
            for file in files(source, locations):
                if not (file.is_alone and reader.read_tail(file)):
                    reader.read(file)
            request.notes.extend(f"source {label}: {note}" for note in list(reader.notes)[:_MOST_NOTES])
            reader.table.check_fields()
            yield from reader.deliveries()
    except AeroCastError as error:
        raise AeroCastError(f"source {label} {error}") from error
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        raise AeroCastError(f"source {label} cannot be read, or is damaged: {first_line(error)}") from error


class _Reader:
    """Reads a source's files into one table, or of a file that has grown what its months can have changed by."""

    def __init__(
        self, source: FileSource, feed: Feed, request: ReadRequest, folder: Path, con: duckdb.DuckDBPyConnection
    ) -> None:
        self._source, self._feed, self._request, self._folder, self._con = source, feed, request, folder, con
        self.table, self.notes = _MonthTable(con, feed, request), dict[str, None]()
        self._file: SourceFile | None = None  # the only one, of regular lines
        self._tail: _growth.Tail | None = None

    def read_tail(self, file: SourceFile) -> bool:
        """Whether it was enough to read the file from its newest month on."""
        tail = _growth.tail_of(self._source, self._feed, self._request, file, self._folder)
        if tail is None:
            return False
        with suppress(AeroCastError):  # the whole file says what is wrong, with the right line
            self.read(tail.file)
            if self._file is not None and self.table.follows(tail.growth.month):
                self._file, self._tail = file, tail
                return True
        self._file = None
        self.table, self.notes = _MonthTable(self._con, self._feed, self._request), {}
        return False

    def read(self, file: SourceFile) -> None:
        subject = "" if file.is_alone else f"{file.name} "
        try:
            with _opened(self._source, self._feed, file) as (tables, own_notes, layout, is_regular):
                self.table.fill(tables)
                self.notes |= dict.fromkeys(f"{subject}{note}" for note in (*own_notes, *layout.notes))
        except AeroCastError as error:
            raise AeroCastError(f"{subject}{error}") from error
        is_kept = file.is_alone and not self._source.is_remote  # a copy of a remote file is gone when it is noted
        self._file = file if is_regular and is_kept else None

    def deliveries(self) -> Iterator[Delivery]:
        """The months, those before a tail as unchanged ones; then remembers what was read."""
        label, segments = self._source.label, dict[str, str]()
        if self._tail is not None:
            for month, segment in self._tail.growth.segments.items():
                if month < self._tail.growth.month:
                    nothing = raw_schema(self._feed).empty_table()
                    yield Delivery(month, segment, f"{label} {month}", nothing, is_unchanged=True)
        for month in self.table.months():
            delivery = _delivery(self._con, self._feed, month, self.table.fields)
            segments[month] = delivery.segment
            yield delivery
        if self._file is not None and (rows := self.table.newest_rows()):
            _growth.note_growth(self._source, self._feed, self._request, self._file, self._tail, rows, segments)


@contextmanager
def _opened(source: FileSource, feed: Feed, file: SourceFile) -> Iterator[Rows]:
    """The file's rows as those of raw, what is odd about them, their layout, and whether each is a line of the file."""
    if source.kind == "csv":
        station = station_of_file(feed, file.name)
        layout = Layout(feed, station)
        choose = partial(choose_columns, feed, file_station=station is not None, every=file.is_alone)
        whole = True if file.is_whole or not is_being_written(file.path) else None
        with open_csv(file.path, choose, source.broken_lines, source.format, whole=whole) as content:
            is_regular = content.path == file.path
            yield (
                (layout.rows(piece, content.columns).table for piece in content.pieces()),
                content.notes,
                layout,
                is_regular,
            )
    else:
        kind = "jsonl" if isinstance(source, JsonSource) else source.kind
        lines = as_json_lines(source, file.path) if isinstance(source, JsonSource) else nullcontext(file.path)
        with lines as path, open_file(path, kind, feed, whole=True, name=file.name) as content:
            layout = Layout(feed, content.station)
            definition = definition_of(feed, file_station=content.station is not None)
            yield (
                (laid_out(definition, layout, piece).table for piece in content.pieces()),
                content.notes,
                layout,
                False,
            )


class _MonthTable:
    """DuckDB's table `rows`: in the files' order the rows, their instants and months; `fields` are its texts."""

    def __init__(self, con: duckdb.DuckDBPyConnection, feed: Feed, request: ReadRequest) -> None:
        self._con, self._feed, self.fields = con, feed, set[str]()
        now = request.now or datetime.now(UTC)
        self._low, self._high = (literal(f"{bound:%Y-%m-%d}") for bound in placeable(feed, now))
        months = None if request.months is None else ", ".join(map(literal, ["", *request.months]))
        self._condition = "" if months is None else f"WHERE month IN ({months})"
        texts = ", ".join(f"{quoted(name)} VARCHAR" for name in _names(feed))
        con.execute(f"CREATE OR REPLACE TEMP TABLE rows ({texts}, time TIMESTAMPTZ, month VARCHAR)")
        self._is_placed = True  # each row lies in the month of its time

    def fill(self, tables: Iterator[pa.Table]) -> None:
        """Adds the rows of one file; one without a month lies in that of the row before."""
        con, before, instants = self._con, month_of(self._feed.start), instants_of(self._con, self._feed)
        for rows in tables:
            time = instants.of(rows.column("time_text"), rows.column("station"))
            con.register("placed", pa.table({"time": time}))
            is_placed = f"time >= {self._low} AND time < {self._high}"
            month = con.sql(
                f"SELECT CASE WHEN {is_placed} THEN strftime(time, '%Y-%m') END AS month FROM placed"
            ).to_arrow_table()["month"]
            con.unregister("placed")
            if month.null_count:
                self._is_placed = False
                month = pc.fill_null_forward(pa.chunked_array([[before], *month.chunks], pa.string()))[1:]
            before = month[-1].as_py() if len(month) else before
            con.register("batch", rows.append_column("time", time).append_column("month", month))
            con.execute(f"INSERT INTO rows BY NAME SELECT * FROM batch {self._condition}")
            con.unregister("batch")
            self.fields |= {*rows.column_names}

    def check_fields(self) -> None:
        """Raises AeroCastError where several files, which may lack some of the fields, have none of a column's."""
        names = raw_names(self._feed)
        for column in self._feed.columns if self.fields else ():
            if not {names[field] for field in column.fields} & self.fields:
                raise AeroCastError(f"does not fit: no file has a field {' or '.join(map(repr, column.fields))}")

    def follows(self, month: str) -> bool:
        """Whether all rows lie in the months of their times, none of them before this one."""
        return self._is_placed and bool(months := self.months()) and months[0] >= month

    def newest_rows(self) -> tuple[int, int] | None:
        """Where the newest month's rows begin, and how many rows there are; None if others are among them."""
        first, rows, own = self._con.execute("""
            SELECT min(rowid) FILTER (month = newest), count(*), count(*) FILTER (month = newest)
            FROM rows, (SELECT max(month) AS newest FROM rows)""").fetchall()[0]
        return (first, rows) if self._is_placed and rows and first + own == rows else None

    def months(self) -> list[str]:
        return [month for (month,) in self._con.sql("SELECT DISTINCT month FROM rows ORDER BY month").fetchall()]


def _names(feed: Feed) -> list[str]:
    return ["station", "time_text", *raw_names(feed).values(), "flags"]


def _delivery(con: duckdb.DuckDBPyConnection, feed: Feed, month: str, fields: Collection[str]) -> Delivery:
    """A month's rows; the segment is that of what the files have, whatever other names of a field are declared."""
    schema, label = raw_schema(feed), feed.source.label
    # DuckDB keeps the order of insertion, and sorts nothing here.
    names = ", ".join(quoted(name) for name in _names(feed) if name in fields)
    rows = con.sql(f"SELECT {names}, time FROM rows WHERE month = {literal(month)}").to_arrow_table()
    segment = segment_of(rows.drop_columns(["flags", "time"]))
    if times := time_declaration(feed):  # another zone makes other instants of the same texts
        segment = hashlib.sha256(f"{segment} {times}".encode()).hexdigest()
    rows = rows.append_column("line", pa.array(np.arange(len(rows))))
    constant = {"source": label, "segment": segment, "month": month}
    for name in schema.names:
        if name in constant or name not in rows.column_names:
            rows = rows.append_column(name, pa.repeat(pa.scalar(constant.get(name), pa.string()), len(rows)))
    return Delivery(month, segment, f"{label} {month}", rows.select(schema.names).cast(schema))
