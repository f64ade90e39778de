"""Reads files of readings piece by piece in bounded memory: CSV, Parquet, JSON lines; damage is a `ReadingError`."""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from aerocast.common.errors import first_line
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import arrow
from aerocast.ingest.channels.definition import Definition
from aerocast.ingest.channels.readings import ReadingError, definition_of
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_file import Piece, open_csv, undeclared_note
from aerocast.ingest.deliveries.csv_lines import LONGEST_BROKEN, CsvFault
from aerocast.tables.raw import MALFORMED

ENDINGS = ("csv", "csv.gz", "parquet", "jsonl", "jsonl.gz")
_LINE = 1 << 20
_ROWS, _BYTES = 20_000, 8 << 20  # of a piece
_MOST_DECODED = 1 << 30  # bytes of the columns of a Parquet file, unpacked
_ROWS_A_BYTE = 10  # more than any file with readings in its rows has
_MAGIC = b"\x1f\x8b"


@dataclass
class FileContent:
    """What a file holds, known to be readable to its end: how many rows, and all of them, as often as asked for.

    `notes` are sentences without a subject on what was ignored or looks odd.
    """

    rows: int
    pieces: Callable[[], Iterator[Piece]]
    notes: list[str] = field(default_factory=list)


def kind_of(name: str) -> str | None:
    """`csv`, `parquet` or `jsonl` by the file's name; None for what is no file of readings."""
    endings = [ending for ending in ENDINGS if name.lower().endswith(f".{ending}")]
    return endings[0].removesuffix(".gz") if endings else None


@contextmanager
def open_file(path: Path, kind: str, feed: Feed, *, whole: bool) -> Iterator[FileContent]:
    """The file's rows in their order, in tables that `to_raw` takes. `whole`: nothing can be missing at its end.

    Fields that the feed does not declare are left out.

    Raises:
        ReadingError: it is truncated, damaged, has too many broken lines, or lacks what makes a reading.
        OSError: it cannot be read.
    """
    with _as_malformed(path):
        if not path.stat().st_size:
            raise ReadingError("file", "0 bytes", "a file with readings")
        if kind == "csv":
            definition = definition_of(feed)

            def choose(names: Sequence[str]) -> Columns:
                return definition.check_columns(definition.columns(names))

            # Without a manifest only a compressed file shows that its end is there.
            with open_csv(path, choose, feed.source.broken_lines, whole=True if whole else None) as file:
                yield FileContent(file.rows, file.pieces, file.notes)
        else:
            yield _parquet(path, feed) if kind == "parquet" else _json_lines(path, feed, whole)


@contextmanager
def open_parquet(source: Path | pa.BufferReader, size: int) -> Iterator[pq.ParquetFile]:
    """A Parquet file of so many bytes, if it does not unpack to too much; texts stay dictionaries, for the same reason.

    Raises:
        ReadingError: it does.
        pa.ArrowException, OSError: it cannot be read.
    """
    metadata = pq.read_metadata(source)
    columns = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    decoded = sum(group.column(number).total_uncompressed_size for group in groups for number in range(len(columns)))
    if decoded > _MOST_DECODED or metadata.num_rows > 1000 + _ROWS_A_BYTE * size:
        rule = f"at most {_MOST_DECODED} bytes unpacked, and {_ROWS_A_BYTE} rows for each byte"
        raise ReadingError("file", f"{decoded} bytes unpacked, {metadata.num_rows} rows, {size} bytes as it is", rule)
    with pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20, read_dictionary=columns) as file:
        yield file


