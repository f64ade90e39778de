"""Tries what could not be read again after growing pauses, for a declared time at most, without holding others up.

`<home>/put_off/<name>.json` says of each thing since when, how often, and when it is tried next. A claim or a file is
given up once its patience is over; a channel as a whole is only tried after ever longer pauses.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from aerocast.common import waits
from aerocast.common.errors import AeroCastError
from aerocast.common.waits import LONGEST_PAUSE, PAUSE
from aerocast.common.words import count
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of

FOLDER = "put_off"


class Delay(msgspec.Struct, frozen=True):
    """Since when something could not be read, how often that was tried, when it is tried next (real time), and why."""

    since: datetime
    tries: int
    due: datetime
    reason: str

    def is_due(self, now: datetime) -> bool:
        """Whether it may be tried now; a clock that was ahead keeps nothing waiting."""
        return not now < self.due <= now + LONGEST_PAUSE


class Patience:
    """The delays of one name, for one writer at a time; each change is on disk when a method returns.

    Raises, from every method:
        AeroCastError: the disk or object store refuses.
    """

    def __init__(self, home: Home, name: str, limit: timedelta) -> None:
        self._document, self._limit = _document(home, name), limit
        self.delays = read_delays(home, name)

    def is_due(self, key: str, now: datetime) -> bool:
        delay = self.delays.get(key)
        return delay is None or delay.is_due(now)

    def fail(self, key: str, reason: str, now: datetime) -> Delay | None:
        """Notes a try in vain. None once it has lasted for the limit: then it is to be given up."""
        before = self.delays.get(key)
        tries, since = (before.tries + 1, min(before.since, now)) if before else (1, now)
        pause = waits.backoff(PAUSE, tries - 1, LONGEST_PAUSE)
        self.delays[key] = Delay(since, tries, now + pause, reason)
        self._write()
        return self.delays[key] if now - since < self._limit else None

    def clear(self, key: str) -> None:
        """It was read, or given up."""
        if self.delays.pop(key, None):
            self._write()

    def sweep(self, keys: Iterable[str], now: datetime) -> None:
        """Of what was not met among `keys` though it was due nobody knows; in the end it is forgotten."""
        absent = [key for key in self.delays.keys() - set(keys) if self.is_due(key, now)]
        for key in absent:
            delay = self.delays[key]
            if now - delay.since >= self._limit + LONGEST_PAUSE:
                del self.delays[key]
            else:
                self.delays[key] = msgspec.structs.replace(delay, due=now + LONGEST_PAUSE)
        if absent:
            self._write()

    def _write(self) -> None:
        if self.delays:
            self._document.write(self.delays)
        else:
            self._document.remove()


def read_delays(home: Home, name: str) -> dict[str, Delay]:
    """The delays of a name; none where they cannot be read: then everything is tried at once."""
    try:
        return _document(home, name).read() or {}
    except AeroCastError:
        return {}


def _document(home: Home, name: str) -> Document[dict[str, Delay]]:
    return Document(store_of(home), f"{FOLDER}/{name}.json", dict[str, Delay], "list of what is put off")


def delay_text(delays: Iterable[Delay]) -> str:
    """Delays as a sentence each: when the next try is, and why."""
    return "; ".join(
        f"tried {count(each.tries, 'time')}, next at {each.due:%H:%M} UTC: {each.reason}" for each in delays
    )
