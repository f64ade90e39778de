"""Files of readings, piece by piece in bounded memory: CSV, Parquet, JSON lines. What is damaged is `Malformed`."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from aerocast.doors.readings import Malformed, check, parse_json_lines
from aerocast.feed import Feed

Reader = Callable[[Path, bool, Feed], Iterator[pa.Table]]
_BLOCK = 4 << 20
_LINE = 1 << 20
_ROWS = 20_000
_MAGIC = b"\x1f\x8b"


def kind_of(name: str) -> str | None:
    """`csv`, `parquet` or `jsonl` by the file's name; None for what is no file of readings."""
    plain = name.lower().removesuffix(".gz")
    ending = plain.rpartition(".")[2]
    return ending if ending in _READERS and (ending != "parquet" or plain == name.lower()) else None


def pieces(path: Path, kind: str, feed: Feed, whole: bool) -> Iterator[pa.Table]:
    """The file's rows in their order, in tables that `to_raw` takes. `whole`: nothing can be missing at its end.

    Raises:
        Malformed: it is cut off, damaged, or its columns are not those of the feed.
        OSError: it cannot be read.
    """
    with _damage(path):
        if not path.stat().st_size:
            raise Malformed("file", "0 bytes", "a file with readings")
        before = 0
        for table in _READERS[kind](path, whole, feed):
            names = check(feed, table.schema)
            if kind == "jsonl":
                _check_keys(table, names, before)
            before += len(table)
            yield table


def _read_csv(path: Path, whole: bool, feed: Feed) -> Iterator[pa.Table]:
    if not whole:
        _check_ending(path)
    with _opened(path) as file:
        head = file.read(_LINE)
    if b"\0" in head:
        raise Malformed("file", head[:20], "CSV text")
    first = next(iter(head.splitlines()), b"").decode("utf-8-sig")
    header = next(csv.reader([first]), [])
    with (
        _opened(path) as file,
        pc_csv.open_csv(
            file,
            pc_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            pc_csv.ParseOptions(newlines_in_values=True),
            pc_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=[], strings_can_be_null=False
            ),
        ) as reader,
    ):
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _check_ending(path: Path) -> None:
    """The last line of a CSV that ends in the middle may be half a line, and still look like one."""
    last = b""
    with _opened(path) as file:
        while chunk := file.read(_BLOCK):
            last = chunk[-80:]
    if not last.endswith((b"\n", b"\r")):
        raise Malformed("last line", last.splitlines()[-1], "a line break at the end, or a manifest: it looks cut off")


def _read_parquet(path: Path, whole: bool, feed: Feed) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        yield file.schema_arrow.empty_table()
        for batch in file.iter_batches(batch_size=_ROWS):
            yield pa.Table.from_batches([batch])


def _read_json_lines(path: Path, whole: bool, feed: Feed) -> Iterator[pa.Table]:
    with _opened(path) as file:
        first = 1
        while lines := list(_some_lines(file)):
            table = parse_json_lines(feed, b"".join(lines), first)[0]
            first += len(lines)
            if len(table):
                yield table


def _some_lines(file: BinaryIO) -> Iterator[bytes]:
    for _ in range(_ROWS):
        line = file.readline(_LINE)
        if len(line) == _LINE:
            raise Malformed("line", line[:20], f"less than {_LINE} bytes")
        if not line:
            return
        yield line


def _check_keys(table: pa.Table, names: Sequence[str], before: int) -> None:
    """A reading of a JSON line says both where and when."""
    for name in names:
        if table.column(name).null_count:
            row = before + table.column(name).to_pylist().index(None) + 1
            raise Malformed(name, None, "given in every reading", f"reading {row}")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes; compressed ones are known by their first two, not by their name."""
    with path.open("rb") as file:
        packed = file.read(2) == _MAGIC
        file.seek(0)
        if not packed:
            yield file
        else:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """What the libraries say of a damaged file; an error that the disk gave a number stays what it is."""
    try:
        yield
    except (pa.ArrowException, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise Malformed("file", f"{path.stat().st_size} bytes", f"whole and readable ({_first_line(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Malformed("file", f"{path.stat().st_size} bytes", f"whole and readable ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_READERS: dict[str, Reader] = {"csv": _read_csv, "parquet": _read_parquet, "jsonl": _read_json_lines}
