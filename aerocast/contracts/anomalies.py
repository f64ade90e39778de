"""The newest anomalies of a feed: events in which a station was unlike its own past, and how surprising it is now.

`<home>/anomalies/<feed>.json` is a copy for light readers (the server), replaced atomically by the asset `anomalies`;
all events are the table `<feed>/anomalies`.
The server imports this module: msgspec and the standard library only.
"""

from pathlib import Path
from typing import Literal

import msgspec

from aerocast.storage.documents import Document, Instant
from aerocast.storage.home import Home, store_of

Cause = Literal["sensor_fault", "weather", "unknown"]


class Anomaly(msgspec.Struct, frozen=True):
    """An event at a station, from the step `start` up to, not including, `end` (None: it lasts).

    `last` is its newest surprising step so far, `peak` the most surprising one. `severity` is the surprise there:
    -log10 of a p-value, so that 3 means once in a thousand steps. `columns` are shares that sum to 1; `alarms` is how
    often it began or became worse. `seen_at` are other stations that were surprising in the same way then, of `others`
    that were measured.
    """

    station: str
    start: Instant
    end: Instant | None
    last: Instant
    peak: Instant
    severity: float
    cause: Cause
    columns: dict[str, float]
    detail: str
    alarms: int = 1
    seen_at: tuple[str, ...] = ()
    others: int = 0

    @property
    def key(self) -> tuple[str, Instant]:
        return self.station, self.start


class Newest(msgspec.Struct, frozen=True):
    """The newest step of a station that was looked at, and its surprise; None where too little is known of its past."""

    time: Instant
    surprise: float | None


class AnomalyState(msgspec.Struct, frozen=True):
    """The newest events, oldest first, as of `judged_at` (the feed's time); `newest` is by station."""

    feed: str
    judged_at: Instant
    events: tuple[Anomaly, ...] = ()
    newest: dict[str, Newest] = {}

    def open(self) -> list[Anomaly]:
        """The events that last."""
        return [event for event in self.events if event.end is None]


def document(home: Home, feed: str) -> Document[AnomalyState]:
    """The newest state; it does not exist before the first look."""
    return Document(store_of(Path(home)), f"anomalies/{feed}.json", AnomalyState, "anomalies", indent=1)
