"""Checks each line of a CSV file once: which are whole records, and what is to be done about the others.

Regular lines (see `csv_syntax`) are copied as they are. All others are settled here: a value of several lines is read
as one; a quotation mark that nothing closes is text, and swallows no line; a line that is no record is set aside with
its number and text. The copy has regular records only, so that they can be counted before and after they are parsed.
"""

import csv
from array import array
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from aerocast.common.errors import AeroCastError
from aerocast.ingest.deliveries.csv_syntax import Syntax, is_text
from aerocast.tables.raw import MALFORMED

BLOCK = 4 << 20
LONGEST = 1 << 20  # bytes of a line
LONGEST_BROKEN = 2000  # characters of a broken line that are kept
BETWEEN = "\x1f"  # between a broken line's note and its text, where a file has but one column to read
_VALUE_LINES = 1000  # a quoted value of more lines is taken for a mark that nothing closes
_EXCERPT = 200


class CsvFault(AeroCastError):
    """A file that cannot be read at all: a sentence without its subject, and the same as `field` holds `value`."""

    def __init__(self, sentence: str, field: str, value: object, rule: str) -> None:
        self.field, self.value, self.rule = field, value, rule
        super().__init__(sentence)


class Header(NamedTuple):
    """All names, and the places of two that are read (or one): a broken line's note and its text go there."""

    names: list[str]
    note: int
    text: int


class Oddity:
    """How often something odd was met, and the number of the line where it was met first."""

    def __init__(self) -> None:
        self.count, self.first = 0, 0

    def note(self, line: int) -> None:
        self.count, self.first = self.count + 1, self.first or line


def blocks(stream: BinaryIO, whole: bool) -> Iterator[bytes]:
    """The stream in pieces of whole lines; old line ends (CR alone) become LF.

    Raises:
        CsvFault: a line is longer than LONGEST, or the last one has no line break and the stream may lack its end.
    """
    rest, old, count = b"", False, 0
    while data := stream.read(BLOCK):
        if not count:
            old = b"\r" in data[:-1] and b"\n" not in data
        block = rest + (data.replace(b"\r", b"\n") if old else data)
        end = block.rfind(b"\n") + 1
        rest, count = block[end:], count + 1
        if len(rest) > LONGEST:
            raise CsvFault(f"has a line of more than {LONGEST} bytes", "line", rest[:20], f"less than {LONGEST} bytes")
        if end:
            yield block[:end]
    if rest and not whole:
        rule = "a line break at the end, or a manifest: it looks truncated"
        raise CsvFault(
            "looks truncated: its last line has no line break",
            "last line",
            rest[-80:],
            rule,
        )
    if rest:
        yield rest + b"\n"


