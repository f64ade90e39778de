"""Reads a CSV file of readings, plain or compressed, with DuckDB after every line was checked.

The source and the inbox read files here and nowhere else. How the text is written says the feed's `source.format`; no
value has a type.
"""

import csv
import errno
import glob
import tempfile
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import duckdb
import numpy as np
import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import literal
from aerocast.feed.text_format import TextFormat
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_lines import BETWEEN, BLOCK, CsvFault, Header, Oddity, Repair, blocks
from aerocast.ingest.deliveries.csv_syntax import Syntax

_ROWS = 122_880  # of a batch: DuckDB's row group
_MEMORY = "512MB"
_LONGEST = 8 << 20  # bytes of a record of the copy, whose marks are doubled
_BOMS = (b"\xff\xfe", b"\xfe\xff")  # how UTF-16 begins
_DELIMITERS = (";", "\t", "|", ",", " ")  # by which a header of one name is probably separated
_COMPRESSIONS = {"gzip": b"\x1f\x8b", "bz2": b"BZh", "zstd": b"\x28\xb5\x2f\xfd"}
PLAIN = TextFormat()  # everything is found out
_BZ2_BLOCK = (b"1AY&SY", b"\x17rE8P\x90")  # what follows after "BZh9": a header may begin like that


class Piece(NamedTuple):
    """Rows in their order. Of a broken line all values are null; `flags` says what is wrong, and `texts` is the line.

    Both are null for all other rows, and None where no row is broken.
    """

    table: pa.Table
    flags: pa.Array | None = None
    texts: pa.Array | None = None


@dataclass
class CsvFile:
    """A file ready to be read, as long as the block of `open_csv` lasts; `rows` counts the broken lines, too.

    `notes` are sentences without a subject on what was ignored or looks odd.
    """

    path: Path
    syntax: Syntax
    header: Header
    columns: Columns
    rows: int
    copy_quote: str | None = None  # of a copy; None: the file itself is read
    has_multiline: bool = False  # some values have several lines, which DuckDB cannot read in parallel
    broken_rows: Sequence[int] = ()  # numbers of rows
    notes: list[str] = field(default_factory=list)

    def pieces(self) -> Iterator[Piece]:
        """All rows: texts in the columns `columns.names`.

        Raises:
            AeroCastError: it was not parsed, or other rows were read than were counted; a sentence without its subject.
        """
        names, broken_rows, count = self.columns.names, np.asarray(self.broken_rows, np.int64), 0
        try:
            with duckdb.connect() as con:
                con.execute(f"SET memory_limit = '{_MEMORY}'; SET enable_progress_bar = false")
                for batch in con.sql(self._query(names)).to_arrow_reader(_ROWS):
                    batch = batch.slice(0, self.rows - count)  # what was written behind it since comes next time
                    first, last = np.searchsorted(broken_rows, (count, count + len(batch)))
                    table = pa.table(batch.columns, names=names)
                    yield self._set_apart(table, broken_rows[first:last] - count) if last > first else Piece(table)
                    count += len(batch)
        except duckdb.Error as error:
            if not self.path.exists():
                raise FileNotFoundError(errno.ENOENT, "is gone", str(self.path)) from error
            raise AeroCastError(f"could not be parsed: {str(error).splitlines()[0]}") from error
        if count != self.rows:
            raise AeroCastError(f"changed while it was read: {count} records of {self.rows} that were counted")

    def _query(self, names: Sequence[str]) -> str:
        quote = literal(self.syntax.quote if self.copy_quote is None else self.copy_quote)
        columns_sql = [f"c{self.header.names.index(name)}" for name in names]
        every = [f"c{i}" for i in range(len(self.header.names))]
        columns = ", ".join(f"{each}: 'VARCHAR'" for each in every)
        return (
            f"SELECT {', '.join(columns_sql)} FROM read_csv({literal(glob.escape(str(self.path.absolute())))},"
            f" auto_detect = false, header = true, hive_partitioning = false,"
            f" columns = {{{columns}}}, delim = {literal(self.syntax.delimiter)}, quote = {quote},"
            f" escape = {quote},"
            f" compression = 'none', strict_mode = true, max_line_size = {_LONGEST},"
            f" parallel = {not self.has_multiline},"
            # All of them: DuckDB counts a shorter list from the first column that is read.
            f" force_not_null = [{', '.join(map(literal, every))}]) LIMIT {self.rows}"
        )

    def _set_apart(self, table: pa.Table, rows: Any) -> Piece:
        mask = np.zeros(len(table), bool)
        mask[rows] = True
        notes, lines = (
            table.column(self.header.names[place]).to_numpy() for place in (self.header.note, self.header.text)
        )
        if self.header.note == self.header.text:
            notes, lines = np.array([(*str(each).partition(BETWEEN),) for each in notes], object)[:, [0, 2]].T
        flags, texts = (pa.array(each, pa.string(), mask=~mask) for each in (notes, lines))
        columns = [pa.array(column.to_numpy(), pa.string(), mask=mask) for column in table.columns]
        return Piece(pa.table(columns, names=table.column_names), flags, texts)


