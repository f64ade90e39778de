"""Reads Arrow tables of readings by the same definition as JSON: which columns hold what, and each value as text.

A number becomes the shortest text that reads back as the same number, whatever stands beside it; NaN is missing.
The server imports this module only when the first Arrow stream comes: pyarrow and numpy, no engine.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from flatbuffers import encode, packer
from flatbuffers.table import Table
from msgspec import UNSET

from aerocast.common.times import BLANKS
from aerocast.ingest.channels.definition import LONGEST_TEXT, Definition, ReadingRows
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.deliveries.columns import Columns

_YEARS = (-62_135_596_800, 253_402_300_800)  # seconds since 1970 of the years 1 and 10000
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_EXCERPT = 60
_MOST_UNPACKED, _MOST_MESSAGES = 32 << 20, 1000  # of a stream


def parse_arrow(body: bytes) -> pa.Table:
    """An Arrow IPC stream. Raises ReadingError if it is none."""
    with stream(body) as batches:
        return batches.read_all()


def check_stream(definition: Definition, body: bytes, most: int) -> tuple[int, Columns]:
    """How many readings a stream holds, and its columns; what is beyond the first `most` is only counted.

    Raises:
        ReadingError: it is no stream, or a reading of it does not say where and when.
    """
    rows = 0
    with stream(body) as batches:
        empty = flatten(batches.schema.empty_table(), definition.measured)
        columns = definition.check_columns(table_columns(definition, empty.schema))
        for batch in batches:
            if rows + batch.num_rows <= most:
                batch.validate(full=True)  # else offsets that a client has made up would be followed
                table = flatten(pa.Table.from_batches([batch]), definition.names)
                for name in columns.measured:
                    longest_text(table.column(name), name)
                stations = [None] * len(table)
                if columns.station is not None:
                    stations = station_texts(table.column(columns.station), columns.station).to_pylist()
                definition.check_keys(stations, joined_time(definition, table, columns).to_pylist(), rows)
            rows = min(rows + batch.num_rows, 1 << 62)
    return rows, columns


def table_columns(definition: Definition, schema: pa.Schema) -> Columns:
    """What these columns are. Raises ReadingError where one is missing, or of a type that holds no such thing."""
    columns, empty = definition.columns(schema.names), schema.empty_table()
    joined_time(definition, empty, columns)
    for name in columns.names:
        if name not in columns.time:
            _measured_texts(definition, empty.column(name), name)
    return columns


def flatten(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with struct columns as columns of dotted names, as far as one of the names is inside of them."""
    for _ in range(max((name.count(".") for name in names), default=0)):
        structs = {field.name for field in table.schema if pa.types.is_struct(field.type)}
        if any(name.startswith(f"{each}.") for each in structs for name in names):
            table = table.flatten()
    return table


