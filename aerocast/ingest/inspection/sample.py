"""Reads the beginning of a file as texts, and finds out how the file is written."""

from __future__ import annotations

import codecs
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.sql import literal
from aerocast.ingest.channels import arrow
from aerocast.ingest.channels.reading_error import ReadingError

ROWS = 200_000  # of a file are looked at; quantiles and seasons need no more
_HEAD = 1 << 20  # bytes from which the encoding is guessed
_MOST_BYTES = 64 << 20  # of JSON
_PREAMBLE = 40  # lines within which a header begins
_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"\s*[-+]?(\d{1,3}([.,' ]\d{3})+|\d+|(?=[.,]))([.,]\d*)?([eE][-+]?\d+)?\s*")
_DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+")
_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass
class Sample:
    """A file's first rows: texts by column, None for nothing; `format` has what differs from plain CSV."""

    kind: str
    columns: dict[str, pd.Series[Any]]
    format: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def rows(self) -> int:
        return max(map(len, self.columns.values()), default=0)


def read_sample(path: Path) -> Sample:
    """The sample of a file of any kind that a source reads.

    Raises:
        AeroCastError: it cannot be read, or is no table.
    """
    kind = _SUFFIXES.get(next((each for each in reversed(path.suffixes) if each in _SUFFIXES), ""), "csv")
    if not path.is_file():
        raise AeroCastError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        if kind == "parquet":
            return _parquet(path)
        with pa.input_stream(str(path)) as stream:
            return _json_lines(stream) if kind == "jsonl" else _text(cast(BinaryIO, stream))
    except (OSError, EOFError, pa.ArrowException, duckdb.Error, ReadingError) as error:
        raise AeroCastError(f"{path} cannot be read: {first_line(error)}") from error


def _parquet(path: Path) -> Sample:
    file = pq.ParquetFile(path)
    table = next(file.iter_batches(ROWS), None)
    if table is None:
        raise AeroCastError(f"{path} has no rows")
    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        try:
            texts = arrow.time_texts(pa.chunked_array([column]), name)
        except ReadingError:
            try:
                texts = arrow.value_texts(pa.chunked_array([column]), name)
            except ReadingError:  # lists, binary: nothing that is measured
                continue
        columns[name] = texts.to_pandas()
    return Sample("parquet", columns, is_whole=file.metadata.num_rows <= ROWS)


