"""Durable requests for a retrain: asked for by whoever may not start one, taken up by the retrain sensor.

`<home>/requests/<feed>/<target>.json` is the one open request of a target; without the file nobody has asked.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class Request(msgspec.Struct, frozen=True):
    """Who asked, why, and when (real time, UTC); with `force` models are trained though nothing may have changed."""

    id: str
    feed: str
    target: str
    asked_at: Instant
    reason: str
    force: bool = False


def ask(home: Home, feed: str, target: str, reason: str, *, force: bool = False) -> Request:
    """The target's open request: the one that is there already, or a new one, on disk when this returns.

    One that is there is forced from now on, if this one is.

    Raises:
        AeroCastError: the disk refuses, or a name is invalid.
    """
    document = _document(home, feed, target)
    while True:
        try:
            open_one, seen = document.read_stamped()
        except AeroCastError:  # written over: a damaged request can be taken up by nobody
            open_one, seen = None, document.stamp()
        if open_one and (open_one.force or not force):
            return open_one
        request = Request(str(uuid.uuid4()), feed, target, datetime.now(UTC), reason, force)
        if open_one:
            request = msgspec.structs.replace(open_one, force=True, reason=reason)
        if document.swap(request, seen):
            return request


def pending(home: Home, feed: str) -> list[Request]:
    """The open requests of a feed, oldest first. Raises AeroCastError when one cannot be read."""
    folder = (Path(home) / "requests" / feed).glob("[a-z]*.json")
    found = [_document(home, feed, path.stem).read() for path in folder if _NAME.match(path.stem)]
    return sorted((request for request in found if request), key=lambda request: request.asked_at)


def done(home: Home, request: Request) -> None:
    """Closes a request that was taken up; a newer one of the same target stays. Raises AeroCastError if it cannot."""
    document = _document(home, request.feed, request.target)
    open_one = document.read()
    if open_one and open_one.id == request.id:
        document.remove()


def _document(home: Home, feed: str, target: str) -> Document[Request]:
    """Raises AeroCastError if a name is invalid."""
    for name in (feed, target):
        if not _NAME.match(name):
            raise AeroCastError(f"{name!r} is no name of a feed or target: lower case, digits and underscores")
    return Document(store_of(Path(home)), f"requests/{feed}/{target}.json", Request, "request")
