"""What a polled source remembers between polls, below the request's `work`: what it need not ask for again.

It is written after the readings are in the table, so a kill in between costs a repetition. It is believed only while
the table holds readings as new as it says (`table_holds`).
"""

from datetime import datetime
from typing import TypeVar

from aerocast.common.errors import AeroCastError
from aerocast.common.times import EARLIEST
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.storage.documents import Document
from aerocast.storage.home import store_of

T = TypeVar("T")


def recall(request: ReadRequest, feed: Feed, kind: type[T]) -> T | None:
    """What was remembered last, None for nothing; an unreadable memory is noted."""
    if request.work is None:
        return None
    try:
        return _document(request, feed, kind).read()
    except AeroCastError as error:
        request.notes.append(f"{error}: everything is requested again")
        return None


def remember(request: ReadRequest, feed: Feed, memory: object) -> None:
    """Replaces what is remembered; a failure is noted, for the readings themselves are safe."""
    if request.work is None:
        return
    try:
        _document(request, feed, type(memory)).write(memory)
    except AeroCastError as error:
        request.notes.append(f"{error}; the next poll requests everything again")


def table_holds(request: ReadRequest, newest: datetime | None) -> bool:
    """Whether the table has readings as new as that."""
    return newest is None or newest <= max(request.after.values(), default=EARLIEST)


def _document(request: ReadRequest, feed: Feed, kind: type[T]) -> Document[T]:
    assert request.work is not None
    return Document(store_of(request.work), f"{feed.name}.json", kind, "memory of the source", indent=1)
