"""A station's regular grid, and the definition of a window on it: the types between silver and models.

The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a station's readings have come: its newest step that holds one, whole or not.

    `step` is its label and `reading` the newest reading, datetime64[s] in UTC; `full` says that the step's usual last
    reading is there. By column of the grid (C,): `readings` in that step, and how many are `usual` in a step, NaN where
    that is unknown.
    """

    step: np.datetime64
    reading: np.datetime64
    full: bool
    readings: Ints
    usual: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """One station's regular series, newest last; nothing is skipped, a missing step is NaN. Every step in it is whole.

    Shapes: `time` (T,) datetime64[s] in UTC, NaT where unknown; `values` (T, C) float32 in canonical units, filled
    by the causal gap policy; `age` (T, C) float32: steps since the value was measured, NaN for none. `progress` is
    what is known of the newest readings, which may lie beyond the grid's end. `units` (C,) are those of the columns,
    empty where they are not known.
    """

    station: str
    time: Times
    columns: tuple[str, ...]
    values: Floats
    age: Floats
    progress: Progress | None = None
    units: tuple[str, ...] = ()

    def tail(self, rows: int) -> Grid:
        """The newest `rows` rows."""
        own = self.time[-rows:], self.columns, self.values[-rows:], self.age[-rows:]
        return Grid(self.station, *own, self.progress, self.units)


class Place(msgspec.Struct, frozen=True):
    """The location of a station: its time zone and, if known, its coordinates in degrees."""

    id: str
    timezone: str
    latitude: float | None = None
    longitude: float | None = None


class WindowSpec(msgspec.Struct, frozen=True):
    """The definition of a feature row: plain data that is stored in a release and read by the server.

    `columns` are the windowed CSV's and the sequence requests' (with `labels` as short names); `covariates` are the
    grid's other columns; `cadence` is in seconds, every other length in steps.
    """

    target: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    covariates: tuple[str, ...]
    steps: int
    look_back: int
    season: int
    cadence: int
    horizons: tuple[int, ...]
    places: tuple[Place, ...]

    @classmethod
    def of(cls, feed: Feed, target: str) -> WindowSpec:
        """The window of one target of a feed; angles are left out, because their vectors' components say the same."""
        components = [f"{vector.name}_{axis}" for vector in feed.vectors for axis in "uv"]
        plain = [column.name for column in feed.columns if not column.circular]
        return cls(
            target=target,
            columns=feed.window.columns,
            labels=tuple(feed.column(name).short for name in feed.window.columns),
            covariates=tuple(name for name in [*components, *plain] if name not in feed.window.columns),
            steps=feed.window.steps,
            look_back=feed.window.look_back,
            season=feed.season,
            cadence=int(feed.cadence.total_seconds()),
            horizons=feed.horizons,
            places=tuple(
                Place(station.id, station.timezone, station.latitude, station.longitude) for station in feed.stations
            ),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.columns + self.covariates

    def place_of(self, station: str) -> Place:
        """The station's place; for an unknown station the feed's centre and its first time zone."""
        for place in self.places:
            if place.id == station:
                return place
        points = [(p.latitude, p.longitude) for p in self.places if p.latitude is not None and p.longitude is not None]
        centre = (sum(each) / len(points) for each in zip(*points, strict=True)) if points else (None, None)
        return Place("", self.places[0].timezone, *centre)
