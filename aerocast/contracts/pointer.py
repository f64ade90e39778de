"""The pointer to the release that serves, with a person's hold, so that one compare-and-swap covers both.

During a hold the loop does not replace the champion. A hold ends when a person lifts it, or at its end time.
The server imports this module: msgspec and the standard library only.
"""

from datetime import UTC, datetime

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_minute


class Hold(msgspec.Struct, frozen=True):
    """Since when, until when (None: until it is lifted) and why a person holds a champion; real time, UTC."""

    since: datetime
    until: datetime | None = None
    reason: str = ""

    def active(self, now: datetime | None = None) -> bool:
        return self.until is None or (now or datetime.now(UTC)) < self.until

    def __str__(self) -> str:
        end = f"until {to_minute(self.until)}" if self.until else "until it is lifted"
        return f"a person has held it since {to_minute(self.since)}, {end}"


class Current(msgspec.Struct, frozen=True):
    """The version that serves (or challenges) since when, the previous one, and a person's hold."""

    version: str
    promoted_at: datetime
    previous: str | None = None
    hold: Hold | None = None

    @property
    def active_hold(self) -> Hold | None:
        """The hold, unless its time has passed."""
        return self.hold if self.hold and self.hold.active() else None


class HoldError(AeroCastError):
    """The loop may not replace this champion."""