def _json_lines(stream: BinaryIO) -> Sample:
    import msgspec

    data = stream.read(_MOST_BYTES)
    texts = data.split(b"\n")[: ROWS if len(data) < _MOST_BYTES else -1]
    try:
        lines = [msgspec.json.decode(text, type=dict[str, Any]) for text in texts[:ROWS] if text.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AeroCastError(f"it does not hold a JSON object a line: {first_line(error)}") from error
    flat = [dict(_flattened(line)) for line in lines]
    names = list(dict.fromkeys(name for each in flat for name in each))
    columns = {name: pd.Series([_text_of(each.get(name)) for each in flat], dtype=object) for name in names}
    return Sample("jsonl", columns, is_whole=len(data) < _MOST_BYTES and len(texts) < ROWS)


def _flattened(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        if isinstance(each, dict):
            yield from _flattened(each, f"{prefix}{name}.")
        elif not isinstance(each, list):
            yield f"{prefix}{name}", each


def _text_of(value: Any) -> str | None:
    return None if value is None else repr(value) if isinstance(value, float) else str(value)


def _text(stream: BinaryIO) -> Sample:
    """A delimited text: its encoding, then its delimiter and header, then all of it by DuckDB."""
    head = stream.read(_HEAD)
    encoding = guess_encoding(head)
    lines = codecs.decode(head, encoding, "replace").splitlines()
    if len(head) == _HEAD:
        lines = lines[:-1]
    comment = "#" if sum(line.startswith("#") for line in lines[:_PREAMBLE]) else None
    delimiter, skip = _delimiter_and_header(lines, comment)
    form: dict[str, Any] = {}
    if encoding not in ("utf-8", "utf-8-sig"):
        form["encoding"] = encoding
    if delimiter != ",":
        form["delimiter"] = delimiter
    if comment:
        form["comment"] = comment
    if skip:
        form["skip"] = skip
    with _copy(head, stream, encoding) as (path, is_whole):
        columns = _all_texts(path, delimiter, comment, skip)
    units = _units_row(columns)
    if units:
        form["units_rows"] = 1
        columns = {name: texts.iloc[1:].reset_index(drop=True) for name, texts in columns.items()}
    if decimal_comma(columns):
        form["decimal"] = ","
    return Sample("csv", columns, form, units, is_whole)


def guess_encoding(head: bytes) -> str:
    """By its mark, by whether it is UTF-8, and by its zeros; else the encoding of Western Windows."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    zeros = head[:1000].count(0)
    if zeros > len(head[:1000]) // 4:
        return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter_and_header(lines: Sequence[str], comment: str | None) -> tuple[str, int]:
    """The delimiter that gives most lines one width, and the number of lines before the header.

    Raises:
        AeroCastError: no delimiter gives a table.
    """
    body = [line for line in lines[:2000] if line.strip() and not (comment and line.startswith(comment))]
    widths = {mark: Counter(line.count(mark) + 1 for line in body) for mark in _DELIMITERS}
    scores = {mark: max((n * (w > 1), w) for w, n in counts.items()) for mark, counts in widths.items() if counts}
    delimiter = max(scores, key=lambda mark: scores[mark], default=",")
    count, width = scores.get(delimiter, (0, 0))
    if not count:
        raise AeroCastError(f"it is no table: no delimiter of {_DELIMITERS!r} occurs in it")
    for at, line in enumerate(lines[:_PREAMBLE]):
        if line.count(delimiter) + 1 == width and not (comment and line.startswith(comment)):
            return delimiter, sum(not (comment and each.startswith(comment)) for each in lines[:at])
    return delimiter, 0


@contextmanager
def _copy(head: bytes, stream: BinaryIO, encoding: str) -> Iterator[tuple[Path, bool]]:
    """A copy in UTF-8 of at most `ROWS` lines, and whether that is all of it."""
    with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
        path, count, decoder = Path(folder) / "sample.csv", 0, codecs.getincrementaldecoder(encoding)("replace")
        with path.open("w", encoding="utf-8", newline="") as copy:
            data = head
            while data and count <= ROWS:
                text = decoder.decode(data)
                copy.write(text)
                count += text.count("\n")
                data = stream.read(_HEAD)
        yield path, not data


def _all_texts(path: Path, delimiter: str, comment: str | None, skip: int) -> dict[str, pd.Series[Any]]:
    note = f", comment = {literal(comment)}" if comment else ""
    with duckdb.connect() as con:
        rows = con.sql(
            f"SELECT * FROM read_csv({literal(str(path))}, delim = {literal(delimiter)}, header = true, skip = {skip},"
            f" all_varchar = true, null_padding = true, ignore_errors = true, quote = '\"'{note}) LIMIT {ROWS}"
        ).to_arrow_table()
    texts = {name.strip(): rows[name].to_pandas() for name in rows.column_names}
    return {name: column for name, column in texts.items() if name and column.notna().any()}


def _units_row(columns: dict[str, pd.Series[Any]]) -> dict[str, str]:
    """The first row, where it has units instead of values."""
    first = {name: str(texts.iloc[0] or "").strip("[]() ") for name, texts in columns.items() if len(texts) > 2}
    numeric = [name for name, texts in columns.items() if len(texts) > 2 and is_number(texts.iloc[1])]
    if not numeric or any(is_number(first[name]) for name in numeric):
        return {}
    return {name: text for name, text in first.items() if text}


def is_number(text: object) -> bool:
    return isinstance(text, str) and _NUMBER.fullmatch(text) is not None


def decimal_comma(columns: dict[str, pd.Series[Any]]) -> bool:
    """Whether numbers have a decimal comma: some texts are numbers with one, and none has a point in its place."""
    texts = [text for column in columns.values() for text in column.dropna().head(500) if is_number(text)]
    commas = sum(_DECIMAL_COMMA.fullmatch(text.strip()) is not None for text in texts)
    return commas > 0.05 * len(texts)
