"""Reads Parquet files for another process, which must outlive whatever a file does: its memory and time are bounded.

Arrow believes a footer: a few kilobytes can overflow the stack, or unpack to gigabytes whatever the sizes say that they
name. `aerocast.ingest.channels.parquet` starts this program and asks it; a request is a line of JSON, an answer is one,
too, and after `Part` come as many bytes of an Arrow IPC stream.
"""

import os
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from aerocast.common.errors import first_line
from aerocast.ingest.channels import arrow
from aerocast.ingest.channels.reading_error import ReadingError

MEMORY, SECONDS = 256, 60  # megabytes beyond those of the libraries, and of the processor for one request
MOST_DECODED = 1 << 30  # bytes of the columns of a file, unpacked
ROWS_A_BYTE = 10  # more than any file with readings in its rows has
EXHAUSTED = 3  # the status with which it ends when memory is short
BOUNDS = f"readable with {MEMORY} MB of memory and in {SECONDS} s of the processor's time"
_NO_DICTIONARIES = {"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"}  # encodings that Arrow makes none of
_ROWS, _BYTES = 20_000, 16 << 20  # of a part


class Request(msgspec.Struct, frozen=True):
    """`names` are those that are declared, dotted inside of structs; without `columns` no rows are wanted."""

    path: bytes
    names: Sequence[str]
    columns: Sequence[str] | None = None


class Head(msgspec.Struct, frozen=True, tag=True):
    """The names of all columns. One part without rows follows, with the declared ones."""

    names: list[str]


class Part(msgspec.Struct, frozen=True, tag=True):
    """A table comes, of so many bytes."""

    size: int


class End(msgspec.Struct, frozen=True, tag=True):
    """That was all."""


class Fault(msgspec.Struct, frozen=True, tag=True):
    """A `ReadingError`."""

    field: str
    value: str | int
    rule: str


class Malformed(msgspec.Struct, frozen=True, tag=True):
    """What a library says of a damaged file."""

    reason: str


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """What the operating system says."""

    number: int
    reason: str


Answer: TypeAlias = Head | Part | End | Fault | Malformed | Unreadable


def main() -> None:
    """Answers until nobody asks, or memory is short."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not answer
    _bound_memory()
    for line in sys.stdin.buffer:
        _bound_time()
        request = msgspec.json.decode(line, type=Request)
        last: Answer = End()
        try:
            for answer in _head(request) if request.columns is None else _parts(request, request.columns):
                _send(answers, answer)
        except MemoryError:
            os._exit(EXHAUSTED)
        except ReadingError as error:
            last = Fault(error.field, error.sent if isinstance(error.sent, int) else str(error.sent), error.rule)
        except Exception as error:  # whatever a library says of a file is about the file, unless the disk has a number
            number = getattr(error, "errno", None) if isinstance(error, OSError) else None
            last = Malformed(first_line(error)) if number is None else Unreadable(number, os.strerror(number))
        _send(answers, last)


def _head(request: Request) -> Iterator[Head | pa.Table]:
    with _open(request.path) as file:
        table = arrow.flatten(file.schema_arrow.empty_table(), request.names)
    yield Head(table.column_names)
    declared = {*request.names}
    yield table.select([number for number, name in enumerate(table.column_names) if name in declared])


def _parts(request: Request, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows with plain texts, in tables of a bounded size."""
    count = 0
    with _open(request.path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns, use_threads=False):
            batch.validate(full=True)
            count += len(batch)
            table = arrow.flatten(pa.Table.from_batches([batch]), columns).select(columns)
            width = sum(arrow.longest_text(table.column(name), name) + 8 for name in columns)
            step = max(1, min(_ROWS, _BYTES // width))
            for start in range(0, len(table), step):
                yield _plain(table.slice(start, step))
        if count != file.metadata.num_rows:
            raise ReadingError("num_rows", file.metadata.num_rows, f"{count}, as many as there are")


def _plain(table: pa.Table) -> pa.Table:
    kinds = [each.type.value_type if pa.types.is_dictionary(each.type) else each.type for each in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def _open(path: bytes) -> pq.ParquetFile:
    """The file, if it does not say itself that it unpacks to too much; texts stay dictionaries until they are known."""
    source, size = Path(os.fsdecode(path)), os.stat(path).st_size
    metadata = pq.read_metadata(source)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(metadata.num_columns)]
    decoded = sum(chunk.total_uncompressed_size for chunk in chunks)
    if decoded > MOST_DECODED or metadata.num_rows > 1000 + ROWS_A_BYTE * size:
        rule = f"at most {MOST_DECODED} bytes unpacked, and {ROWS_A_BYTE} rows for each byte"
        raise ReadingError("file", f"{decoded} bytes unpacked, {metadata.num_rows} rows, {size} bytes as it is", rule)
    columns = {metadata.schema.column(number).path for number in range(metadata.num_columns)}
    plain = {chunk.path_in_schema for chunk in chunks if _NO_DICTIONARIES & {*chunk.encodings}}
    return pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20, read_dictionary=sorted(columns - plain))


def _send(answers: BinaryIO, answer: Answer | pa.Table) -> None:
    if isinstance(answer, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, answer.schema) as writer:
            writer.write_table(answer)
        stream = sink.getvalue()
        answers.write(msgspec.json.encode(Part(stream.size)) + b"\n")
        answers.write(memoryview(stream))
    else:
        answers.write(msgspec.json.encode(answer) + b"\n")
    answers.flush()


def _bound_memory() -> None:
    """Of data, and none for a copy of the memory at its end; what libraries have loaded is not counted."""
    status = Path("/proc/self/status")
    if status.exists() and (data := re.search(r"VmData:\s+(\d+) kB", status.read_text())):
        _lower(resource.RLIMIT_DATA, (int(data[1]) << 10) + (MEMORY << 20))
    _lower(resource.RLIMIT_CORE, 0)


def _bound_time() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + SECONDS)


def _lower(limit: int, value: int) -> None:
    _, most = resource.getrlimit(limit)
    resource.setrlimit(limit, (value if most == resource.RLIM_INFINITY else min(value, most), most))


if __name__ == "__main__":
    main()
