"""The body of a request, read as it comes: what is in memory of all bodies is counted, so that it stays bounded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litestar import Request

from serving.problems import problem, too_large

SMALL_BODY = 32 << 10  # not counted: who posts a few readings is never refused for others' large bodies


class Room:
    """Bytes of large bodies that may be in memory at once."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0

    @contextmanager
    def share(self) -> "Iterator[BodyShare]":
        """A share for one body, given back at the end."""
        share = BodyShare(self)
        try:
            yield share
        finally:
            self._size -= share.size

    def take(self, size: int) -> None:
        """Raises a 429 problem when others use what is needed."""
        if self._size + size > self._most:
            detail = "Too many large bodies are being received; send again in a moment."
            raise problem("too-much-waits", detail, status=429, headers={"retry-after": "10"})
        self._size += size


class BodyShare:
    """What one body has of the room: nothing as long as it is small."""

    def __init__(self, room: Room) -> None:
        self.size, self._room, self._received = 0, room, 0

    def grow(self, size: int) -> None:
        """So many bytes more. Raises a 429 problem."""
        self._received += size
        if self._received > SMALL_BODY:
            self._room.take(self._received - self.size)
            self.size = self._received


async def read(request: Request[Any, Any, Any], most: int, share: BodyShare) -> bytes:
    """The whole body of at most `most` bytes. Raises a problem: 413, 429, 400 where the client went away."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 18 or int(length) > most):
        raise too_large(most, int(length[:18]))
    body, more = bytearray(), True
    while more:
        event = await request.receive()
        if event["type"] != "http.request":
            detail = "The connection ended before the body did."
            raise problem("incomplete-body", detail, status=400, field="body", rule="a whole body")
        body += event["body"]
        more = event.get("more_body", False)
        if len(body) > most:
            raise too_large(most)
        share.grow(len(event["body"]))
    return bytes(body)
