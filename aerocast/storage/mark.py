"""A home's mark, `home.json`: of which format it is, and who made it. What bears none is no home, or one of before.

A home in an object store has one in the bucket, and the machine's folder beside it bears the same.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
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
# Counts up with each change after which older code would misread a home; MIGRATIONS[n] turns format n into n + 1.
FORMAT = 1
MIGRATIONS: dict[int, Callable[[Home], None]] = {}
_LOOKED_AT = 200  # files of a folder that says whose it is


class Mark(msgspec.Struct, frozen=True):
    """`version` of AeroCast has made the home; `id` is another one for each home, and goes along with its copies."""

    format: int
    id: str
    created: datetime
    version: str


def check(home: Home) -> Mark | None:
    """The mark of a home that this code can read; None without one.

    Raises:
        AeroCastError: it is of a newer format, or cannot be read.
    """
    found = _document(home).read()
    if found and found.format > FORMAT:
        raise AeroCastError(
            f"{home} is a home of format {found.format}, written by a newer AeroCast than this one ({__version__}), "
            f"which reads up to format {FORMAT}: update AeroCast, or choose another home"
        )
    return found


def check_current(home: Home) -> None:
    """For who only reads. Raises AeroCastError as `check`, and for a home of an older format."""
    found = check(home)
    if found and found.format < FORMAT:
        raise AeroCastError(
            f"{home} is a home of format {found.format}, this is AeroCast for format {FORMAT}: "
            "`aerocast run` or `aerocast up` brings it up to date"
        )


def settle(home: Home) -> Mark:
    """The mark of a home that is written to from now on: a new one, one of before, or one that is brought up to date.

    Raises:
        AeroCastError: as `check`; the folder holds what AeroCast has not made under names that it uses, lies in a
            folder of another home, or is the work folder of another one.
    """
    found = check(home)
    if found is None:
        if store_of(home).local:
            _check_strangers(Path(home))
        found = Mark(FORMAT, uuid.uuid4().hex, datetime.now(UTC), __version__)
        if not _document(home).swap(found, None):
            return settle(home)
    while found.format < FORMAT:
        MIGRATIONS[found.format](home)
        found = msgspec.structs.replace(found, format=found.format + 1)
        _document(home).write(found)
    if not store_of(home).local:
        _settle_work(home, found)
    return found


def _settle_work(home: Home, mark: Mark) -> None:
    """The work folder's mark is that of the home. Raises AeroCastError if it is another one's."""
    folder = Path(home)
    work = check(folder)
    if work is None:
        _check_strangers(folder)
    elif work.id != mark.id:
        raise AeroCastError(
            f"AEROCAST_WORK: {folder} belongs to another home than {home}: choose another folder, "
            "or empty it with `aerocast clean`"
        )
    if work != mark:
        _document(folder).write(mark)


def _document(home: Home) -> Document[Mark]:
    return Document(store_of(home), NAME, Mark, "mark of the home's format")


def _check_strangers(folder: Path) -> None:
    """Raises AeroCastError unless all that AeroCast would take for its own is its own."""
    for above in folder.parents:
        part = folder.relative_to(above).parts[0]
        if rooms.is_room(part) and (above / NAME).exists():
            raise AeroCastError(f"{folder} lies in `{part}` of the home {above}: choose another folder")
    try:
        names = sorted(filter(rooms.is_room, os.listdir(folder) if folder.exists() else ()))
        foreign = [name for name in names if not _is_own(folder, name)]
    except OSError as error:
        raise AeroCastError(f"{folder} cannot be read: {error.strerror or error}") from error
    if foreign:
        raise AeroCastError(
            f"{folder} holds `{'`, `'.join(foreign)}`, which AeroCast uses and has not made: choose an empty folder"
        )


def _is_own(folder: Path, room: str) -> bool:
    """Whether a folder is empty, or has a file that AeroCast writes there."""
    place = folder / room
    if place.is_symlink() or not place.is_dir():
        return place.is_dir()
    found: Iterator[tuple[str, bool]] = islice(rooms.files(place), _LOOKED_AT)
    names = [f"{room}/{name}" for name, _ in found]
    return not names or any(map(rooms.is_own, names))
