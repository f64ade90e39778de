"""The station that `aerocast run` asks about: one whose readings are as new as the feed's newest."""

from pathlib import Path

import numpy as np
import pytest

from aerocast.contracts import tail
from aerocast.features.grid import Grid
from cli.ask import _station
from tests.factories.feeds import small_feed

NEWEST = np.datetime64("2024-04-30T12:00:00", "s")
HOUR = np.timedelta64(3600, "s")


def grid(station: str, newest: np.datetime64, missing: int = 0) -> Grid:
    """Ten hours up to `newest`, of which the last ones are `missing`."""
    age = np.zeros((10, 1), dtype=np.float32)
    age[10 - missing :] = np.nan
    values = np.where(np.isnan(age), np.nan, np.float32(50)).astype(np.float32)
    return Grid(station, newest - np.arange(9, -1, -1) * HOUR, ("temperature",), values, age)


@pytest.mark.parametrize(
    ("grids", "station"),
    [
        ([grid("AAA", NEWEST), grid("BBB", NEWEST)], "AAA"),
        ([grid("AAA", NEWEST - 5 * HOUR), grid("BBB", NEWEST)], "AAA"),
        ([grid("AAA", NEWEST - 7 * HOUR), grid("BBB", NEWEST)], "BBB"),  # later than 6 hours of freshness
        ([grid("AAA", NEWEST, missing=8), grid("BBB", NEWEST)], "BBB"),
        ([grid("BBB", NEWEST)], "BBB"),
    ],
)
def test_station_with_newest_readings_is_asked(tmp_path: Path, grids: list[Grid], station: str) -> None:
    feed = small_feed(tmp_path / "x.csv")
    tail.write_grids(tmp_path, feed.name, {each.station: each for each in grids})
    assert _station(tmp_path, feed) == station
