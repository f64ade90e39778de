"""A client of the stream of events, as a browser's EventSource reads it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx


class Event(NamedTuple):
    """One event: its id, its name, and its data."""

    id: str
    kind: str
    data: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.id.partition("-")[2])

    @property
    def what(self) -> tuple[str, str]:
        """Its kind, and what happened."""
        return self.kind, str(self.data.get("change") or self.data.get("source") or self.data.get("reason") or "")


class Listener:
    """One connection. `last` is the id to come back with, also when no event has come yet."""

    def __init__(self, url: str, last: str | None = None, **asked: Any) -> None:
        self.url, self.last, self.asked = f"{url}/v1/events", last, asked
        self.lines: list[str] = []

    def __enter__(self) -> "Listener":
        self._stack = ExitStack()
        client = self._stack.enter_context(httpx.Client(timeout=60))
        headers = {"last-event-id": self.last} if self.last else {}
        self.response = self._stack.enter_context(client.stream("GET", self.url, params=self.asked, headers=headers))
        if self.response.status_code == 200:
            self._lines = self.response.iter_lines()
            while not self.last:
                self._field()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Event]:
        """The events until the stream ends."""
        kind, data = "", ""
        while (line := self._field()) is not None:
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data += value
            elif not line and data:
                assert self.last is not None
                yield Event(self.last, kind, json.loads(data))
                kind, data = "", ""

    def take(self, count: int) -> list[Event]:
        """The next events."""
        events = iter(self)
        return [next(events) for _ in range(count)]

    def _field(self) -> str | None:
        line = next(self._lines, None)
        if line is not None:
            self.lines.append(line)
            if line.startswith("id: "):
                self.last = line.removeprefix("id: ")
        return line
