"""Features of rows of many grids in one pass are those of each row alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.features.features import feature_names, features, select
from aerocast.features.grid import Ahead, Grid, Place, WindowSpec
from aerocast.features.joined import Origin, features_of

COLUMNS = ("load", "wind")
PLACES = (Place("A", "Europe/Berlin", 52.5, 13.4), Place("B", "America/New_York", 40.7, -74.0), Place("C", "UTC"))


def spec(*, profile: int = 0, ahead: bool = False, interpolated: tuple[str, ...] = ()) -> WindowSpec:
    known = (Ahead("sun", 2), Ahead("rain", 0, is_perfect=True)) if ahead else ()
    return WindowSpec("load", COLUMNS, COLUMNS, ("sun", "rain") if ahead else (), 3, 30, 6, 3600, (1, 2, 5), PLACES,
                      (6, 12), ahead=known, interpolated=interpolated, profile=profile)  # fmt: skip


SPECS = [spec(), spec(profile=3), spec(interpolated=COLUMNS), spec(ahead=True, interpolated=("wind",))]


@st.composite
def grids(draw: st.DrawFn, window: WindowSpec) -> Grid:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    station, length = draw(st.sampled_from("ABCX")), draw(st.integers(1, 50))
    names = [*window.inputs, *(each.column(lead) for each in window.ahead for lead in range(8))]
    columns = tuple(name for name in names if name == "load" or draw(st.integers(0, 9)))
    values = random.normal(50, 10, (length, len(columns))).astype(np.float32)
    age = np.where(random.random(values.shape) < 0.2, random.integers(1, 4, values.shape), 0).astype(np.float32)
    missing = random.random(values.shape) < draw(st.sampled_from([0, 0.2]))
    values[missing], age[missing] = np.nan, np.nan
    start = np.datetime64("2024-03-30T00:00:00", "s") + draw(st.integers(0, 40)) * np.timedelta64(3600, "s")
    start = start if draw(st.integers(0, 9)) else np.datetime64("NaT", "s")
    return Grid(station, start + np.arange(length) * np.timedelta64(3600, "s"), columns, values, age)


@pytest.mark.parametrize("window", SPECS, ids=["plain", "profile", "lines", "ahead"])
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_rows_joined_are_rows_alone(window: WindowSpec, data: st.DataObject) -> None:
    tail = [each for each in data.draw(st.lists(grids(window), max_size=3)) if not np.isnat(each.time[0])]
    tail = list({each.station: each for each in tail}.values())
    own = data.draw(st.lists(grids(window), min_size=1, max_size=5)) + tail
    parts = [
        Origin(grid, data.draw(st.integers(0, len(grid.time) - 1)), tail if data.draw(st.booleans()) else ())
        for grid in own
    ]
    names = data.draw(st.sampled_from([feature_names(window), feature_names(window)[::3]]))
    only = select(window, names)
    joined = features_of(window, parts, only)
    assert joined.shape == (len(parts), len(names))
    for row, part in zip(joined, parts, strict=True):
        (alone,) = features(window, part.grid, np.array([part.row]), part.others, only)
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-3)


def test_no_rows_are_no_features() -> None:
    window = spec()
    assert features_of(window, [], select(window, ["load_lag0"])).shape == (0, 1)