@contextmanager
def open_csv(
    path: Path,
    choose: Callable[[list[str]], Columns],
    broken_lines: float,
    text_format: TextFormat = PLAIN,
    *,
    whole: bool | None = None,
) -> Iterator[CsvFile]:
    """Checks every line of the file, repairs what is odd, and gives the rows that can be read.

    `choose` takes the header's names and says what is wanted; `broken_lines` is the largest share of lines that may be
    set aside. `whole`: nothing can be missing at the file's end (None: if it is compressed, which shows damage).

    Raises:
        CsvFault: it is empty, binary, cut off, too broken, or names a wanted column twice.
        OSError, pa.ArrowException: the disk does not give it, or its compressed bytes are damaged.
    """
    syntax = Syntax(text_format)
    packing, old = _inspect(path)
    whole = packing is not None if whole is None else whole
    if packing is None and not old and syntax.is_plain:
        with path.open("rb") as stream:
            start = _start(syntax, stream, choose, whole)
            rows = _count_regular(syntax, start)
        if rows is not None:
            yield CsvFile(path, syntax, start.header, start.columns, rows, notes=undeclared_note(start.undeclared))
            return
    with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
        copy = Path(folder) / "copy.csv"
        with pa.input_stream(path, compression=packing) as stream, copy.open("wb") as file:
            start = _start(syntax, cast(BinaryIO, stream), choose, whole)
            file.write(syntax.delimiter.join(f"c{i}" for i in range(len(start.header.names))).encode() + b"\n")
            repair = Repair(syntax, start.header, start.pieces, file, start.line)
            repair.repair_all()
        if (count := len(repair.broken_rows)) > broken_lines * repair.records:
            rule = f"at most {broken_lines:.0%} of the lines; the first is {repair.example}"
            sentence = f"has {count} broken lines of {repair.records}, allowed: {rule}"
            raise CsvFault(sentence, "broken lines", f"{count} of {repair.records}", rule)
        notes, spanning = [*undeclared_note(start.undeclared), *_notes(repair)], bool(repair.multiline.count)
        quote = syntax.quote or '"'
        yield CsvFile(
            copy, syntax, start.header, start.columns, repair.records, quote, spanning, repair.broken_rows, notes
        )


class _Start(NamedTuple):
    """How a file begins; `line` is the number of the first line of readings, where `pieces` begin."""

    header: Header
    columns: Columns
    line: int
    crlf: bool
    regular: bool  # the header is the first line, and a regular one
    pieces: Iterator[bytes]

    @property
    def undeclared(self) -> list[str]:
        return [name for name in self.header.names if name not in self.columns.names]


