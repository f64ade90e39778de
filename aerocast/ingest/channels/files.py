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

from aerocast.common.errors import first_line
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import arrow, parquet
from aerocast.ingest.channels.definition import Definition
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_file import Piece, open_csv, undeclared_note
from aerocast.ingest.deliveries.csv_lines import LONGEST_BROKEN, CsvFault
from aerocast.ingest.deliveries.layout import station_of_file
from aerocast.tables.raw import MALFORMED

ENDINGS = ("csv", "csv.gz", "parquet", "jsonl", "jsonl.gz")
_LINE = 1 << 20
_ROWS, _BYTES = 20_000, 8 << 20  # of a piece
_MAGIC = b"\x1f\x8b"


@dataclass
class FileContent:
    """What a file holds, known to be readable to its end: how many rows, and all of them, as often as asked for.

    `notes` are sentences without a subject on what was ignored or looks odd; `station` is that of the file's name, if
    it says one.
    """

    rows: int
    pieces: Callable[[], Iterator[Piece]]
    notes: list[str] = field(default_factory=list)
    station: str | None = None


def kind_of(name: str) -> str | None:
    """`csv`, `parquet` or `jsonl` by the file's name; None for what is no file of readings."""
    endings = [ending for ending in ENDINGS if name.lower().endswith(f".{ending}")]
    return endings[0].removesuffix(".gz") if endings else None


@contextmanager
def open_file(path: Path, kind: str, feed: Feed, *, whole: bool, name: str = "") -> Iterator[FileContent]:
    """The file's rows in their order, in tables that `to_raw` takes. `whole`: nothing can be missing at its end.

    Fields that the feed does not declare are left out. `name` is the file's own, where `path` is that of a copy.

    Raises:
        ReadingError: it is truncated, damaged, has too many broken lines, or lacks what makes a reading.
        OSError: it cannot be read.
    """
    with _as_malformed(path):
        if not path.stat().st_size:
            raise ReadingError("file", "0 bytes", "a file with readings")
        station = station_of_file(feed, name or path.name)
        definition = definition_of(feed, file_station=station is not None)
        if kind == "csv":

            def choose(names: Sequence[str]) -> Columns:
                return definition.check_columns(definition.columns(names))

            # Without a manifest only a compressed file shows that its end is there.
            source, end = feed.source, True if whole else None
            with open_csv(path, choose, source.broken_lines, source.format, whole=end) as file:
                yield FileContent(file.rows, file.pieces, file.notes, station)
        else:
            content = _parquet(path, definition) if kind == "parquet" else _json_lines(path, feed, definition, whole)
            content.station = station
            yield content


def _parquet(path: Path, definition: Definition) -> FileContent:
    columns, every = parquet.read_columns(path, definition)
    names = columns.names

    def pieces() -> Iterator[Piece]:
        return map(Piece, parquet.read_tables(path, names))

    notes = undeclared_note(sorted({*every} - {*names}))
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
        with decompress(self.path) as file:
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


def _json_lines(path: Path, feed: Feed, definition: Definition, whole: bool) -> FileContent:
    lines = _JsonLines(path, definition, whole)
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
def decompress(path: Path) -> Iterator[BinaryIO]:
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
