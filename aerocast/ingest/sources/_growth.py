"""Reads of a file that has grown only what its months can have changed by: the newest one and those behind it.

What is remembered of a file holds as long as its first bytes are the same, the declaration and the code are, and the
table has what was delivered. Only a plain file whose rows are in order of their months is remembered: it is a CSV file
of regular lines, all of whose times can be placed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aerocast.common.lineage import code_version, config_hash
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.sources._file_places import SourceFile, is_being_written
from aerocast.ingest.sources._file_source import FileSource
from aerocast.ingest.sources._memory import recall, remember
from aerocast.lake.fingerprints import fingerprint
from aerocast.storage.folder import FolderStore
from aerocast.storage.home import store_of

_BLOCK = 4 << 20


class Growth(msgspec.Struct, frozen=True):
    """A file as it was read: its first `size` bytes, and where in them the rows of the newest month begin.

    `reading` says how it was read, and `segments` what was delivered of each month.
    """

    reading: str
    size: int
    sha256: str
    offset: int
    month: str
    segments: dict[str, str]


class Tail(NamedTuple):
    """The file from its newest month on, behind its header, in a copy; the months before it are as they were."""

    file: SourceFile
    growth: Growth
    header: int  # bytes of it


def tail_of(source: FileSource, feed: Feed, request: ReadRequest, file: SourceFile, folder: Path) -> Tail | None:
    """What is to be read of a file that has only grown, copied into `folder`; None if it must be read as a whole."""
    growth = recall(request, feed, Growth) if _is_followed(source, feed, request) else None
    if growth is None or growth.reading != _reading(source, feed, file.path) or not _table_has(source, request, growth):
        return None
    with file.path.open("rb") as original:
        header = original.readline()
        original.seek(0)
        total, remaining = hashlib.sha256(), growth.size
        while remaining and (block := original.read(min(_BLOCK, remaining))):
            total.update(block)
            remaining -= len(block)
        if remaining or total.hexdigest() != growth.sha256:
            return None
        copy = folder / "tail"
        original.seek(growth.offset)
        with copy.open("wb") as part:
            part.write(header)
            while block := original.read(_BLOCK):
                part.write(block)
    return Tail(file._replace(path=copy, is_whole=not is_being_written(file.path)), growth, len(header))


def note_growth(
    source: FileSource,
    feed: Feed,
    request: ReadRequest,
    file: SourceFile,
    tail: Tail | None,
    rows: tuple[int, int],
    segments: Mapping[str, str],
) -> None:
    """Remembers the file (or its `tail`) after what it holds is in the table.

    `rows` are the number of the first row of the newest month, and how many rows were read.
    """
    if not _is_followed(source, feed, request):
        return
    positions = _positions(file.path if tail is None else tail.file.path, rows)
    if len(positions) < len(rows):  # the last line has no end yet
        return
    start, end = positions
    if tail is not None:
        start, end = (tail.growth.offset + each - tail.header for each in positions)
        segments = {**tail.growth.segments, **segments}
    total, remaining = hashlib.sha256(), end
    with file.path.open("rb") as original:
        while remaining and (block := original.read(min(_BLOCK, remaining))):
            total.update(block)
            remaining -= len(block)
    if not remaining:
        reading = _reading(source, feed, file.path)
        remember(request, feed, Growth(reading, end, total.hexdigest(), start, max(segments), dict(segments)))


def _is_followed(source: FileSource, feed: Feed, request: ReadRequest) -> bool:
    """Whether rows and lines of such a file are the same, one by one."""
    declared = feed.source
    is_plain = source.kind == "csv" and not (declared.wide or declared.quantity_field or declared.first_time)
    is_local = request.work is not None and isinstance(store_of(request.work), FolderStore)
    return is_plain and is_local and request.months is None and request.slots is not None


def _table_has(source: FileSource, request: ReadRequest, growth: Growth) -> bool:
    """Whether the table has what was delivered of the months that are not read again."""
    slots = request.slots or {}
    return all(
        slots.get(f"{source.label} {month}") == fingerprint(segment)
        for month, segment in growth.segments.items()
        if month != growth.month
    )


def _reading(source: FileSource, feed: Feed, path: Path) -> str:
    code = code_version("aerocast.ingest.sources._file_months")
    return config_hash(feed=feed.model_dump(mode="json"), path=str(path.absolute()), code=code)


def _positions(path: Path, rows: Sequence[int]) -> list[int]:
    """Where these rows of a file with a header begin, counted from 0; `rows` rise."""
    starts, lines, at = list[int](), 0, 0
    with path.open("rb") as file:
        while (block := file.read(_BLOCK)) and len(starts) < len(rows):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
            while len(starts) < len(rows) and rows[len(starts)] - lines < len(ends):
                starts.append(at + int(ends[rows[len(starts)] - lines]) + 1)
            lines, at = lines + len(ends), at + len(block)
    return starts
