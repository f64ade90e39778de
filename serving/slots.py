"""One thing that is looked up on disk again and again: what serves of it, and what went wrong with its successor."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Generic, NoReturn, TypeVar

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import backoff
from aerocast.storage.atomic import Stamp

log = logging.getLogger("aerocast.serving")

T = TypeVar("T")
NEVER: Stamp = (0, 0, 0)  # no file has this stamp, so the first look always loads
RETRY, LONGEST_RETRY = timedelta(seconds=2), timedelta(minutes=1)
LONGEST = 500  # characters of a reason: some libraries put the content into it


@dataclass(slots=True)
class ReloadSlot(Generic[T]):
    """`served` stays what it was until something newer loads; `error` is why the newest does not, `since` when.

    `file` is its name in the home.
    """

    file: str
    served: T | None = None
    last_stamp: object = None
    error: str | None = None
    since: datetime | None = None
    failures: int = 0
    streak: int = 0
    retry_at: float = 0.0

    def due(self, stamp: object) -> bool:
        """Something new is there, or it is time to try once more what failed."""
        return stamp != self.last_stamp or (self.error is not None and time.monotonic() >= self.retry_at)

    def clear(self) -> None:
        """Nothing is served, nothing was seen, nothing is wrong."""
        self.last_stamp, self.served = None, None
        self._is_sound()

    def _is_sound(self) -> None:
        self.error, self.since, self.streak = None, None, 0

    def bad(self, error: str) -> None:
        if error != self.error:
            log.error("%s is left out: %s", self.file, error)
        self.error, self.since = error, self.since or datetime.now(UTC)
        self.failures += 1
        self.retry_at = time.monotonic() + backoff(RETRY, self.streak, LONGEST_RETRY).total_seconds()
        self.streak += 1

    def look(self, stamp: Callable[[], object], load: Callable[[], T | None]) -> bool:
        """Loads what is new, and keeps the old one if that fails. True if a load was tried.

        What lies on disk is input: whatever its content breaks, it must not stop the server that serves what was
        before. So this raises nothing, and is the one place that may catch everything.
        """
        try:
            newest = stamp()
        except Exception as error:
            newest, load = sentence(error), partial(_again, error)
        if not self.due(newest):
            return False
        self.last_stamp = newest
        try:
            self.served = load()
            self._is_sound()
        except Exception as error:
            self.bad(sentence(error))
        return True


def _again(error: Exception) -> NoReturn:
    raise error


def sentence(error: BaseException) -> str:
    """Why something was left out, in one line."""
    text = str(error) if isinstance(error, AeroCastError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:LONGEST]