def as_texts(definition: Definition, table: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The table's readings as texts, in the columns that `table_of` makes and all of them, and what is ignored.

    Raises:
        ReadingError: as `check`.
    """
    table = flatten(table, definition.names)
    columns = table_columns(definition, table.schema)
    empty = pa.nulls(len(table), pa.string())
    columns_of = {
        definition.station[0]: empty
        if columns.station is None
        else station_texts(table.column(columns.station), columns.station),
        definition.time[0]: joined_time(definition, table, columns),
        **{
            name: _measured_texts(definition, table.column(name), name) if name in columns.measured else empty
            for name in definition.measured
        },
    }
    return pa.table(columns_of), columns.ignored


def _measured_texts(definition: Definition, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if name in definition.remarks and pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    texts = value_texts(column, name)
    return _ungrouped(definition, texts) if any(matches(column.type) for matches in _NUMBERS) else texts


def _ungrouped(definition: Definition, numbers: pa.Array) -> pa.Array:
    """Texts of numbers, with an exponent where the declared format would take the point for a sign of thousands."""
    if not definition.is_point_grouping:
        return numbers
    return pc.replace_substring_regex(numbers, r"^(-?\d{1,3}(?:\.\d{3})+)$", r"\1e0")


def table_of(definition: Definition, bodies: Sequence[ReadingRows]) -> pa.Table:
    """Readings of JSON bodies, one after the other, as a table of texts; a field that none of them has is no column."""
    rows = [row for readings in bodies for row in readings.rows]
    columns: dict[str, list[Any]] = {
        definition.station[0]: [row.station for row in rows],
        definition.time[0]: [row.time for row in rows],
    }
    for number, name in enumerate(definition.measured):
        values = [getattr(row, f"f{number}") for row in rows]
        if any(value is not UNSET for value in values):
            columns[name] = values
    return pa.table({name: _texts_of(definition, values) for name, values in columns.items()})


def value_texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Texts as they are, numbers as the shortest text that reads back as the same number; NaN is missing.

    Raises:
        ReadingError: it holds something else.
    """
    kind = column.type
    longest_text(column, name)
    if pa.types.is_dictionary(kind):
        return value_texts(column.cast(kind.value_type), name)
    if pa.types.is_string(kind):
        return column
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return column.cast(pa.string())
    if not any(matches(kind) for matches in _NUMBERS):
        raise ReadingError(name, str(kind), "a column of numbers or texts")
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        return (column.cast(pa.float32()) if kind == pa.float16() else column).cast(pa.string())
    return column.cast(pa.string())


def station_texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """As `texts`, without the blanks around."""
    return pc.utf8_trim(value_texts(column, name), characters=BLANKS)


def joined_time(definition: Definition, table: pa.Table, columns: Columns) -> pa.ChunkedArray:
    """The texts of a table's times, those of several columns joined by a blank; null where one of them is.

    Raises:
        ReadingError: as `time_texts`.
    """
    if not columns.time:
        return pa.chunked_array([pa.nulls(len(table), pa.string())])
    if len(columns.time) == 1:
        name = columns.time[0]
        return time_texts(table.column(name), name, numbers=definition.times.takes_numbers)
    parts = [_part_texts(table.column(name), name) for name in columns.time]
    return pc.binary_join_element_wise(*parts, " ")


def time_texts(column: pa.ChunkedArray, name: str, *, numbers: bool = False) -> pa.ChunkedArray:
    """Texts as they are, Arrow's times in ISO 8601: in UTC if they have a zone, else without an offset.

    Raises:
        ReadingError: it holds something else, or numbers that by the declared format say no time.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        longest_text(column, name)
        return time_texts(column.cast(kind.value_type), name, numbers=numbers)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif not pa.types.is_timestamp(kind):
        if not numbers and any(matches(kind) for matches in _NUMBERS):
            raise ReadingError(name, str(kind), "a column of timestamps, or of texts in ISO 8601")
        return value_texts(column, name)
    return _iso_texts(column)


def _part_texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Texts of a part of a time: of a date its day, of anything else as if it were the whole."""
    if pa.types.is_date(column.type):
        return pc.strftime(column.cast(pa.timestamp("s")), format="%Y-%m-%d")
    if pa.types.is_time(column.type):
        return column.cast(pa.string())
    return time_texts(column, name, numbers=True)


def longest_text(column: pa.ChunkedArray, name: str) -> int:
    """Bytes of the longest text, 0 without texts; before few texts, in many rows, are unpacked.

    Raises:
        ReadingError: it is longer than a value may be.
    """
    most = 0
    for chunk in column.chunks:
        texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if texts.type == pa.string_view():
            views = np.frombuffer(texts.buffers()[1] or b"", np.int32)  # four numbers each, the first is the length
            longest = int(max(views[4 * texts.offset :: 4][: len(texts)], default=0))
        else:
            is_text = pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)
            longest = (pc.max(pc.binary_length(texts)).as_py() or 0) if is_text else 0
        if longest > 4 * LONGEST_TEXT:  # bytes of as many characters
            raise ReadingError(name, f"a text of {longest} bytes", f"at most {LONGEST_TEXT} characters")
        most = max(most, longest)
    return most


