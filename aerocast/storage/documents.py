"""Stored documents: JSON in the home as typed structs, and one sentence for whatever cannot be read.

The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from aerocast.errors import AeroCastError
from aerocast.storage import atomic

LARGEST = 64 << 20  # bytes of a document
Instant = Annotated[datetime, msgspec.Meta(tz=True)]  # without an offset it could be compared with no other
T = TypeVar("T")


def decode(data: bytes, kind: type[T], what: str) -> T:
    """The struct that the document holds. Raises AeroCastError that begins with `what`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: bytes that are no text
        raise AeroCastError(f"{what} cannot be read: {error}") from error


def read(path: Path, kind: type[T], what: str) -> T | None:
    """The document in a file of this machine, or None. Raises AeroCastError as `decode`."""
    try:
        data = atomic.read_file(path, LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AeroCastError(f"{what} cannot be read: {error.strerror or error}") from error
    return decode(data, kind, what)
