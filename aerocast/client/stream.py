"""Server-sent events, from connection to connection: who loses one goes on after the event seen last."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from aerocast.client.errors import NoAnswer, RequestRefusal
from aerocast.client.transport import BUSY, Transport

SILENCE = 20.0  # seconds; the server says every 5 that it is there
FIRST_PAUSE = 1.0  # before the server has said how long


class ServerEvent(NamedTuple):
    """One event: its kind, its data, and the id to resume after. The kind `reset`: load again what you show."""

    kind: str
    data: dict[str, Any]
    id: str


class EventStream:
    """The events of one choice, without an end."""

    def __init__(
        self, transport: Transport, feed: str | None, station: str | None, kinds: Sequence[str], last: str | None
    ) -> None:
        self._transport, self._last, self._pause = transport, last, FIRST_PAUSE
        self._choice = {"feed": feed, "station": station, "kind": list(kinds) or None}

    def __iter__(self) -> Iterator[ServerEvent]:
        """Raises RequestRefusal, and NoAnswer where no first connection is made; later ones are tried again."""
        is_connected = False
        while True:
            pause = self._pause
            try:
                headers = {"last-event-id": self._last} if self._last else {}
                with self._transport.lines("/v1/events", headers, self._choice, SILENCE) as lines:
                    is_connected = True
                    yield from self._events(lines)
            except NoAnswer:
                if not is_connected:
                    raise
            except RequestRefusal as error:
                if not is_connected or error.status != BUSY:
                    raise
                pause = error.retry_after or pause
            time.sleep(pause)

    def _events(self, lines: Iterator[str]) -> Iterator[ServerEvent]:
        kind, data = "message", ""
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                self._last = value
            elif name == "retry" and value.isdecimal():
                self._pause = int(value) / 1000
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
            elif not line:
                if data:
                    yield ServerEvent(kind, msgspec.json.decode(data), self._last or "")
                kind, data = "message", ""
