"""The marks by which a CSV file is read: delimiter, quote, comment sign, and the text behind its bytes.

A line of the declared width without any oddity is *regular*, and no parser can misread it.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from aerocast.feed.text_format import WHITESPACE, TextFormat

_INVALID = "\udcff"  # becomes a byte that UTF-8 does not know, so that its line is set aside
_RUNS, _MARGINS = re.compile(rb"[ \t]+"), re.compile(rb"^[ \t]+|[ \t]+(?=\r?$)", re.MULTILINE)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """What stands for bytes that cannot be decoded; an encoder never gets here."""
    assert isinstance(error, UnicodeDecodeError)
    return _INVALID, error.end


codecs.register_error("aerocast-invalid", _replace)


class Syntax:
    """How the lines of a file are split, after its bytes were decoded to UTF-8 and runs of blanks to tabs."""

    def __init__(self, declared: TextFormat) -> None:
        self.format = declared
        self.is_spaced = declared.delimiter == WHITESPACE
        self.delimiter = "\t" if self.is_spaced else declared.delimiter
        self.quote, self.comment = declared.quote or "", (declared.comment or "").encode()
        self.encoding = codecs.lookup(declared.encoding).name
        self.is_utf8 = self.encoding in ("utf-8", "utf-8-sig")

    @property
    def is_plain(self) -> bool:
        """Whether a file of regular lines can be read as it lies there."""
        declared = self.format
        return self.is_utf8 and not self.is_spaced and not (declared.skip or declared.units_rows or declared.header)

    def text(self, stream: BinaryIO) -> BinaryIO:
        """The stream in UTF-8; what cannot be decoded becomes bytes that are no UTF-8."""
        return stream if self.is_utf8 else _Decoded(stream, self.encoding)  # type: ignore[return-value]  # has read alone

    def tabbed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pieces of whole lines, with one tab for each run of blanks if the delimiter is whitespace."""
        for piece in pieces:
            yield _RUNS.sub(b"\t", _MARGINS.sub(b"", piece)) if self.is_spaced else piece

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> Iterator[list[str]]:
        marks: dict[str, Any] = {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE}
        return csv.reader(lines, delimiter=self.delimiter, strict=strict, **marks)

    def pattern(self, width: int) -> re.Pattern[bytes]:
        """Regular lines as far as they reach: `width` fields each, quoted whole and in one line, or without a mark."""
        mark, delimiter = re.escape(self.quote or '"').encode(), re.escape(self.delimiter).encode()
        field = rb"[^" + mark + delimiter + rb"\r\n\0]*+"
        if self.quote:
            field = (
                rb"(?:" + mark + rb"(?:[^" + mark + rb"\r\n\0]++|" + mark * 2 + rb")*" + rb"+" + mark + rb"|" + field
            )
            field += rb")"
        comment = rb"(?!" + re.escape(self.comment) + rb")" if self.comment else b""
        return re.compile(rb"(?:" + comment + (field + delimiter) * (width - 1) + field + rb"\r?\n)*+")

    def is_regular(self, block: bytes, width: int, lines: re.Pattern[bytes], crlf: bool) -> bool:
        """Whether all lines of the block are regular, in UTF-8, and end alike."""
        returns = block.count(b"\r")
        if b"\0" in block or not is_text(block) or returns != (block.count(b"\n") if crlf else 0):
            return False
        if self.comment and (block.startswith(self.comment) or b"\n" + self.comment in block):
            return False
        if (self.quote or '"').encode() in block or crlf:
            match = lines.match(block)
            return match is not None and match.end() == len(block) and (not crlf or block.count(b"\r\n") == returns)
        codes = np.frombuffer(block, np.uint8)
        separators = codes[(codes == ord(self.delimiter)) | (codes == ord("\n"))]
        if len(separators) % width:
            return False
        ends = separators.reshape(-1, width) == ord("\n")
        return bool(ends[:, -1].all() and not ends[:, :-1].any())

    def fields(self, line: str) -> list[str]:
        """The fields of a line that is read without regard to the next one; from a stray mark on, marks are text."""
        if not self.quote:
            return line.split(self.delimiter)
        match = self._leading_fields.match(line)
        assert match is not None
        try:
            head = next(self.reader([match.group()]), [""])[:-1]
        except csv.Error:  # a carriage return, or a very long field
            return line.split(self.delimiter)
        return [*head, *line[match.end() :].split(self.delimiter)]

    @cached_property
    def _leading_fields(self) -> re.Pattern[str]:
        """Fields that end before a delimiter."""
        mark, delimiter = re.escape(self.quote), re.escape(self.delimiter)
        return re.compile(f"(?:(?:{mark}(?:[^{mark}]|{mark * 2})*+{mark}|[^{mark}{delimiter}]*+){delimiter})*+")


class _Decoded:
    """A stream of bytes in UTF-8, read from one in another encoding."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)("aerocast-invalid")

    def read(self, size: int) -> bytes:
        """About so many bytes; nothing at the end alone."""
        while True:
            data = self._stream.read(size)
            text = self._decoder.decode(data, final=not data)
            if text or not data:
                return text.encode("utf-8", "surrogateescape")


def is_text(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