class _Lines:
    """The lines at a file's beginning, one after the other, and then the `rest` in pieces of whole lines."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._text, self.number = pieces, b"", 0

    def next(self) -> bytes | None:
        if not self._text:
            self._text = next(self._pieces, b"")
            self._text = self._text if self.number else self._text.removeprefix(BOM_UTF8)
        if not self._text:
            return None
        line, _, self._text = self._text.partition(b"\n")
        self.number += 1
        return line

    def rest(self) -> Iterator[bytes]:
        """What comes after the lines that were asked for."""
        if not self.number:
            self._text = next(self._pieces, b"").removeprefix(BOM_UTF8)
        return chain([self._text] if self._text else [], self._pieces)


def _start(syntax: Syntax, stream: BinaryIO, choose: Callable[[list[str]], Columns], whole: bool) -> _Start:
    declared, lines = syntax.format, _Lines(syntax.tabbed(blocks(syntax.text(stream), whole)))
    for _ in range(declared.skip):
        lines.next()
    line = _header_line(syntax, lines) if declared.header is None else b""
    names = _names(syntax, line) if declared.header is None else list(declared.header)
    try:
        declared_names = choose(names).names
    except AeroCastError:
        declared_names = []
    names = _distinct(names, declared_names)
    columns = choose(names)
    twice = [name for name in columns.names if names.count(name) > 1]
    if twice:
        raise CsvFault(
            f"does not fit: field {twice[0]!r} occurs more than once in the header",
            "column",
            twice[0],
            "each column once",
        )
    crlf, width = line.endswith(b"\r"), len(names)
    regular = lines.number == 1 and syntax.is_regular(line + b"\n", width, syntax.pattern(width), crlf)
    for _ in range(declared.units_rows):
        lines.next()
    note, text = (names.index(name) for name in (columns.names[0], columns.names[:2][-1]))
    return _Start(Header(names, note, text), columns, lines.number + 1, crlf, regular, lines.rest())


def _distinct(names: list[str], declared_names: Sequence[str]) -> list[str]:
    """The names, where one that is repeated and not declared follows the last that is not: `ozone status`."""
    result, before = [], ""
    for name in names:
        is_repeated = names.count(name) > 1 and name not in declared_names
        before = before if is_repeated else name
        result.append(f"{before} {name}" if is_repeated else name)
    return [new if result.count(new) == 1 else old for old, new in zip(names, result, strict=True)]


def _header_line(syntax: Syntax, lines: _Lines) -> bytes:
    while (line := lines.next()) is not None:
        if line.strip() and not (syntax.comment and line.startswith(syntax.comment)):
            return line
    rule = "a header with the declared fields"
    raise CsvFault(f"is empty: {rule} is expected", "file", "0 bytes", f"a file with readings: {rule}")


def _names(syntax: Syntax, line: bytes) -> list[str]:
    """The header's names, without the blanks around them."""
    if b"\0" in line:
        encoded = line.startswith(_BOMS)
        rule = f"CSV text{'; if it is UTF-16, declare source.format.encoding' if encoded else ''}"
        raise CsvFault(f"is binary, not {rule}", "file", line[:20], rule)
    try:
        text = line.decode().strip("\r")
    except UnicodeDecodeError as error:
        encoding = syntax.encoding.upper()
        raise CsvFault(
            f"is damaged, or source.format.encoding is another one: its header is not {encoding} text: {error}",
            "header",
            line[:80],
            f"{encoding} text, or as source.format.encoding says",
        ) from error
    try:
        names = [name.strip() for name in next(syntax.reader([text], strict=True))]
    except csv.Error as error:
        rule = "names in one line, with each quotation mark closed"
        raise CsvFault(
            f"has a header that cannot be read ({error}); allowed: {rule}", "header", line[:80], rule
        ) from error
    others = [mark for mark in _DELIMITERS if mark != syntax.delimiter and mark in text]
    if len(names) == 1 and others:  # a reading has a time and a value at least
        rule = f"several names; if {others[0]!r} separates them, declare source.format.delimiter"
        raise CsvFault(
            f"does not fit: its header is one name, {names[0][:200]!r}; allowed: {rule}", "header", text, rule
        )
    return names


def _count_regular(syntax: Syntax, start: _Start) -> int | None:
    """The number of records, if every line is a regular one."""
    rows, width = 0, len(start.header.names)
    lines = syntax.pattern(width)
    for piece in start.pieces if start.regular else ():
        if not syntax.is_regular(piece, width, lines, start.crlf):
            return None
        rows += piece.count(b"\n")
    return rows if start.regular else None


def undeclared_note(names: Iterable[str]) -> list[str]:
    """One sentence without a subject on the columns that are ignored; nothing if there are none."""
    text = ", ".join(name or "(no name)" for name in names)
    return [f"columns that are not declared are ignored: {text}"[:600]] if text else []


def _notes(repair: Repair) -> list[str]:
    count, rows = len(repair.broken_rows), repair.records
    oddities: list[tuple[Oddity, str]] = [
        (repair.stray, "lines with a stray quotation mark, which was read as text"),
        (repair.multiline, "records of more than one line"),
        (repair.blank, "blank lines, which were ignored"),
    ]
    notes = [f"{count} of {rows} lines are broken and quarantined; the first is {repair.example}"] if count else []
    return notes + [f"{odd.count} {what}; the first is line {odd.first}" for odd, what in oddities if odd.count]


def _inspect(path: Path) -> tuple[str | None, bool]:
    """How the file is compressed, by its first bytes (its name may be that of a copy); whether CR alone ends lines."""
    with path.open("rb") as file:
        head = file.read(BLOCK)
    guess = next((name for name, magic in _COMPRESSIONS.items() if head.startswith(magic)), None)
    packing = None if guess == "bz2" and not head[4:].startswith(_BZ2_BLOCK) else guess
    return packing, b"\r" in head and b"\n" not in head
