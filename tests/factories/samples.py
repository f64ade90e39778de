"""Training rows of the small feed in memory, from a made grid of each station; seeded."""

from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.tables import training
from aerocast.tables.training import Samples
from tests.factories.feeds import STATIONS, small_feed

FIRST = np.datetime64("2024-01-01T00:00:00", "s")
HOUR = np.timedelta64(3600, "s")


def hourly_feed(**changes: object) -> Feed:
    """The small feed with one column."""
    column = {"name": "temperature", "field": "t", "source_unit": "degF", "unit": "degF", "range": [-60, 150]}
    window = {"steps": 5, "columns": ["temperature"], "look_back": 24}
    return small_feed(Path("unused.csv"), columns=[column], window=window, **changes)


def samples_of(feed: Feed, days: int, seed: int = 5, start: np.datetime64 = FIRST) -> Samples:
    """Its training rows over so many days: a daily cycle with slow weather and noise at each station."""
    spec, rng = WindowSpec.of(feed, "temperature"), np.random.default_rng(seed)
    grids = {name: _grid(name, spec, _levels(rng, days * 24), start) for name in STATIONS}
    months = {str(month) for month in np.unique(grids[STATIONS[0]].time.astype("datetime64[M]"))}
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("rows", training.table(spec, grids, months))
        return training.load(spec, con.table("rows"))


def _levels(rng: np.random.Generator, hours: int) -> NDArray[np.float32]:
    hour, weather = np.arange(hours), np.zeros(hours)
    for at in range(1, hours):
        weather[at] = 0.97 * weather[at - 1] + rng.normal(0, 0.5)
    levels: NDArray[np.float32] = (50 + 6 * np.sin(2 * np.pi * (hour - 9) / 24) + weather).astype(np.float32)
    return levels


def _grid(station: str, spec: WindowSpec, levels: NDArray[np.float32], start: np.datetime64) -> Grid:
    values = levels[:, None]
    return Grid(station, start + np.arange(len(levels)) * HOUR, spec.columns, values, np.zeros_like(values))
