"""Parquet files whose footers and page headers lie: an honest file, read as Thrift, changed and written back."""

import io
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.factories.thrift import BINARY, I32, INTEGERS, LIST, STRUCT, Field, Items, Reader, write

TIME = "2024-01-01T00:00:00Z"
HOSTILE = (
    0,
    1,
    -1,
    2,
    7,
    100,
    1 << 15,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    1 << 40,
    1 << 60,
    (1 << 63) - 1,
    -(1 << 63),
)
# Numbers of fields, in parquet.thrift.
SCHEMA, NUM_ROWS, GROUPS = 2, 3, 4  # of FileMetaData
NAME, CHILDREN, LENGTH, CONVERTED = 4, 5, 2, 6  # of SchemaElement
COLUMNS, GROUP_ROWS = 1, 3  # of RowGroup
META = 3  # of ColumnChunk
UNPACKED, PACKED, PAGE, DICTIONARY = 6, 7, 9, 11  # of ColumnMetaData
FLOAT64, TEXT = 5, 6  # types


@dataclass
class Lie:
    """A Parquet file in parts, to be changed."""

    body: bytes
    footer: list[Field]

    @classmethod
    def of(cls, data: bytes) -> "Lie":
        size = struct.unpack("<I", data[-8:-4])[0]
        return cls(data[: -8 - size], Reader(data[-8 - size : -8]).struct())

    def data(self) -> bytes:
        footer = write(self.footer)
        return self.body + footer + struct.pack("<I", len(footer)) + b"PAR1"

    def column_metas(self) -> list[list[Field]]:
        groups = field(self.footer, GROUPS).value.values
        return [field(chunk, META).value for group in groups for chunk in field(group, COLUMNS).value.values]

    def page_offsets(self) -> list[int]:
        """Where the first pages of the column chunks begin."""
        return sorted({each.value for meta in self.column_metas() for each in meta if each.id in (PAGE, DICTIONARY)})

    def change_page(self, offset: int, header: list[Field]) -> None:
        """Replaces a page's header; what follows moves, and the footer knows it."""
        reader = Reader(self.body, offset)
        reader.struct()
        new = write(header)
        step = len(new) - (reader.position - offset)
        self.body = self.body[:offset] + new + self.body[reader.position :]
        for meta in self.column_metas():
            starts = [each.value for each in meta if each.id in (PAGE, DICTIONARY)]
            if min(starts) <= offset < min(starts) + field(meta, PACKED).value:
                field(meta, PACKED).value += step
            for each in meta:
                if each.id in (PAGE, DICTIONARY) and each.value > offset:
                    each.value += step


def field(fields: list[Field], number: int) -> Field:
    return next(each for each in fields if each.id == number)


def honest(rows: int = 50, **options: Any) -> bytes:
    """A file of readings with columns of many kinds besides."""
    sink, numbers = io.BytesIO(), list(range(rows))
    table = pa.table(
        {
            "place": pa.array([f"A{number % 3}" for number in numbers]),
            "at": pa.array([TIME] * rows),
            "t": pa.array([None if number % 7 == 0 else number / 2 for number in numbers], pa.float64()),
            "w": pa.array([Decimal(number) for number in numbers], pa.decimal128(20, 2)),
            "p": pa.array([f"{number}" for number in numbers]),
            "times": pa.array(numbers, pa.timestamp("us", "UTC")),
            "deep": pa.array([{"a": {"b": [number]}} for number in numbers]),
            "pairs": pa.array([[("a", number)] for number in numbers], pa.map_(pa.string(), pa.int32())),
            "bytes": pa.array([b"ab"] * rows, pa.binary(2)),
        }
    )
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def honest_files() -> list[bytes]:
    """Honest files of the kinds that writers choose."""
    delta = {"place": "DELTA_BYTE_ARRAY", "at": "DELTA_LENGTH_BYTE_ARRAY", "t": "BYTE_STREAM_SPLIT"}
    return [
        honest(),
        honest(compression="zstd", use_dictionary=False),
        honest(compression="gzip", data_page_version="2.0", row_group_size=20),
        honest(compression="none", use_dictionary=False, column_encoding=delta, write_page_index=True),
        honest(compression="lz4", data_page_size=64, write_page_checksum=True),
        honest(rows=0),
    ]


def lies(seed: int, count: int) -> Iterator[bytes]:
    """Files with numbers and lengths of a footer, a page's header or both replaced, or with bytes flipped."""
    draw, files = random.Random(seed), honest_files()
    for _ in range(count):
        lie = Lie.of(draw.choice(files))
        where = draw.choice(["footer", "page", "both", "bytes"])
        if where in ("page", "both") and (offsets := lie.page_offsets()):
            offset = draw.choice(offsets)
            header = Reader(lie.body, offset).struct()
            _spoil(draw, header)
            lie.change_page(offset, header)
        if where in ("footer", "both"):
            _spoil(draw, lie.footer)
        data = bytearray(lie.data())
        if where == "bytes":
            for _ in range(draw.randint(1, 8)):
                data[draw.randrange(len(data))] = draw.randrange(256)
        yield bytes(data)


def _spoil(draw: random.Random, fields: list[Field]) -> None:
    targets = list(_numbers(fields))
    for _ in range(draw.choice([1, 1, 1, 2, 5]) if targets else 0):
        holder, key = draw.choice(targets)
        number = draw.choice(HOSTILE)
        if key == "size":
            holder.size = min(number & 0x7FFFFFFF, 1 << 31)
        elif isinstance(holder, Field):
            holder.value = number
        else:
            holder.values[key] = number


