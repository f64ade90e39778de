"""Drift states and clocks of a feed, written by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aerocast.contracts import clock
from aerocast.contracts import drift_state as state
from aerocast.contracts.drift_state import Diagnosis, DriftState, Evidence, Heat, Shadow
from aerocast.feed.declaration import Feed

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def set_clock(home: Path, feed: Feed, now: datetime) -> None:
    """Stop the clock of the feed at `now`."""
    clock.document(home, feed.name).write(clock.Clock(now, datetime.now(UTC), speed=0.0))


def write_heat(home: Path, feed: Feed, *heats: Heat, shadows: tuple[Shadow, ...] = ()) -> None:
    """Write the drift state that an examination at the present of the feed would write."""
    now = clock.now(home, feed.name, feed.end)
    proof = Evidence("page_hinkley", "residuals", 61.2, 50.0, True, "standardised errors have left their mean")
    found = tuple(
        Diagnosis(heat.target, feed.station_ids[0], "concept_drift", now, heat.onset, 5.2, 2.1, 0.4, 72, (proof,))
        for heat in heats
        if heat.hot
    )
    document = state.document(home, feed.name)
    basis = document.store.origin(document.name)
    document.write(DriftState(feed.name, now, datetime.now(UTC), found, (), heats, shadows))
    if basis:  # else the next evaluation would examine again
        document.store.note_origin(document.name, basis)


def hot(since: datetime, edge: int = 1, target: str = "temperature", onset: datetime | None = None) -> Heat:
    return Heat(target, hot=True, edges=edge, warm=2, since=since, onset=onset or since - DAY, rmse=5.2)


def cool(since: datetime | None = None, edge: int = 0, target: str = "temperature", **changes: Any) -> Heat:
    return Heat(target, hot=False, edges=edge, since=since, **changes)
