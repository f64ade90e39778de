"""Readings from a CSV file on disk or inside an installed package, plain or compressed (`.gz`, `.bz2`, `.zst`).

The file is streamed once and its rows are sorted into months by DuckDB, which spills to disk: memory is bounded by
the largest month, not by the file.
"""

import csv
import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from aerocast.errors import AeroCastError
from aerocast.feed import CsvSource, Feed
from aerocast.months import month_of, month_span
from aerocast.sources.base import Delivery, iso_time, raw_names, raw_schema, segment_of
from aerocast.sql import literal, quoted

_BLOCK = 4 << 20
_MEMORY = "1GB"


def read(
    source: CsvSource, feed: Feed, months: Sequence[str] | None = None, now: datetime | None = None
) -> Iterator[Delivery]:
    """See `aerocast.sources.read`."""
    path, label = locate(source), source.label
    fields = [source.station_field, source.time_field, *raw_names(feed)]
    _check(path, label, fields)
    try:
        with tempfile.TemporaryDirectory(prefix="aerocast-") as folder, duckdb.connect() as con:
            con.execute(f"SET temp_directory = {literal(folder)}; SET memory_limit = '{_MEMORY}'; SET TimeZone = 'UTC'")
            _load(con, _batches(path, label, fields), feed, months, now or datetime.now(UTC))
            found = con.sql("SELECT DISTINCT month FROM rows ORDER BY month").fetchall() if _loaded(con) else []
            for (month,) in found:
                yield _delivery(con, feed, month, label)
    except (OSError, duckdb.Error) as error:
        raise AeroCastError(f"source {label} could not be sorted into months: {_first_line(error)}") from error


