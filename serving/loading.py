"""From disk into memory: a release that is verified, built and warmed up, and a feed's tail."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn

import msgspec
import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.contracts import tail
from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.manifest import FeedSnapshot, Manifest
from aerocast.contracts.pointer import Current, Hold
from aerocast.features.grid import Floats, Grid, Place
from aerocast.releases import release
from aerocast.storage.atomic import Stamp
from aerocast.storage.home import Home
from serving.graph import GraphRunner
from serving.schemas import Prediction
from serving.slots import sentence

log = logging.getLogger("aerocast.serving")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    """One release in memory. `answers` keeps what was computed for a station from one tail (see predictor).

    `feed` is the manifest's, by the policy that is declared now; `limits` (C, 2) are the window's physical ranges;
    `places` those of the stations that are declared now.
    """

    manifest: Manifest
    feed: FeedSnapshot
    station: GraphRunner
    sequence: GraphRunner | None
    since: datetime
    promoted_at: datetime
    hold: Hold | None
    releases: int
    newest_release: datetime
    key: Key
    limits: Floats
    places: Mapping[str, Place] = field(default_factory=dict)
    answers: "dict[str, tuple[Tail, Adaptation | None, Prediction]]" = field(default_factory=dict)

    @property
    def active_hold(self) -> Hold | None:
        """A person's hold on this release, unless its time has passed."""
        return self.hold if self.hold and self.hold.active() else None


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The newest rows of every station of a feed, and by station its newest reading."""

    grids: Mapping[str, Grid]
    newest: Mapping[str, np.datetime64]
    loaded_at: datetime
    ends: dict[int, list[Grid]] = field(default_factory=dict)

    def newest_rows(self, rows: int) -> list[Grid]:
        """The newest `rows` rows of every station, the same list each time."""
        return self.ends.get(rows) or self.ends.setdefault(rows, [each.tail(rows) for each in self.grids.values()])

    @property
    def feed_newest(self) -> np.datetime64 | None:
        return max(self.newest.values(), default=None)


class ReleaseListing(NamedTuple):
    """What is promoted, by (feed, target), and what could not be looked at, by file with the reason."""

    stamps: Mapping[Key, Stamp]
    left_out: Mapping[str, str]


def listing(home: Home) -> ReleaseListing:
    left_out: dict[str, str] = {}
    stamps = {(feed, target): stamp for feed, target, stamp in release.discover(home, left_out)}
    return ReleaseListing(stamps, left_out)


def refuse(reason: str) -> NoReturn:
    """Raises AeroCastError with the reason."""
    raise AeroCastError(reason)


def open_current(home: Home, key: Key) -> Served:
    """The release that serves. Raises whatever the content of a file leads to, as all of these do."""
    pointer = release.current(home, *key)
    if pointer is None:
        raise AeroCastError(f"{release.POINTER} of {'/'.join(key)} is gone")
    return _open(home, key, pointer.version, pointer)


def open_previous(home: Home, key: Key) -> Served | None:
    """A server that starts onto a bad release takes the one that served before, as a running one would have kept it."""
    try:
        pointer = release.current(home, *key)
        if pointer and pointer.previous:
            return _open(home, key, pointer.previous, msgspec.structs.replace(pointer, hold=None))
    except Exception as error:  # as `Slot.look`, for the release before it
        log.error("%s/%s: the release before it does not load either: %s", *key, sentence(error))
    return None


def open_challenger(home: Home, key: Key) -> Served | None:
    """The release that answers in the shadow of the one that serves, if there is one."""
    pointer = release.challenger(home, *key)
    return _open(home, key, pointer.version, pointer) if pointer else None


def open_tail(home: Home, feed: str) -> Tail:
    grids = tail.read_grids(home, feed)
    return Tail(grids, tail.newest_readings(grids), datetime.now(UTC))


def _open(home: Home, key: Key, version: str, pointer: Current) -> Served:
    loaded = release.load(home, *key, version)
    manifest = loaded.manifest
    graphs, names = manifest.graphs, manifest.window.columns
    newest = release.history(home, *key, limit=1)[0]
    return Served(
        manifest=manifest,
        feed=manifest.feed,
        station=GraphRunner.build(manifest, graphs.station, loaded.files[graphs.station.file]),
        sequence=(
            GraphRunner.build(manifest, graphs.sequence, loaded.files[graphs.sequence.file])
            if graphs.sequence
            else None
        ),
        since=datetime.now(UTC),
        promoted_at=pointer.promoted_at,
        hold=pointer.hold,
        releases=len(release.versions(home, *key)),
        newest_release=(newest.manifest or manifest).lineage.created_at,
        key=key,
        limits=np.array(
            [column.range if (column := manifest.feed.column(name)) else (-np.inf, np.inf) for name in names],
            dtype=np.float32,
        ),
    )
