"""The document that names the release that serves, and in it a person's hold, so that one swap judges both.

While a champion is held the loop does not replace it. A hold ends when somebody lifts it, or when its time has passed.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_minute


class Hold(msgspec.Struct, frozen=True):
    """Since when, until when (None: until somebody lifts it) and why a person holds a champion; real time, UTC."""

    since: datetime
    until: datetime | None = None
    reason: str = ""

    def active(self, now: datetime | None = None) -> bool:
        return self.until is None or (now or datetime.now(UTC)) < self.until

    def __str__(self) -> str:
        end = f"until {to_minute(self.until)}" if self.until else "until it is lifted"
        return f"a person holds it since {to_minute(self.since)}, {end}"


class Current(msgspec.Struct, frozen=True):
    """The pointer: which version serves (or challenges) since when, which one did before it, and a person's hold."""

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