def fingerprint(source: CsvSource) -> str:
    """See `aerocast.sources.fingerprint`."""
    try:
        with locate(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AeroCastError(f"source {source.label} cannot be read: {error.strerror}") from error


def locate(source: CsvSource) -> Path:
    """The file that a declaration means; a package's file is found without running the package.

    Raises:
        AeroCastError: no such package, file or environment variable.
    """
    unset = [name for name in re.findall(r"\$\{?(\w+)\}?", source.path) if name not in os.environ]
    if unset:
        raise AeroCastError(f"source.path {source.path!r}: the environment variable {unset[0]} is not set")
    path = Path(os.path.expandvars(source.path)).expanduser()
    if source.package is not None:
        try:
            spec = importlib.util.find_spec(source.package)
        except (ImportError, ValueError):
            spec = None
        folders = list(spec.submodule_search_locations or []) if spec else []
        if not folders:
            raise AeroCastError(f"source.package {source.package!r} is not installed: pip install {source.package}")
        path = Path(folders[0]) / path
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise AeroCastError(f"source.path {source.path!r}: {path} {what}")
    return path


def _check(path: Path, label: str, fields: Sequence[str]) -> None:
    """Refuses, before anything is read, what is empty, binary, cut off, or lacks a declared field."""
    try:
        with pa.input_stream(path, compression="detect") as stream:
            head = stream.read(1 << 20)
        plain = path.suffix.lower() in (".csv", ".txt", "")
        ending = _last_byte(path) if plain else b"\n"
    except (OSError, pa.ArrowException) as error:
        raise AeroCastError(f"source {label} cannot be read: {_first_line(error)}") from error
    if not head.strip():
        raise AeroCastError(f"source {label} is empty: a header with the declared fields is expected")
    if b"\0" in head:
        raise AeroCastError(f"source {label} is binary, not CSV text")
    try:
        header = next(csv.reader([head.splitlines()[0].decode("utf-8-sig")]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AeroCastError(f"source {label}: its header is not UTF-8 text: {error}") from error
    for field in fields:
        if header.count(field) != 1:
            many = "is missing in" if field not in header else "occurs more than once in"
            raise AeroCastError(f"source {label}: field {field!r} {many} the header ({', '.join(header)})"[:600])
    if ending not in (b"\n", b"\r"):
        raise AeroCastError(f"source {label} looks cut off: its last line has no line break")


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1 if path.stat().st_size else 0, os.SEEK_END)
        return file.read(1)


def _batches(path: Path, label: str, fields: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The declared fields as text, block by block, columns in the order of `fields`."""
    try:
        with (
            pa.input_stream(path, compression="detect") as stream,
            pc_csv.open_csv(
                stream,
                pc_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                pc_csv.ParseOptions(newlines_in_values=True),
                pc_csv.ConvertOptions(
                    column_types=dict.fromkeys(fields, pa.string()),
                    include_columns=list(dict.fromkeys(fields)),
                    null_values=[],
                    strings_can_be_null=False,
                ),
            ) as reader,
        ):
            yield from reader
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise AeroCastError(f"source {label} is damaged or cut off: {_first_line(error)}") from error


def _load(
    con: duckdb.DuckDBPyConnection,
    batches: Iterator[pa.RecordBatch],
    feed: Feed,
    months: Sequence[str] | None,
    now: datetime,
) -> None:
    """Fills DuckDB's table `rows`: the fields' texts with `time`, `month` and `position`, the line's number."""
    first, limit = month_of(feed.start), month_span(month_of(feed.clock(now) + feed.cadence))[1]
    low, high = (literal(f"{bound:%Y-%m-%d}") for bound in (month_span(first)[0], limit))
    wanted = f"WHERE month IN ({', '.join(map(literal, months))})" if months else "WHERE false" if months == [] else ""
    before, position = first, 0
    for batch in batches:
        con.register("texts", pa.table({"t": batch.column(feed.source.time_field)}))
        placed = con.sql(
            f"SELECT time, CASE WHEN time >= {low} AND time < {high} THEN strftime(time, '%Y-%m') END AS month"
            f" FROM (SELECT {iso_time('t')} AS time FROM texts)"
        ).to_arrow_table()
        con.unregister("texts")
        month = pc.fill_null_forward(pa.chunked_array([[before], *placed["month"].chunks], pa.string()))[1:]
        before = month[-1].as_py() if len(month) else before
        rows = pa.table(batch.columns, names=[f"f{i}" for i in range(batch.num_columns)])
        rows = rows.append_column("time", placed["time"]).append_column("month", month)
        rows = rows.append_column("position", pa.array(range(position, position + len(rows)), pa.int64()))
        position += len(rows)
        verb = "INSERT INTO rows" if _loaded(con) else "CREATE TEMP TABLE rows AS"
        con.register("batch", rows)
        con.execute(f"{verb} SELECT * FROM batch {wanted}")
        con.unregister("batch")


def _loaded(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(con.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'rows'").fetchall())


def _delivery(con: duckdb.DuckDBPyConnection, feed: Feed, month: str, label: str) -> Delivery:
    names = list(raw_names(feed).values())
    fields = dict.fromkeys([feed.source.station_field, feed.source.time_field, *raw_names(feed)])
    place = {field: f"f{i}" for i, field in enumerate(fields)}
    texts = {"station": place[feed.source.station_field], "time_text": place[feed.source.time_field]}
    texts |= {name: place[field] for field, name in raw_names(feed).items()}
    chosen = ", ".join(f"{column} AS {quoted(name)}" for name, column in texts.items())
    rows = con.sql(f"SELECT {chosen}, time FROM rows WHERE month = {literal(month)} ORDER BY position").to_arrow_table()
    segment = segment_of(rows.select(["station", "time_text", *names]))
    same = pa.array([0] * len(rows), pa.int8())
    rows = rows.append_column("line", pa.array(range(len(rows)), pa.int64()))
    for name, value in {"source": label, "segment": segment, "month": month, "flags": None}.items():
        rows = rows.append_column(name, pa.array([value], pa.string()).take(same))
    return Delivery(month, segment, f"{label} {month}", rows.select(raw_schema(feed).names).cast(raw_schema(feed)))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
