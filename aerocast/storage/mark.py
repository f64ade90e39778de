"""Marks a folder or bucket as a home of AeroCast: `home.json` with its format, an id, and the version that made it.

A home in an object store has a mark in the bucket, and its work folder has the same one. Homes of early versions have
none.
The server imports this module: msgspec and the standard library only.
"""

import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec

from aerocast import __version__
from aerocast.common.errors import AeroCastError
from aerocast.storage import rooms
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of

NAME = "home.json"
# Raised by each change after which older code would misread a home; MIGRATIONS[n] turns format n into n + 1.
FORMAT = 1
MIGRATIONS: dict[int, Callable[[Home], None]] = {}
_SAMPLE = 200  # files of a folder that are looked at to say whose it is


class Mark(msgspec.Struct, frozen=True):
    """`version` is the AeroCast that made the home; `id` is unique to each home, and the same in its copies."""

    format: int
    id: str
    created: datetime
    version: str


def read_mark(home: Home) -> Mark | None:
    """The mark of a home; None without one.

    Raises:
        AeroCastError: it has a newer format, or cannot be read.
    """
    mark = _document(home).read()
    if mark and mark.format > FORMAT:
        raise AeroCastError(
            f"{home} is a home of format {mark.format}, written by a newer AeroCast than this one ({__version__}), "
            f"which reads up to format {FORMAT}: update AeroCast, or choose another home"
        )
    return mark


def check_format(home: Home) -> None:
    """Checks a home before it is read. Raises AeroCastError as `read_mark`, and for an older format."""
    mark = read_mark(home)
    if mark and mark.format < FORMAT:
        raise AeroCastError(
            f"{home} is a home of format {mark.format}, this is AeroCast for format {FORMAT}: "
            "`aerocast run` or `aerocast up` brings it up to date"
        )


def ensure_mark(home: Home) -> Mark:
    """Marks a home before it is written to, and brings one of an older format up to date.

    Raises:
        AeroCastError: as `read_mark`; the folder has files of others under names that AeroCast uses, is inside a folder
            of another home, or is the work folder of another one.
    """
    mark = read_mark(home)
    if mark is None:
        if store_of(home).local:
            _check_foreign_files(Path(home))
        mark = Mark(FORMAT, uuid.uuid4().hex, datetime.now(UTC), __version__)
        if not _document(home).swap(mark, None):
            return ensure_mark(home)
    while mark.format < FORMAT:
        MIGRATIONS[mark.format](home)
        mark = msgspec.structs.replace(mark, format=mark.format + 1)
        _document(home).write(mark)
    if not store_of(home).local:
        _ensure_work_mark(home, mark)
    return mark


def _ensure_work_mark(home: Home, mark: Mark) -> None:
    """Gives the work folder the mark of its home. Raises AeroCastError if it has another one."""
    folder = Path(home)
    work = read_mark(folder)
    if work is None:
        _check_foreign_files(folder)
    elif work.id != mark.id:
        raise AeroCastError(
            f"AEROCAST_WORK: {folder} belongs to another home than {home}: choose another folder, "
            "or empty it with `aerocast clean`"
        )
    if work != mark:
        _document(folder).write(mark)


def _document(home: Home) -> Document[Mark]:
    return Document(store_of(home), NAME, Mark, "mark of the home's format")


def _check_foreign_files(folder: Path) -> None:
    """Raises AeroCastError if the folder has files of others under names that AeroCast uses."""
    for parent in folder.parents:
        part = folder.relative_to(parent).parts[0]
        if rooms.is_room(part) and (parent / NAME).exists():
            raise AeroCastError(f"{folder} is in `{part}` of the home {parent}: choose another folder")
    try:
        names = sorted(filter(rooms.is_room, os.listdir(folder) if folder.exists() else ()))
        foreign = [name for name in names if not _is_own(folder, name)]
    except OSError as error:
        raise AeroCastError(f"{folder} cannot be read: {error.strerror or error}") from error
    if foreign:
        raise AeroCastError(
            f"{folder} holds `{'`, `'.join(foreign)}`, which AeroCast uses and did not create: choose an empty folder"
        )


def _is_own(folder: Path, room: str) -> bool:
    """Whether a folder is empty, or has a file that AeroCast writes there."""
    path = folder / room
    if path.is_symlink() or not path.is_dir():
        return path.is_dir()
    names = [f"{room}/{name}" for name, _ in islice(rooms.files(path), _SAMPLE)]
    return not names or any(map(rooms.is_own, names))
