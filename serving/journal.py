"""The newest events, numbered, in memory: one ring that all listeners read, each from its own place.

A listener holds nothing but the number of the event that it read last. So a slow one holds nobody up: when the ring has
gone on, it is told that events are missing. Everything here runs in the event loop.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from serving.notices import ForecastNotice, Lost, Notice, Reset
from serving.problems import problem

MOST_EVENTS = 4096
MOST_STEPS = 100_000  # horizons of all forecasts in the ring
MOST_CHUNK = 64 << 10  # bytes that are sent at once
RETRY_MS = 3000  # after which a client that lost its connection comes back
LONGEST_ID = 40


class Choice(NamedTuple):
    """What a listener wants to hear of: None stands for everything."""

    feed: str | None = None
    station: str | None = None
    kinds: frozenset[str] | None = None

    def includes(self, entry: "Entry") -> bool:
        notice = entry.notice
        return (
            self.feed in (None, notice.feed)
            and (self.kinds is None or entry.kind in self.kinds)
            and (self.station is None or self.station == getattr(notice, "station", None))
        )


class Entry:
    """One event; it is block_of once, when the first listener reads it."""

    __slots__ = ("_block", "kind", "name", "notice")

    def __init__(self, name: str, notice: Notice) -> None:
        self.name, self.notice, self.kind = name, notice, notice.kind
        self._block = b""

    @property
    def block(self) -> bytes:
        """As it goes over the wire."""
        self._block = self._block or block_of(self.name, self.notice)
        return self._block

    @property
    def steps(self) -> int:
        return len(self.notice.forecasts) if isinstance(self.notice, ForecastNotice) else 0


class Reading(NamedTuple):
    """What a listener gets next: bytes, and the number of the event up to which it has read then."""

    block: bytes
    number: int
    is_behind: bool = False


class Journal:
    """`newest` is the number of the newest event of this process; the first one is 1.

    An event's id is `<start of the process>-<number>`, so that one of another process is known as such.
    """

    def __init__(self, most: int = MOST_EVENTS, most_listeners: int = 256, start: int | None = None) -> None:
        self.newest, self.listeners = 0, 0
        self.most_listeners = most_listeners
        self.counts: Counter[str] = Counter()
        self.is_closed = False
        self.bell = asyncio.Event()
        self._start = time.time_ns() // 1_000_000 if start is None else start
        self._most, self._steps = most, 0
        self._entries: deque[Entry] = deque()
        self._notes: dict[Hashable, Notice] = {}

    def name(self, number: int) -> str:
        """The id of the event of that number."""
        return f"{self._start}-{number}"

    def note(self, slot: Hashable, notice: Notice) -> None:
        """Keeps what happened in this process for the next look; of each slot only the newest."""
        self._notes[slot] = notice

    def take_notes(self) -> list[Notice]:
        """What was noted since the last call, by the order of slots."""
        notes, self._notes = self._notes, {}
        return list(notes.values())

    def publish(self, notices: Iterable[Notice]) -> None:
        """Appends events, and wakes those that listen."""
        for notice in notices:
            self.newest += 1
            entry = Entry(self.name(self.newest), notice)
            self._entries.append(entry)
            self._steps += entry.steps
            self.counts[entry.kind] += 1
        while len(self._entries) > self._most or (self._steps > MOST_STEPS and len(self._entries) > 1):
            self._steps -= self._entries.popleft().steps
        self._ring()

    def close(self) -> None:
        """Ends every stream; what asks later is answered with an empty one."""
        self.is_closed = True
        self._ring()

    def resume(self, name: str | None) -> tuple[int, Reset | None]:
        """The number after which a client goes on that saw the event `name` last, and what it has to be told first."""
        if not name:
            return self.newest, None
        start, _, text = name.partition("-")
        number = int(text) if len(name) <= LONGEST_ID and text.isascii() and text.isdigit() else -1
        if start != str(self._start) or not 0 <= number <= self.newest:
            return self.newest, reset("other-process")
        if number < self._oldest - 1:
            return self.newest, reset("too-old")
        return number, None

    def read(self, number: int, choice: Choice) -> Reading:
        """The events after a number that are among the choice, as many as are sent at once."""
        if number < self._oldest - 1:
            return Reading(b"", self.newest, is_behind=True)
        blocks, size = [], 0
        while number < self.newest and size < MOST_CHUNK:
            entry = self._entries[number + 1 - self._oldest]
            number += 1
            if choice.includes(entry):
                blocks.append(entry.block)
                size += len(entry.block)
        return Reading(b"".join(blocks), number)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among the listeners. Raises a 429 problem while there is none."""
        if self.listeners >= self.most_listeners:
            detail = f"{self.listeners} others listen already; try again in a moment."
            raise problem("too-many-listeners", detail, status=429, headers={"retry-after": "10"})
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1

    @property
    def _oldest(self) -> int:
        """The number of the oldest event that is still there; of none, that of the next."""
        return self.newest - len(self._entries) + 1

    def _ring(self) -> None:
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()


def reset(reason: Lost) -> Reset:
    """That events are missing, as of now."""
    return Reset(at=datetime.now(UTC), reason=reason)


def block_of(name: str, notice: Notice | Reset) -> bytes:
    """An event as it goes over the wire; JSON has no line breaks of its own."""
    return b"id: %b\r\nevent: %b\r\ndata: %b\r\n\r\n" % (
        name.encode(),
        notice.kind.encode(),
        msgspec.json.encode(notice),
    )
