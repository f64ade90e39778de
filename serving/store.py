"""What the server serves: every feed's release and tail in memory, looked up on disk by a poll and swapped whole.

`poll` runs in a thread of its own; requests read the references it swaps and never wait for it. A release or tail that
does not load leaves the old one serving; the error stays visible until a good one is loaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from aerocast import release, tail
from aerocast.errors import AeroCastError
from aerocast.manifest import FeedSnapshot, Manifest
from aerocast.windows import Grid
from serving.graph import GraphRunner
from serving.schemas import Prediction

log = logging.getLogger("aerocast.serving")

T = TypeVar("T")
Key = tuple[str, str]
RETRY_SECONDS = 2.0, 60.0
# A release is input: whatever its content breaks in here must not stop the server that serves the old one.
BAD_INPUT = (AeroCastError, OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError)


@dataclass(frozen=True, slots=True)
class Served:
    """One release in memory. `answers` keeps what was computed for a station from one tail (see predictor)."""

    manifest: Manifest
    station: GraphRunner
    sequence: GraphRunner | None
    since: datetime
    promoted_at: datetime
    releases: int
    newest_release: datetime
    answers: dict[str, tuple[Tail, Prediction]] = field(default_factory=dict)

    @property
    def feed(self) -> FeedSnapshot:
        return self.manifest.feed


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The newest rows of every station of a feed; `newest` is the feed's newest measured step."""

    grids: Mapping[str, Grid]
    newest: Mapping[str, np.datetime64]
    loaded_at: datetime

    @property
    def feed_newest(self) -> np.datetime64 | None:
        return max(self.newest.values(), default=None)


@dataclass(slots=True)
class Slot(Generic[T]):
    """One thing that is looked up on disk: what serves of it, and what went wrong with its successor."""

    served: T | None = None
    seen: release.Stamp | None = None
    error: str | None = None
    failed_at: datetime | None = None
    failures: int = 0
    streak: int = 0
    retry_at: float = 0.0

    def due(self, stamp: release.Stamp | None) -> bool:
        """Something new is there, or it is time to try once more what failed."""
        return stamp != self.seen or (self.error is not None and time.monotonic() >= self.retry_at)

    def good(self, served: T) -> None:
        self.served, self.error, self.failed_at, self.streak = served, None, None, 0

    def bad(self, error: str) -> None:
        first, most = RETRY_SECONDS
        self.error, self.failed_at = error, datetime.now(UTC)
        self.failures += 1
        self.retry_at = time.monotonic() + min(most, first * 2**self.streak)
        self.streak = min(self.streak + 1, 16)


class Store:
    """Slots by (feed, target), tails by feed. The dictionaries are replaced, never changed: readers may iterate."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.releases: Mapping[Key, Slot[Served]] = {}
        self.tails: Mapping[str, Slot[Tail]] = {}
        self.index: Mapping[str, Mapping[str, Served]] = {}
        self.started_at = datetime.now(UTC)
        self.last_poll: datetime | None = None
        self.error: str | None = None

    def poll(self) -> None:
        """Look up every pointer and tail, load what is new; never raises for what lies on disk."""
        try:
            found = {(feed, target): stamp for feed, target, stamp in release.discover(self.home)}
            self.error = None
        except OSError as error:
            self.error = f"releases under {self.home} cannot be listed: {error.strerror or error}"
            return
        for key in found.keys() - self.releases.keys():
            self.releases = {**self.releases, key: Slot()}
        for key, slot in self.releases.items():
            if slot.due(found.get(key)):
                slot.seen = found.get(key)
                self._load_release(key, slot)
        for feed in sorted({feed for feed, _ in self.releases}):
            self._look_at_tail(feed)
        self.last_poll = datetime.now(UTC)

    def serving(self) -> list[Served]:
        """All releases that answer now, by feed and target."""
        return [served for targets in self.index.values() for served in targets.values()]

    def tail(self, feed: str) -> Tail | None:
        slot = self.tails.get(feed)
        return slot.served if slot else None

    def _load_release(self, key: Key, slot: Slot[Served]) -> None:
        try:
            slot.good(_open_current(self.home, key))
            log.info("%s/%s is served by release %s", *key, slot.served.manifest.version if slot.served else "")
        except BAD_INPUT as error:
            slot.bad(_sentence(error))
            log.error("%s/%s: %s", *key, slot.error)
            if slot.served is None:
                slot.served = _open_previous(self.home, key)
        self.index = self._indexed()

    def _indexed(self) -> Mapping[str, Mapping[str, Served]]:
        """feed -> target -> what serves it; targets in the order of the feed's declaration."""
        index: dict[str, dict[str, Served]] = {}
        for (feed, target), slot in sorted(self.releases.items(), key=lambda item: item[0]):
            if slot.served:
                index.setdefault(feed, {})[target] = slot.served
        for feed, targets in index.items():
            order = next(iter(targets.values())).feed.targets
            rank = {name: place for place, name in enumerate(order)}
            index[feed] = dict(sorted(targets.items(), key=lambda item: rank.get(item[0], len(order))))
        return index

    def _look_at_tail(self, feed: str) -> None:
        slot: Slot[Tail] = self.tails.get(feed) or Slot()
        if feed not in self.tails:
            self.tails = {**self.tails, feed: slot}
            slot.seen = (0, 0, 0)  # no file has this stamp, so the first look always loads
        try:
            stamp = tail.stamp(self.home, feed)
            if slot.due(stamp):
                slot.seen = stamp
                slot.good(_open_tail(self.home, feed))
        except BAD_INPUT as error:
            slot.bad(_sentence(error))
            log.error("tail of %s: %s", feed, slot.error)


def _open_current(home: Path, key: Key) -> Served:
    pointer = release.current(home, *key)
    if pointer is None:
        raise AeroCastError(f"{release.POINTER} of {'/'.join(key)} is gone")
    return _open(home, key, pointer.version, pointer.promoted_at)


def _open_previous(home: Path, key: Key) -> Served | None:
    """A server that starts onto a bad release takes the one that served before, as a running one would have kept it."""
    try:
        pointer = release.current(home, *key)
        if pointer and pointer.previous:
            return _open(home, key, pointer.previous, pointer.promoted_at)
    except BAD_INPUT as error:
        log.error("%s/%s: the release before it does not load either: %s", *key, _sentence(error))
    return None


def _open(home: Path, key: Key, version: str, promoted_at: datetime) -> Served:
    """Verify, build and warm up. Raises one of BAD_INPUT."""
    loaded = release.load(home, *key, version)
    manifest = loaded.manifest
    graphs = manifest.graphs
    newest = release.history(home, *key, limit=1)[0]
    return Served(
        manifest=manifest,
        station=GraphRunner.build(manifest, graphs.station, loaded.files[graphs.station.file]),
        sequence=(
            GraphRunner.build(manifest, graphs.sequence, loaded.files[graphs.sequence.file])
            if graphs.sequence
            else None
        ),
        since=datetime.now(UTC),
        promoted_at=promoted_at,
        releases=len(release.versions(home, *key)),
        newest_release=(newest.manifest or manifest).lineage.created_at,
    )


def _open_tail(home: Path, feed: str) -> Tail:
    grids = tail.read(home, feed)
    newest = {}
    for station, grid in grids.items():
        measured = np.flatnonzero((grid.age == 0).any(axis=1))
        if len(measured):
            newest[station] = grid.time[measured[-1]]
    return Tail(grids, newest, datetime.now(UTC))


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, AeroCastError) else f"{type(error).__name__}: {error}"
