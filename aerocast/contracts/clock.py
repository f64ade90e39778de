"""Tells a feed's present: usually the wall clock's; a simulated or replayed feed has a clock of its own, at any speed.

`<home>/clock/<feed>.json` says which instant of the feed belongs to which real one, and how fast it goes. Without the
file the feed's present is now, and a recorded feed's is its end. Everything that depends on a feed's time uses this:
sources, the rule `future`, freshness, the loop's limits, and the server.
The server imports this module: msgspec and the standard library only.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from aerocast.common.times import EARLIEST, LATEST
from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

FASTEST = 1e6  # seconds in a second: eleven days
RENEWED = timedelta(hours=1)  # files for people cost as much as all else of a live run, which may come each minute


class Clock(msgspec.Struct, frozen=True):
    """The feed was at `instant` at the real time `started`, and since then advances `speed` seconds a second.

    It stops at `until`, if given.
    """

    instant: Instant
    started: Instant
    speed: Annotated[float, msgspec.Meta(ge=0, le=FASTEST)] = 1.0
    until: Instant | None = None

    def at(self, real: datetime) -> datetime:
        """The feed's instant at a real one."""
        seconds = max(0.0, (real - self.started).total_seconds()) * self.speed
        try:
            present = self.instant + timedelta(seconds=seconds)
        except OverflowError:  # the calendar ends
            present = LATEST
        return min(present, self.until) if self.until else present


def now(home: Home, feed: str, end: datetime | None = None, real: datetime | None = None) -> datetime:
    """The feed's present, never later than `end`, the end of a recorded feed.

    Raises:
        AeroCastError: its clock cannot be read.
    """
    real = real or datetime.now(UTC)
    clock = document(home, feed).read()
    present = clock.at(real) if clock else real
    return min(present, end) if end else present


def real_duration(home: Home, feed: str, span: timedelta) -> timedelta:
    """How long a span of the feed's time lasts; with a slow or stopped clock, no longer than the span.

    Raises:
        AeroCastError: its clock cannot be read.
    """
    clock = document(home, feed).read()
    return span / max(1.0, clock.speed) if clock else span


def is_due(home: Home, feed: str, path: Path, since: datetime | None = None) -> bool:
    """Whether a file for people is missing, from before `since`, or older than `RENEWED` of the feed's time.

    One from before the feed's clock was set is of any age.

    Raises:
        AeroCastError: its clock cannot be read.
    """
    if not path.exists():
        return True
    time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    clock = document(home, feed).read()
    first = max(each for each in (since, clock and clock.started, EARLIEST) if each)
    recent = timedelta(0) <= datetime.now(UTC) - time < real_duration(home, feed, RENEWED)
    return not recent or time < first


def document(home: Home, feed: str) -> Document[Clock]:
    """The feed's own clock; without one the feed follows the wall's."""
    return Document(store_of(Path(home)), f"clock/{feed}.json", Clock, "clock")
