"""Prepares a station's trusted past once a release, so that examinations are cheap."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Grid, Times
from aerocast.feed.declaration import Feed

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
Value = TypeVar("Value")

DAY = 86_400
SEASON_DAYS = 30  # days of the year on either side of now that count as the same season
YEAR_DAYS = 365.25


@dataclass(frozen=True, eq=False)
class Profile:
    """A station's reference: `values` (T, C) as measured, NaN where not, on the regular `time` (T,) of `step` seconds.

    What is computed from it is cached in it: build it once a release and pass it to every examination.
    """

    station: str
    columns: tuple[str, ...]
    time: Times
    values: Reals
    step: int
    cache: dict[Hashable, Any] = field(default_factory=dict)

    def remember(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """What `compute` returns, computed once."""
        if key not in self.cache:
            self.cache[key] = compute()
        value: Value = self.cache[key]
        return value

    @property
    def per_day(self) -> int:
        return max(1, DAY // self.step)

    @cached_property
    def day(self) -> Reals:
        """(T,) day of the year, from 0."""
        return day_of_year(self.time)

    def season(self, time: Times) -> Flags:
        """(T,) rows within SEASON_DAYS of the day of the year of the middle of `time`, in any year."""
        middle = day_of_year(time[len(time) // 2 : len(time) // 2 + 1])[0]
        apart = np.abs(self.day - middle)
        near: Flags = np.minimum(apart, YEAR_DAYS - apart) <= SEASON_DAYS
        return near

    def column(self, name: str) -> Reals:
        return self.values[:, self.columns.index(name)]


def profile(feed: Feed, reference: Grid) -> Profile:
    """The profile of a station's grid over its champion's training span."""
    step = int(feed.cadence.total_seconds())
    return Profile(reference.station, reference.columns, reference.time, measured_values(reference), step)


def measured_values(grid: Grid) -> Reals:
    """(T, C) what was measured at each step; NaN where a value is filled or missing."""
    return np.where(grid.age == 0, grid.values, np.nan).astype(np.float64)


def day_of_year(time: Times) -> Reals:
    years = time.astype("datetime64[Y]")
    days: Reals = (time.astype("datetime64[D]") - years.astype("datetime64[D]")).astype(np.float64)
    return days
