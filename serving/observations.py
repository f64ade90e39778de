"""Observations on their way to the platform: which feeds take them, and what waits on this server's disk."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.contracts import declared
from aerocast.ingest.channels.definition import Definition
from aerocast.ingest.channels.posted import FOLDER, Counts, Limits, PostRefusal, PostStore, Receipt, Why
from aerocast.storage.atomic import Stamp
from aerocast.storage.home import Home
from serving.body import Room
from serving.problems import problem
from serving.slots import ReloadSlot

T = TypeVar("T")
LONGEST_KEY = 200
# Larger bodies are checked in a thread, so that others are answered meanwhile.
LARGE_BODY = 32 << 10
MOST_IN_FLIGHT = 48 << 20
LOOK_SECONDS, MISS_SECONDS = 2.0, 0.2
_STATUS = {Why.FULL: 429, Why.DISK: 507, Why.KEY: 422, Why.UNUSABLE: 503}
_SLUG = {Why.FULL: "too-much-waits", Why.DISK: "disk-full", Why.KEY: "key-reused", Why.UNUSABLE: "not-kept"}
_RETRY_AFTER = {Why.FULL: "10", Why.DISK: "60", Why.UNUSABLE: "10"}


class Observations:
    """The posts of one server. `accepted` counts readings by feed since it started, `counts` is what is on the disk."""

    def __init__(self, home: Home, limits: Limits | None = None) -> None:
        self.accepted: Counter[str] = Counter()
        self.counts: Mapping[str, Counts] = {}
        self._home, self._limits = home, limits
        self._listing: ReloadSlot[Mapping[str, Stamp]] = ReloadSlot(declared.FOLDER)
        self._definitions: Mapping[str, ReloadSlot[Definition]] = {}
        self._counts: Mapping[str, ReloadSlot[Counts]] = {}
        self._posts: dict[str, PostStore] = {}
        self._looked = -LOOK_SECONDS
        self._lock = threading.Lock()
        self.room = Room(MOST_IN_FLIGHT)
        self._checks = ThreadPoolExecutor(1, "check")

    def look(self, every: float = LOOK_SECONDS) -> None:
        """Looks up what waits, and what is declared if that is so long ago; never raises for what lies on disk.

        Not for the event loop.
        """
        with self._lock:
            if time.monotonic() - self._looked >= every:
                self._look_up()
            for name, slot in self._counts.items():
                posted = self._buffer(name)
                slot.look(partial(_stamp, posted), posted.counts)
            self.counts = {name: slot.served for name, slot in self._counts.items() if slot.served}

    def slots(self) -> list[ReloadSlot[Any]]:
        """All that is looked up on the disk."""
        return [self._listing, *self._definitions.values(), *self._counts.values()]

    def feed_names(self) -> list[str]:
        """The feeds whose readings are taken, by name."""
        return sorted(name for name, slot in self._definitions.items() if slot.served)

    def of(self, feed: str) -> Definition | None:
        """How the feed's readings are read, if that is known."""
        slot = self._definitions.get(feed)
        return slot.served if slot else None

    async def definition(self, feed: str) -> Definition:
        """How the feed's readings are read. Raises a 404 problem that names the feeds that there are."""
        if feed not in self._definitions:
            await asyncio.to_thread(self.look, MISS_SECONDS)  # it may have been declared just now
        slot = self._definitions.get(feed)
        definition = slot.served if slot else None
        if slot and slot.error and not definition:
            detail = f"What is declared of {feed} cannot be read; /health says why."
            raise problem("feed-unreadable", detail, status=503, headers={"retry-after": "10"})
        if definition is None:
            names = ", ".join(self.feed_names()) or "none yet: the platform publishes them"
            detail = f"There is no feed {feed[:80]}; known: {names}."
            raise problem("unknown-feed", detail, status=404, field="feed", value=feed, rule=f"one of {names}")
        if why := definition.retirement:
            raise problem("feed-retired", why, status=410, field="feed", value=feed, rule="a feed that is declared")
        return definition

    async def keep(self, feed: str, key: str | None, kind: str, body: bytes, rows: int) -> Receipt:
        """The receipt, once the body is on the disk. Raises a problem: 422 for a key, 429, 503 or 507."""
        try:
            receipt = await self._buffer(feed).keep(key, body, kind, rows)
        except PostRefusal as error:
            raise refusal(error, key) from None
        if not receipt.duplicate:
            self.accepted[feed] += receipt.accepted
        return receipt

    async def check(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of `work`, made in a thread: one at a time, for a body takes many times its size meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._checks, work, *arguments)

    def close(self) -> None:
        """What was taken is on the disk when this returns."""
        self._checks.shutdown(cancel_futures=True)
        for posted in list(self._posts.values()):
            posted.close()

    def _buffer(self, feed: str) -> PostStore:
        posts = self._posts.get(feed)
        return posts or self._posts.setdefault(feed, PostStore(self._home, feed, self._limits))

    def _look_up(self) -> None:
        """Definitions of all that is declared; what cannot be read now stays as it was."""
        self._looked = time.monotonic()
        self._listing.look(time.monotonic, partial(declared.stamps, self._home))
        stamps = self._listing.served
        if self._listing.error or stamps is None:
            return
        slots = {
            name: self._definitions.get(name) or ReloadSlot[Definition](declared.document(self._home, name).name)
            for name in stamps
        }
        for name, slot in slots.items():
            slot.look(partial(stamps.get, name), partial(self._define, name))
        self._counts = {name: self._counts.get(name) or ReloadSlot(f"{FOLDER}/{name}.sqlite") for name in slots}
        self._definitions = slots

    def _define(self, feed: str) -> Definition | None:
        declaration = declared.document(self._home, feed).read()
        return Definition(declaration) if declaration else None


def _stamp(posted: PostStore) -> object:
    """As `Posted.stamp`; always another one while the file has just been written."""
    stamp = posted.stamp()
    return time.monotonic() if stamp is None else stamp


def checked_key(key: str | None) -> str | None:
    """The value of the header Idempotency-Key. Raises a 400 problem."""
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        rule = f"1 to {LONGEST_KEY} printable ASCII characters"
        detail = f"Idempotency-Key must be {rule}."
        raise problem("invalid-key", detail, status=400, field="Idempotency-Key", value=key, rule=rule)
    return key


def refusal(error: PostRefusal, key: str | None = None) -> ProblemDetailsException:
    """The problem for a post that was not kept."""
    headers = {"retry-after": _RETRY_AFTER[error.why]} if error.why in _RETRY_AFTER else None
    about: dict[str, Any] = {"field": "Idempotency-Key", "value": key, "rule": "one body a key"}
    field = about if error.why is Why.KEY else {}
    return problem(_SLUG[error.why], f"{error}", status=_STATUS[error.why], headers=headers, **field)