def _numbers(fields: list[Field]) -> Iterator[tuple[Any, Any]]:
    """All integers of a struct, and the lengths of its lists, as holders and keys."""
    for each in fields:
        if each.type in INTEGERS:
            yield each, "value"
        elif each.type == STRUCT:
            yield from _numbers(each.value)
        elif each.type == LIST:
            yield each.value, "size"
            for at, value in enumerate(each.value.values):
                if each.value.type in INTEGERS:
                    yield each.value, at
                elif each.value.type == STRUCT:
                    yield from _numbers(value)


def deep(levels: int) -> bytes:
    """Groups inside of groups."""
    group = [Field(3, I32, 0), Field(NAME, BINARY, b"g"), Field(CHILDREN, I32, 1)]
    return _of_schema([group[1:], *[group] * levels, _leaf(b"place")])


def wide(columns: int) -> bytes:
    """So many columns."""
    root = [Field(NAME, BINARY, b"schema"), Field(CHILDREN, I32, columns)]
    return _of_schema([root, *(_leaf(b"%d" % number) for number in range(columns))])


def _leaf(name: bytes) -> list[Field]:
    return [Field(1, I32, TEXT), Field(3, I32, 0), Field(NAME, BINARY, name)]


def _of_schema(elements: list[list[Field]]) -> bytes:
    lie = Lie.of(honest(0))
    lie.footer = [each for each in lie.footer if each.id < 5]
    field(lie.footer, SCHEMA).value = Items(STRUCT, elements)
    field(lie.footer, NUM_ROWS).value = 0
    field(lie.footer, GROUPS).value = Items(STRUCT)
    return lie.data()


def long_footer(size: int) -> bytes:
    return b"PAR1" + bytes(size) + struct.pack("<I", size) + b"PAR1"


def many_rows(number: int) -> bytes:
    lie = Lie.of(honest())
    field(lie.footer, NUM_ROWS).value = number
    return lie.data()


def small_sizes(megabytes: int) -> bytes:
    """One text of so many megabytes, whose sizes in the footer are those of a short one."""
    sink, text = io.BytesIO(), pa.array(["1" * (megabytes << 20)])
    table = pa.table({"place": ["AAA"], "at": [TIME], "t": text})
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    lie = Lie.of(sink.getvalue())
    for meta in lie.column_metas():
        field(meta, UNPACKED).value = 100
    return lie.data()


def large_pages(number: int) -> bytes:
    """Each first page says that it unpacks to so many bytes."""
    lie = Lie.of(honest(compression="zstd", use_dictionary=False))
    for at in range(len(lie.page_offsets())):
        offset = lie.page_offsets()[at]
        header = Reader(lie.body, offset).struct()
        field(header, 2).value = number
        lie.change_page(offset, header)
    return lie.data()


def long_values(length: int, rows: int) -> bytes:
    """Decimals of so many bytes each, all of them one entry of a dictionary."""
    sink = io.BytesIO()
    numbers = pa.array([b"\0" * length] * rows, pa.binary(length))
    table = pa.table({"place": ["AAA"] * rows, "at": [TIME] * rows, "t": numbers})
    pq.write_table(table, sink, compression="zstd", write_statistics=False)
    lie = Lie.of(sink.getvalue())
    lie.footer = [each for each in lie.footer if each.id != 5]  # the schema that Arrow keeps beside
    element = next(each for each in field(lie.footer, SCHEMA).value.values if field(each, NAME).value == b"t")
    element += [Field(CONVERTED, I32, 5), Field(7, I32, 0), Field(8, I32, 38)]  # DECIMAL, its scale and precision
    return lie.data()


def shared_prefixes(length: int, rows: int) -> bytes:
    """Texts of which each repeats the one before: a few bytes for all, by `DELTA_BYTE_ARRAY`."""
    sink, texts = io.BytesIO(), pa.array(["1" * length] * rows)
    table = pa.table({"place": ["AAA"] * rows, "at": [TIME] * rows, "t": texts})
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, column_encoding={"t": "DELTA_BYTE_ARRAY"})
    return sink.getvalue()


NAMED = {
    "more rows than bytes": lambda: many_rows(1 << 60),
    "more rows than there are": lambda: many_rows(60),
    "fewer rows than there are": lambda: many_rows(3),
    "less than no rows": lambda: many_rows(-1),
    "a footer of 500 MB": lambda: long_footer(500_000_000),
    "a footer beyond the file": lambda: Lie.of(honest()).body + b"\xff\xff\xff\xffPAR1",
    "a footer of nothing": lambda: long_footer(0),
    "a footer of zeros": lambda: long_footer(1000),
    "groups 10,000 deep": lambda: deep(10_000),
    "groups 300,000 deep": lambda: deep(300_000),
    "100,000 columns": lambda: wide(100_000),
    "pages of no length": lambda: large_pages(0),
    "pages of 2 GB": lambda: large_pages((1 << 31) - 1),
    "pages of less than nothing": lambda: large_pages(-1),
    "sizes that say little": lambda: small_sizes(300),
    "long values of one entry": lambda: long_values(100_000, 5000),
    "texts that repeat each other": lambda: shared_prefixes(100_000, 5000),
}
