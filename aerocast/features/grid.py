"""A station's regular grid, and the definition of a window on it: the types between silver and models.

The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
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


class Place(msgspec.Struct, frozen=True, cache_hash=True, omit_defaults=True):
    """The location of a station: its time zone, its holidays' name and, if known, its coordinates in degrees."""

    id: str
    timezone: str
    latitude: float | None = None
    longitude: float | None = None
    holidays: str = ""

    @classmethod
    def of_feed(cls, feed: Feed) -> tuple[Place, ...]:
        """The places of a feed's stations."""
        # The steps of a grid of days are called by the days of the local clock.
        zones = feed.zones if feed.cadence < timedelta(days=1) else dict.fromkeys(feed.zones, "UTC")
        return tuple(
            cls(each.id, zones[each.id], each.latitude, each.longitude, each.holidays or feed.holidays or "")
            for each in feed.stations
        )


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """One station's regular series, newest last; nothing is skipped, a missing step is NaN. Every step in it is whole.

    Shapes: `time` (T,) datetime64[s] in UTC, NaT where unknown; `values` (T, C) float32 in canonical units, filled
    by the causal gap policy; `age` (T, C) float32: steps since the value was measured, NaN for none. `progress` is
    what is known of the newest readings, which may lie beyond the grid's end. `units` (C,) are those of the columns,
    empty where they are not known. `place` is that of a station which a window does not know.
    """

    station: str
    time: Times
    columns: tuple[str, ...]
    values: Floats
    age: Floats
    progress: Progress | None = None
    units: tuple[str, ...] = ()
    place: Place | None = None

    def tail(self, rows: int) -> Grid:
        """The newest `rows` rows."""
        own = self.time[-rows:], self.columns, self.values[-rows:], self.age[-rows:]
        return Grid(self.station, *own, self.progress, self.units, self.place)


class Holidays(msgspec.Struct, frozen=True, cache_hash=True):
    """The public holidays of a country or a part of it (`DE`, `US-NY`), as dates in ISO 8601."""

    name: str
    days: tuple[str, ...]


class Ahead(msgspec.Struct, frozen=True, cache_hash=True):
    """What is known ahead under a name: from vintages up to `oldest` steps old, or as measured (`is_perfect`)."""

    name: str
    oldest: int
    is_perfect: bool = False

    def column(self, lead: int) -> str:
        """The grid's column of what was issued about so many steps later."""
        return f"{self.name}_ahead{lead}"


class WindowSpec(msgspec.Struct, frozen=True, cache_hash=True, omit_defaults=True):
    """The definition of a feature row: plain data that is stored in a release and read by the server.

    `columns` are the windowed CSV's and the sequence requests' (with `labels` as short names); `covariates` are the
    grid's other columns; `cadence` is in seconds, every other length in steps. `season` is the shortest
    of the `seasons`, which an older release does not have. Of `interpolated` columns closed gaps are lines (`gaps`);
    `profile` counts seasons (`features.profile`).
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
    seasons: tuple[int, ...] = ()
    holidays: tuple[Holidays, ...] = ()
    operating_hours: tuple[str, ...] = ()
    ahead: tuple[Ahead, ...] = ()
    interpolated: tuple[str, ...] = ()
    profile: int = 0

    @classmethod
    def of(cls, feed: Feed, target: str) -> WindowSpec:
        """The window of one target of a feed; angles are left out, because their vectors' components say the same."""
        components = [f"{vector.name}_{axis}" for vector in feed.vectors for axis in "uv"]
        plain = [column.name for column in feed.columns if not column.circular and column.lead is None]
        return cls(
            target=target,
            columns=feed.window.columns,
            labels=tuple(feed.column(name).short for name in feed.window.columns),
            covariates=tuple(name for name in [*components, *plain] if name not in feed.window.columns),
            steps=feed.window.steps,
            look_back=feed.window.look_back,
            profile=feed.window.profile,
            season=feed.season_steps[0],
            cadence=int(feed.cadence.total_seconds()),
            horizons=feed.horizons,
            places=Place.of_feed(feed),
            seasons=feed.season_steps,
            interpolated=tuple(column.name for column in feed.columns if feed.gap_of(column.name) == "interpolate"),
            holidays=tuple(Holidays(region, days) for region, days in feed.holiday_days().items()),
            operating_hours=feed.operating_hours,
            ahead=tuple(
                Ahead(column.series, feed.gap_policy.max_steps, column.assume_perfect)
                for column in {column.series: column for column in feed.columns if column.known_ahead}.values()
            ),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.columns + self.covariates

    def place_of(self, station: str) -> Place:
        """The station's place; for an unknown station the feed's centre, its first time zone and its first holidays."""
        for place in self.places:
            if place.id == station:
                return place
        points = [(p.latitude, p.longitude) for p in self.places if p.latitude is not None and p.longitude is not None]
        centre = (sum(each) / len(points) for each in zip(*points, strict=True)) if points else (None, None)
        latitude, longitude = centre
        return Place("", self.places[0].timezone, latitude, longitude, self.places[0].holidays)
