"""Reads the months of a CSV file, plain or compressed (`.gz`, `.bz2`, `.zst`).

Its rows are streamed and sorted into months by DuckDB, which spills to disk: memory is bounded by the largest month,
not by the file.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.months import month_of
from aerocast.common.sql import literal, quoted
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_file import Piece, open_csv
from aerocast.ingest.deliveries.csv_lines import CsvFault
from aerocast.ingest.instants import Instants
from aerocast.ingest.sources.csv import CsvSource
from aerocast.tables.raw import Delivery, placeable, raw_names, raw_schema, segment_of

_MEMORY = "1GB"


def read_months(source: CsvSource, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
    """See `SourceKind.read`."""
    path, label = source.locate(), source.label
    try:
        with (
            open_csv(path, _choose(feed), source.broken_lines) as file,
            tempfile.TemporaryDirectory(prefix="aerocast-") as folder,
            duckdb.connect() as con,
        ):
            request.notes.extend(f"source {label}: {note}" for note in file.notes)
            con.execute(f"SET temp_directory = {literal(folder)}; SET memory_limit = '{_MEMORY}'; SET TimeZone = 'UTC'")
            if _load(con, file.pieces(), feed, request.months, request.now or datetime.now(UTC)):
                for (month,) in con.sql("SELECT DISTINCT month FROM rows ORDER BY month").fetchall():
                    yield _delivery(con, feed, file.columns, month)
    except AeroCastError as error:
        raise AeroCastError(f"source {label} {error}") from error
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        raise AeroCastError(f"source {label} cannot be read, or is damaged: {first_line(error)}") from error


def _choose(feed: Feed) -> Callable[[list[str]], Columns]:
    """The fields of a header that the feed declares; of each column one of its names must be there."""
    station, time = feed.source.station_field, feed.source.time_field

    def choose(names: list[str]) -> Columns:
        for alternatives in ((station,), (time,), *(column.fields for column in feed.columns)):
            if not set(alternatives) & set(names):
                names_text = " or ".join(map(repr, alternatives))
                sentence = f"does not fit: field {names_text} is missing in the header ({', '.join(names)})"[:600]
                raise CsvFault(sentence, "columns", ", ".join(names), f"{names_text} must be among the columns")
        return Columns(station, time, tuple(field for field in raw_names(feed) if field in names))

    return choose


def _load(
    con: duckdb.DuckDBPyConnection,
    pieces: Iterator[Piece],
    feed: Feed,
    months: Sequence[str] | None,
    now: datetime,
) -> bool:
    """Fills DuckDB's table `rows`, in the file's order: texts as `f0`, `f1` ..., then what is known of each row.

    False, and there is no such table, if the file has no rows.
    """
    is_loaded = False
    low, high = (literal(f"{bound:%Y-%m-%d}") for bound in placeable(feed, now))
    condition = "" if months is None else f"WHERE month IN ({', '.join(map(literal, ['', *months]))})"
    before, instants = month_of(feed.start), Instants(con, feed.source.timezone)
    for table, flags, texts in pieces:
        time = instants.of(table.column(feed.source.time_field), table.column(feed.source.station_field))
        con.register("placed", pa.table({"time": time}))
        month = con.sql(
            f"SELECT CASE WHEN time >= {low} AND time < {high} THEN strftime(time, '%Y-%m') END AS month FROM placed"
        ).to_arrow_table()["month"]
        con.unregister("placed")
        if month.null_count:
            month = pc.fill_null_forward(pa.chunked_array([[before], *month.chunks], pa.string()))[1:]
        before = month[-1].as_py() if len(month) else before
        rows = table.rename_columns([f"f{i}" for i in range(table.num_columns)])
        for name, column in {"flags": flags, "text": texts}.items():
            rows = rows.append_column(name, pa.nulls(len(rows), pa.string()) if column is None else column)
        rows = rows.append_column("time", time).append_column("month", month)
        verb = "INSERT INTO rows" if is_loaded else "CREATE TEMP TABLE rows AS"
        con.register("batch", rows)
        con.execute(f"{verb} SELECT * FROM batch {condition}")
        con.unregister("batch")
        is_loaded = True
    return is_loaded


def _delivery(con: duckdb.DuckDBPyConnection, feed: Feed, columns: Columns, month: str) -> Delivery:
    """A month's rows; the segment is that of what the file has, whatever other names of a field are declared."""
    schema, label = raw_schema(feed), feed.source.label
    column_of = {field: f"f{i}" for i, field in enumerate(columns.names)}
    texts = {"station": column_of[columns.station], "time_text": f"coalesce(text, {column_of[columns.time]})"}
    texts |= {name: column_of[field] for field, name in raw_names(feed).items() if field in columns.measured}
    columns_sql = ", ".join(f"{column} AS {quoted(name)}" for name, column in texts.items())
    # DuckDB keeps the order of insertion, and sorts nothing here.
    rows = con.sql(f"SELECT {columns_sql}, flags, time FROM rows WHERE month = {literal(month)}").to_arrow_table()
    segment = segment_of(rows.select(list(texts)))
    if zone := feed.source.timezone:  # another zone makes other instants of the same texts
        segment = hashlib.sha256(f"{segment} {zone}".encode()).hexdigest()
    rows = rows.append_column("line", pa.array(np.arange(len(rows))))
    constant = {"source": label, "segment": segment, "month": month}
    for name in schema.names:
        if name in constant or name not in rows.column_names:
            rows = rows.append_column(name, pa.repeat(pa.scalar(constant.get(name), pa.string()), len(rows)))
    return Delivery(month, segment, f"{label} {month}", rows.select(schema.names).cast(schema))
