"""Stores requests for a retrain, from the server and other processes, until the retrain sensor handles them.

`<home>/requests/<feed>/<target>.json` is the one open request of a target. Its place alone says whose it is.
The server imports this module: msgspec and the standard library only.
"""

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
    """Who asked, why, and when (real time, UTC); with `force` models are trained even if nothing has changed."""

    id: str
    asked_at: Instant
    reason: str
    force: bool = False


def request_retrain(home: Home, feed: str, target: str, reason: str, *, force: bool = False) -> Request:
    """Returns the target's open request, or a new one, which is on disk when this returns.

    `force` applies to an open request, too.

    Raises:
        AeroCastError: the disk fails, or a name is invalid.
    """
    file = document(home, feed, target)
    while True:
        try:
            present, stamp = file.read_stamped()
        except AeroCastError:  # a damaged request, which cannot be handled, is replaced
            present, stamp = None, file.stamp()
        if present and (present.force or not force):
            return present
        request = Request(str(uuid.uuid4()), datetime.now(UTC), reason, force)
        if present:
            request = msgspec.structs.replace(present, force=True, reason=reason)
        if file.swap(request, stamp):
            return request


def open_requests(home: Home, feed: str) -> dict[str, Request]:
    """The open requests of a feed by target, oldest first. Raises AeroCastError when one cannot be read."""
    targets = (path.stem for path in (Path(home) / "requests" / feed).glob("[a-z]*.json") if _NAME.match(path.stem))
    requests = ((target, document(home, feed, target).read()) for target in targets)
    present = [(target, request) for target, request in requests if request]
    return dict(sorted(present, key=lambda each: each[1].asked_at))


def close_request(home: Home, feed: str, target: str, request: Request) -> None:
    """Removes a request that was handled, not a newer one of its target. Raises AeroCastError as `request_retrain`."""
    file = document(home, feed, target)
    present = file.read()
    if present and present.id == request.id:
        file.remove()


def document(home: Home, feed: str, target: str) -> Document[Request]:
    """The open request of a target. Raises AeroCastError if a name is invalid."""
    for name in (feed, target):
        if not _NAME.match(name):
            raise AeroCastError(f"{name!r} is not the name of a feed or target: lower case, digits and underscores")
    return Document(store_of(Path(home)), f"requests/{feed}/{target}.json", Request, "request")