def _iso_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times in ISO 8601; one outside the years 1 to 9999 as its number, which nobody reads as a time."""
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    count = column.cast(pa.int64())
    low, high = (max(-(2**63), min(2**63 - 1, second * ticks)) for second in _YEARS)
    inside = pc.and_(pc.greater_equal(count, low), pc.less(count, high))
    zone = "UTC" if column.type.tz else None
    times = pc.if_else(inside, column, pa.scalar(None, column.type)).cast(pa.timestamp("us", zone), safe=False)
    texts = pc.strftime(times, format=f"%Y-%m-%dT%H:%M:%S{'Z' if zone else ''}")
    return texts if pc.all(inside, min_count=0).as_py() else pc.if_else(inside, texts, count.cast(pa.string()))


def _texts_of(definition: Definition, values: Sequence[Any]) -> pa.Array:
    """What JSON said as text: each number as `texts` writes it, integers to the last digit."""
    floats = [value for value in values if isinstance(value, float)]
    number_texts = iter(_ungrouped(definition, pa.array(floats, pa.float64()).cast(pa.string())).to_pylist())
    cells = (None if value is UNSET else value for value in values)
    texts = (next(number_texts) if isinstance(value, float) else value for value in cells)
    return pa.array([str(value) if isinstance(value, int) else value for value in texts], pa.string())


@contextmanager
def stream(body: bytes, most: int = _MOST_UNPACKED) -> Iterator[Any]:
    """The batches of a stream that unpacks to at most so many bytes. Raises ReadingError for anything else."""
    try:
        _check_size(body, most)
        with pa.ipc.open_stream(pa.py_buffer(body)) as batches:
            yield batches
    except (pa.ArrowException, OSError, EOFError, OverflowError, ValueError, struct.error) as error:
        reason = (str(error).strip() or "it is truncated").splitlines()[0][:200]
        form = "an Arrow IPC stream"
        raise ReadingError(
            "body",
            body[:_EXCERPT],
            f"{form} ({reason})",
            slug="malformed-arrow",
            detail=f"The body is no {form[3:]}: {reason}.",
        ) from None


def _check_size(body: bytes, most: int) -> None:
    """Raises ReadingError for a stream of too many batches, or one that unpacks to too much, before it is unpacked."""
    size = count = 0
    for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
        try:
            size, count = size + _unpacked_size(message), count + 1
        except TypeError as error:  # what flatbuffers says of an offset that leads out of the metadata
            raise ValueError(str(error)) from error
        if size > most or count > _MOST_MESSAGES:
            rule = f"an Arrow IPC stream of at most {_MOST_MESSAGES} batches and {most} bytes, unpacked"
            raise ReadingError("body", f"{count} messages of {size} bytes", rule, slug="too-many-values")


def _unpacked_size(message: pa.Message) -> int:
    """Bytes of a batch's buffers, of which each compressed one begins with its size (Arrow's format, Message.fbs)."""
    if message.type not in ("record batch", "dictionary batch"):
        return 0
    metadata, body = message.metadata.to_pybytes(), message.body
    root = Table(metadata, encode.Get(packer.uoffset, metadata, 0))
    batch = Table(metadata, root.Indirect(root.Offset(8) + root.Pos))
    if message.type == "dictionary batch":
        batch = Table(metadata, batch.Indirect(batch.Offset(6) + batch.Pos))
    if not batch.Offset(10):  # no compression
        return int(body.size)
    vector = batch.Offset(8)
    buffers = struct.iter_unpack("<qq", metadata[batch.Vector(vector) :][: 16 * batch.VectorLen(vector)])
    return sum(max(size, struct.unpack_from("<q", body, offset)[0]) for offset, size in buffers if size >= 8)