class Repair:
    """Writes the records of a file to a copy, regular ones as they are, and counts the others.

    A broken line is a record of the copy, too, with its note and its text in the header's places for them;
    `broken_rows` has the numbers of such records, counted from 0. `records` counts all of the copy's.
    """

    def __init__(self, syntax: Syntax, header: Header, pieces: Iterator[bytes], copy: BinaryIO, line: int) -> None:
        self._syntax, self._header, self._pieces, self._copy = syntax, header, pieces, copy
        self._width, self._lines = len(header.names), syntax.pattern(len(header.names))
        self._quote = syntax.quote or '"'  # of the copy
        self._text, self._at, self._line = b"", 0, line
        self.records, self.broken_rows = 0, array("q")
        self.stray, self.multiline, self.blank = Oddity(), Oddity(), Oddity()
        self.example = ""

    def repair_all(self) -> None:
        """Settles every line from the current one on. Raises OSError if the copy cannot be written."""
        while self._more():
            while self._at < len(self._text):
                self._take_regular()
                if self._at < len(self._text):
                    self._take_odd()

    def _more(self) -> bool:
        """Drops what was settled and adds the next piece."""
        piece = next(self._pieces, b"")
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(self._text)

    def _take_regular(self) -> None:
        match = self._lines.match(self._text, self._at)
        assert match is not None
        span = match.group()
        if is_text(span):
            self._copy.write(span.replace(b"\r\n", b"\n"))
            count = span.count(b"\n")
            self._line, self.records = self._line + count, self.records + count
        else:
            for line in span.splitlines():
                self._take_undecoded(line)
                self._line += 1
        self._at = match.end()

    def _take_undecoded(self, line: bytes) -> None:
        if is_text(line):
            self._copy.write(line + b"\n")
            self.records += 1
        else:
            self._set_aside(f"it is not {self._syntax.encoding.upper()}", line.decode(errors="replace"))

    def _take_odd(self) -> None:
        """One line, or as many as its last value has."""
        end, text = self._line_at(self._at)
        if not text.strip():
            self.blank.note(self._line)
        elif self._syntax.comment and text.startswith(self._syntax.comment):
            pass
        elif not is_text(text):
            self._take_undecoded(text)
        elif b"\0" in text:
            self._set_aside("it has a NUL character", text.decode())
        else:
            end = self._take_record(end, text.decode())
        self._line += self._text.count(b"\n", self._at, end) or 1
        self._at = end

    def _take_record(self, end: int, line: str) -> int:
        """Takes the record that begins with this line, and returns where it ends."""
        last, row = self._parse_record()
        if row is not None and last == end:
            self._write_record(row, line)
        elif row is not None and len(row) == self._width and not self._all_records(last):
            self.multiline.note(self._line)
            self._write(row)
            return last
        else:
            row = self._parse_line(line)
            if self._syntax.quote and self._syntax.quote in line and len(row) == self._width:
                self.stray.note(self._line)
            self._write_record(row, line)
        return end

    def _parse_line(self, line: str) -> list[str]:
        """The fields of a line whose open mark quotes nothing; or, if only that gives the width, ends with the line."""
        plain = self._syntax.fields(line)
        if len(plain) == self._width or not self._syntax.quote:
            return plain
        try:
            with_mark = next(self._syntax.reader([line + self._syntax.quote]))
        except csv.Error:
            return plain
        return with_mark if len(with_mark) == self._width else plain

    def _parse_record(self) -> tuple[int, list[str] | None]:
        """The record from here on by the rules of CSV, and where it ends; None if it breaks them."""
        ends: list[int] = []

        def lines() -> Iterator[str]:
            at = self._at
            while len(ends) < _VALUE_LINES and (line := self._line_at(at, whole=True)) and line[1]:
                at, text = line
                ends.append(at)
                yield text.decode()

        try:
            row = next(self._syntax.reader(lines(), strict=True))
        except (csv.Error, UnicodeDecodeError):
            return self._at, None
        return ends[-1], None if any("\0" in value for value in row) else row

    def _all_records(self, end: int) -> bool:
        """Whether each of the lines up to there has the width of a record: then they are some, whatever a mark says."""
        lines = self._text[self._at : end].decode().removesuffix("\n").split("\n")
        return all(len(self._syntax.fields(line)) == self._width for line in lines)

    def _line_at(self, at: int, *, whole: bool = False) -> tuple[int, bytes]:
        """Where the line ends that begins there, and its bytes, with its line break if `whole`."""
        end = self._text.find(b"\n", at) + 1
        if not end and (piece := next(self._pieces, b"")):
            self._text += piece
            return self._line_at(at, whole=whole)
        end = end or len(self._text)
        line = self._text[at:end]
        return end, line if whole else line.removesuffix(b"\n").removesuffix(b"\r")

    def _write_record(self, row: Sequence[str], line: str) -> None:
        if len(row) == self._width:
            self._write(row)
        else:
            self._set_aside(f"{len(row)} fields instead of {self._width}", line)

    def _set_aside(self, what: str, text: str) -> None:
        self.example = self.example or f"line {self._line}: {what}: {text[:_EXCERPT]!r}"
        row = [""] * self._width
        note, text = f"{MALFORMED}{self._line}: {what}", text[:LONGEST_BROKEN]
        row[self._header.text] = text
        row[self._header.note] = note if self._header.note != self._header.text else f"{note}{BETWEEN}{text}"
        self.broken_rows.append(self.records)
        self._write(row)

    def _write(self, row: Sequence[str]) -> None:
        mark = self._quote
        fields = (mark + value.replace(mark, mark * 2) + mark for value in row)
        self._copy.write((self._syntax.delimiter.join(fields) + "\n").encode())
        self.records += 1
