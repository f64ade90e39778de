"""One thing that is looked up on disk again and again: what serves of it, and what went wrong with its successor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from aerocast.durable import Stamp
from aerocast.errors import AeroCastError

log = logging.getLogger("aerocast.serving")

T = TypeVar("T")
NEVER: Stamp = (0, 0, 0)  # no file has this stamp, so the first look always loads
RETRY_SECONDS = 2.0, 60.0
# What lies on disk is input: whatever its content breaks must not stop the server that serves what was before.
BAD_INPUT = (AeroCastError, OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError)


@dataclass(slots=True)
class Slot(Generic[T]):
    """`served` stays what it was until something newer loads; `error` is why the newest does not."""

    served: T | None = None
    seen: Stamp | None = None
    error: str | None = None
    failed_at: datetime | None = None
    failures: int = 0
    streak: int = 0
    retry_at: float = 0.0

    def due(self, stamp: Stamp | None) -> bool:
        """Something new is there, or it is time to try once more what failed."""
        return stamp != self.seen or (self.error is not None and time.monotonic() >= self.retry_at)

    def good(self, served: T | None) -> None:
        self.served, self.error, self.failed_at, self.streak = served, None, None, 0

    def bad(self, error: str) -> None:
        first, most = RETRY_SECONDS
        self.error, self.failed_at = error, datetime.now(UTC)
        self.failures += 1
        self.retry_at = time.monotonic() + min(most, first * 2**self.streak)
        self.streak = min(self.streak + 1, 16)

    def look(self, what: str, stamp: Callable[[], Stamp | None], load: Callable[[], T | None]) -> bool:
        """Loads what is new, and keeps the old one if that fails. True if a load was tried; raises nothing."""
        tried = False
        try:
            found = stamp()
            tried = self.due(found)
            if tried:
                self.seen = found
                self.good(load())
        except BAD_INPUT as error:
            self.bad(sentence(error))
            log.error("%s: %s", what, self.error)
        return tried


def sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, AeroCastError) else f"{type(error).__name__}: {error}"