def parquet_batches(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Its rows, a bounded number at a time. Raises ArrowInvalid for texts that are not UTF-8."""
    for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
        batch.validate(full=True)
        yield pa.Table.from_batches([batch])


def _parquet(path: Path, feed: Feed) -> FileContent:
    size = path.stat().st_size
    with open_parquet(path, size) as file:
        definition = definition_of(feed)
        schema = arrow.flatten(file.schema_arrow.empty_table(), definition.names).schema
        names = definition.check_columns(arrow.table_columns(definition, schema)).names

    def pieces() -> Iterator[Piece]:
        with open_parquet(path, size) as file:
            for table in parquet_batches(file, names):
                yield Piece(arrow.flatten(table, names).select(names))

    notes = undeclared_note(sorted(set(schema.names) - set(names)))
    return FileContent(sum(len(piece.table) for piece in pieces()), pieces, notes)


@dataclass
class _JsonLines:
    """A file with a reading a line; what the last look at it met."""

    path: Path
    definition: Definition
    whole: bool
    rows: int = 0
    broken_lines: int = 0
    example: str = ""
    has_values: bool = False
    ignored: set[str] = field(default_factory=set)

    def pieces(self) -> Iterator[Piece]:
        self.rows = self.broken_lines = 0
        first = 1
        with _decompress(self.path) as file:
            while lines := list(_some_lines(file)):
                for piece in self._parse(lines, first):
                    self.rows += len(piece.table)
                    yield piece
                first += len(lines)

    def _parse(self, lines: list[bytes], first: int) -> Iterator[Piece]:
        """The lines' readings; where something is wrong with one of them, half of the lines at a time."""
        if first == 1 and lines[0].startswith(BOM_UTF8):
            lines = [lines[0].removeprefix(BOM_UTF8), *lines[1:]]
        try:
            readings = self.definition.json_lines(b"".join(lines), first)
            if readings.rows:
                self.has_values = self.has_values or self.definition.is_measured(readings)
                self.ignored |= set(readings.ignored)
                yield Piece(arrow.table_of(self.definition, [readings]))
        except ReadingError as error:
            if len(lines) > 1:
                half = len(lines) // 2
                yield from self._parse(lines[:half], first)
                yield from self._parse(lines[half:], first + half)
            else:
                yield self._broken_piece(lines[0], first, error)

    def _broken_piece(self, line: bytes, number: int, error: ReadingError) -> Piece:
        text = line.decode(errors="replace").rstrip("\r\n")
        if not self.whole and not line.endswith(b"\n") and not text.endswith("}"):
            raise error  # the file looks truncated
        reason = str(error).removeprefix(f"line {number}: ")
        self.broken_lines += 1
        self.example = self.example or f"line {number}: {reason}: {text[:200]!r}"
        empty = pa.nulls(1, pa.string())
        names = (self.definition.station[0], self.definition.time[0], *self.definition.measured)
        table = pa.table(dict.fromkeys(names, empty))
        return Piece(table, pa.array([f"{MALFORMED}{number}: {reason}"]), pa.array([text[:LONGEST_BROKEN]]))


def _json_lines(path: Path, feed: Feed, whole: bool) -> FileContent:
    lines = _JsonLines(path, definition_of(feed), whole)
    for _ in lines.pieces():
        pass
    if lines.broken_lines > feed.source.broken_lines * lines.rows:
        rule = f"at most {feed.source.broken_lines:.0%} of the lines; the first is {lines.example}"
        raise ReadingError("broken lines", f"{lines.broken_lines} of {lines.rows}", rule)
    if lines.rows > lines.broken_lines and not lines.has_values:
        raise lines.definition.nothing_measured(lines.ignored)
    notes = undeclared_note(sorted(lines.ignored))
    if lines.broken_lines:
        count = f"{lines.broken_lines} of {lines.rows} lines"
        notes.append(f"{count} are broken and quarantined; the first is {lines.example}")
    return FileContent(lines.rows, lines.pieces, notes)


def _some_lines(file: BinaryIO) -> Iterator[bytes]:
    size = 0
    for _ in range(_ROWS):
        if size > _BYTES:
            return
        line = file.readline(_LINE)
        size += len(line)
        if len(line) == _LINE:
            raise ReadingError("line", line[:20], f"less than {_LINE} bytes")
        if not line:
            return
        yield line


@contextmanager
def _decompress(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes; compressed ones are known by their first two, not by their name."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == _MAGIC
        file.seek(0)
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzip else file


@contextmanager
def _as_malformed(path: Path) -> Iterator[None]:
    """What the libraries say of a damaged file; an error that the disk gave a number stays what it is."""
    try:
        yield
    except CsvFault as fault:
        raise ReadingError(fault.field, fault.value, fault.rule) from fault
    except (pa.ArrowException, EOFError, zlib.error, ValueError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        rule = f"whole and readable ({first_line(error)})"
        raise ReadingError("file", f"{path.stat().st_size} bytes", rule) from error
