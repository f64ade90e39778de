"""Files of readings, piece by piece in bounded memory: CSV, Parquet, JSON lines. What is damaged is `Malformed`."""

from __future__ import annotations

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

from aerocast.feed.model import Feed
from aerocast.ingest.deliveries.csv_file import Choice, Piece, open_csv
from aerocast.ingest.deliveries.csv_lines import CsvFault
from aerocast.ingest.doors import arrow
from aerocast.ingest.doors.definition import Definition
from aerocast.ingest.doors.readings import Malformed, check, definition_of
from aerocast.tables.raw import MALFORMED

ENDINGS = ("csv", "csv.gz", "parquet", "jsonl", "jsonl.gz")
_LINE = 1 << 20
_ROWS = 20_000
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
    found = [ending for ending in ENDINGS if name.lower().endswith(f".{ending}")]
    return found[0].removesuffix(".gz") if found else None


@contextmanager
def opened(path: Path, kind: str, feed: Feed, *, whole: bool) -> Iterator[FileContent]:
    """The file's rows in their order, in tables that `to_raw` takes. `whole`: nothing can be missing at its end.

    Fields that the feed does not declare are left out.

    Raises:
        Malformed: it is cut off, damaged, has too many broken lines, or lacks what makes a reading.
        OSError: it cannot be read.
    """
    with _damage(path):
        if not path.stat().st_size:
            raise Malformed("file", "0 bytes", "a file with readings")
        if kind == "csv":
            # Without a manifest only a compressed file shows that its end is there.
            known = True if whole else None
            with open_csv(path, lambda names: chosen(feed, names), feed.source.broken_lines, whole=known) as file:
                yield FileContent(file.rows, file.pieces, file.notes)
        else:
            yield _parquet(path, feed) if kind == "parquet" else _json_lines(path, feed, whole)


def chosen(feed: Feed, names: Sequence[str]) -> Choice:
    """Which of these columns are taken up.

    Raises:
        Malformed: there is no station, no time, nothing that was measured, or one of them twice.
    """
    definition = definition_of(feed)
    columns = definition.columns(names)
    definition.check_columns(columns)
    return Choice(columns.station, columns.time, columns.measured)


def _parquet(path: Path, feed: Feed) -> FileContent:
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        definition = definition_of(feed)
        declared = (*definition.station, *definition.time, *definition.measured)
        schema = arrow.flat(file.schema_arrow.empty_table(), declared).schema
        names = schema.names
        choice = chosen(feed, names)
        check(feed, pa.schema([schema.field(name) for name in choice.names]))

    def pieces() -> Iterator[Piece]:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(batch_size=_ROWS, columns=choice.names):
                yield Piece(arrow.flat(pa.Table.from_batches([batch]), choice.names).select(choice.names))

    return FileContent(sum(len(piece.table) for piece in pieces()), pieces, _ignored(set(names) - set(choice.names)))


@dataclass
class _JsonLines:
    """A file with a reading a line; what the last look at it met."""

    path: Path
    definition: Definition
    whole: bool
    rows: int = 0
    broken: int = 0
    example: str = ""
    measured: bool = False
    ignored: set[str] = field(default_factory=set)

    def pieces(self) -> Iterator[Piece]:
        self.rows = self.broken = 0
        first = 1
        with _unpacked(self.path) as file:
            while lines := list(_some_lines(file)):
                for piece in self._read(lines, first):
                    self.rows += len(piece.table)
                    yield piece
                first += len(lines)

    def _read(self, lines: list[bytes], first: int) -> Iterator[Piece]:
        """The lines' readings; where something is wrong with one of them, half of the lines at a time."""
        if first == 1 and lines[0].startswith(BOM_UTF8):
            lines = [lines[0].removeprefix(BOM_UTF8), *lines[1:]]
        try:
            readings = self.definition.json_lines(b"".join(lines), first)
            if readings.rows:
                self.measured = self.measured or self.definition.is_measured(readings)
                self.ignored |= set(readings.ignored)
                yield Piece(arrow.table_of(self.definition, [readings]))
        except Malformed as error:
            if len(lines) > 1:
                half = len(lines) // 2
                yield from self._read(lines[:half], first)
                yield from self._read(lines[half:], first + half)
            else:
                yield self._broken(lines[0], first, error)

    def _broken(self, line: bytes, number: int, error: Malformed) -> Piece:
        text = line.decode(errors="replace").rstrip("\r\n")
        if not self.whole and not line.endswith(b"\n") and not text.endswith("}"):
            raise error  # the file looks cut off
        said = str(error).removeprefix(f"line {number}: ")
        self.broken, self.example = self.broken + 1, self.example or f"line {number}: {said}: {text[:200]!r}"
        nothing = pa.nulls(1, pa.string())
        names = (self.definition.station[0], self.definition.time[0], *self.definition.measured)
        table = pa.table(dict.fromkeys(names, nothing))
        return Piece(table, pa.array([f"{MALFORMED}{number}: {said}"]), pa.array([text]))


def _json_lines(path: Path, feed: Feed, whole: bool) -> FileContent:
    lines = _JsonLines(path, definition_of(feed), whole)
    for _ in lines.pieces():
        pass
    if lines.broken > feed.source.broken_lines * lines.rows:
        rule = f"at most {feed.source.broken_lines:.0%} of the lines; the first is {lines.example}"
        raise Malformed("broken lines", f"{lines.broken} of {lines.rows}", rule)
    if lines.rows > lines.broken and not lines.measured:
        raise lines.definition.nothing_measured(lines.ignored)
    notes = _ignored(lines.ignored)
    if lines.broken:
        notes.append(f"{lines.broken} of {lines.rows} lines are broken and set aside; the first is {lines.example}")
    return FileContent(lines.rows, lines.pieces, notes)


def _ignored(names: set[str]) -> list[str]:
    return [f"columns that are not declared are ignored: {', '.join(sorted(names))}"[:600]] if names else []


def _some_lines(file: BinaryIO) -> Iterator[bytes]:
    for _ in range(_ROWS):
        line = file.readline(_LINE)
        if len(line) == _LINE:
            raise Malformed("line", line[:20], f"less than {_LINE} bytes")
        if not line:
            return
        yield line


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
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
    except CsvFault as fault:
        raise Malformed(fault.field, fault.value, fault.rule) from fault
    except (pa.ArrowException, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise Malformed("file", f"{path.stat().st_size} bytes", f"whole and readable ({_first_line(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Malformed("file", f"{path.stat().st_size} bytes", f"whole and readable ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
