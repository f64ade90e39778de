"""The newest rows of a feed, as silver writes them for the server."""

import numpy as np

from aerocast.contracts import tail
from aerocast.features.grid import Grid
from aerocast.storage.home import Home
from tests.factories.releases import NAMES

NEWEST = np.datetime64("2013-12-30T18:00:00", "s")


def grid(station: str, rows: int = 48, newest: np.datetime64 = NEWEST, level: float = 40.0) -> Grid:
    """A grid without gaps: temperature rises from `level`, wind and pressure are constant."""
    time_ = newest + np.arange(1 - rows, 1) * np.timedelta64(3600, "s")
    values = np.stack([level + np.arange(rows) / 4, np.full(rows, 9.0), np.full(rows, 1015.0)], axis=1)
    return Grid(station, time_, NAMES, values.astype(np.float32), np.zeros((rows, 3), dtype=np.float32))


def gappy(station: str, column: int, age: int) -> Grid:
    """A grid whose newest `age` values of one column are carried forward."""
    made = grid(station)
    made.age[-age:, column] = np.arange(1, age + 1)
    made.values[-age:, column] = made.values[-age - 1, column]
    return made


def write_tail(home: Home, feed: str = "noaa", **others: Grid) -> None:
    """Write a tail: JFK complete, LGA with pressure 3 steps old, EWR 4 steps late, unless `others` replaces them."""
    late = grid("EWR", newest=NEWEST - np.timedelta64(4, "h"))
    tail.write_grids(home, feed, {"JFK": grid("JFK"), "LGA": gappy("LGA", 2, 3), "EWR": late, **others})
