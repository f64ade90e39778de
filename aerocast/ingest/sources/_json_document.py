"""Writes the readings of a JSON document as JSON lines, which are read like any others."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from aerocast.ingest.channels.files import decompress
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.sources.json import JsonSource

MOST_BYTES = 256 << 20
_ABSENT = object()


@contextmanager
def as_json_lines(source: JsonSource, path: Path) -> Iterator[Path]:
    """A temporary file with a line for each reading of the document, in its order.

    Raises:
        ReadingError: it is no JSON, larger than 256 MB, or has no such list or arrays.
    """
    with decompress(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        rule = f"a JSON document of at most {MOST_BYTES >> 20} MB; write larger data as JSON lines (kind: jsonl)"
        raise ReadingError("file", f"more than {MOST_BYTES >> 20} MB", rule)
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ReadingError("file", str(error), "a JSON document") from error
    readings = _of_arrays(document, source.arrays) if source.arrays else _of_list(document, source.records)
    with tempfile.NamedTemporaryFile(prefix="aerocast-", suffix=".jsonl") as lines:
        encode = msgspec.json.Encoder().encode
        for reading in readings:
            lines.write(encode(reading) + b"\n")
        if not lines.tell():
            lines.write(b"\n")  # no reading, and yet a whole file
        lines.flush()
        yield Path(lines.name)


def _of_list(document: Any, name: str | None) -> list[Any]:
    content = document if name is None else _at(document, name)
    if content is _ABSENT:
        raise ReadingError("records", str(name), "the dotted name of a list in the document")
    if content is None:  # as a service answers that has nothing
        return []
    if isinstance(content, dict):
        return [content]
    if not isinstance(content, list):
        raise ReadingError(name or "document", f"{content!r:.60}", "a list of readings, or one")
    return content


def _of_arrays(document: Any, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    columns = {field: _at(document, name) for field, name in names.items()}
    for field, column in columns.items():
        if column is _ABSENT:
            raise ReadingError(f"arrays.{field}", names[field], "the dotted name of an array in the document")
    lengths = {field: len(column) for field, column in columns.items() if isinstance(column, list)}
    if not lengths:
        raise ReadingError("arrays", ", ".join(names.values()), "at least one array of the document")
    first = next(iter(lengths))
    for field, length in lengths.items():
        if length != lengths[first]:
            raise ReadingError(names[field], f"{length} values", f"as many as {names[first]} has ({lengths[first]})")
    for at in range(lengths[first]):
        yield {field: column[at] if field in lengths else column for field, column in columns.items()}


def _at(content: Any, name: str) -> Any:
    """What is at a dotted name; _ABSENT for nothing."""
    for part in name.split("."):
        if isinstance(content, dict):
            content = content.get(part, _ABSENT)
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return _ABSENT
    return content
