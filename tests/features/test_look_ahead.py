"""Look-ahead guard: for every feed of the project, nothing later than an origin changes what a model sees there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.times import to_numpy
from aerocast.features.features import features, together
from aerocast.features.grid import Ahead, Grid, Holidays, WindowSpec
from aerocast.features.windows import valid_origins
from aerocast.tables import silver
from aerocast_assets.feeds import declarations

FEEDS = {each.name: each.feed for each in declarations() if each.feed}
TARGETS = [(feed.name, target) for feed in FEEDS.values() for target in feed.targets]


def spec_of(name: str, target: str) -> WindowSpec:
    """The window of a target, as if its feed also knew a forecast ahead and declared all of a calendar."""
    spec = WindowSpec.of(FEEDS[name], target)
    week = round(timedelta(days=7).total_seconds()) // spec.cadence
    holidays = spec.holidays or (Holidays("XX", ("2024-03-29", "2024-04-01")),)
    return msgspec.structs.replace(
        spec,
        look_back=max(spec.look_back, week + 1),
        seasons=tuple(sorted({*spec.seasons, week})),
        holidays=holidays,
        operating_hours=("Mo-Fr 06:00-20:00", "PH off"),
        ahead=(Ahead("outlook", 2),),
        places=tuple(msgspec.structs.replace(place, holidays=holidays[0].name) for place in spec.places),
    )


def grids(spec: WindowSpec, columns: tuple[str, ...], seed: int) -> list[Grid]:
    """Two stations over the change of clocks, with gaps and with vintages of a forecast."""
    made, rows = np.random.default_rng(seed), spec.look_back + 120
    leads = sorted({horizon + age for horizon in spec.horizons for age in range(3)})
    names = (*columns, *(spec.ahead[0].column(lead) for lead in leads))
    step = np.timedelta64(spec.cadence, "s")
    start = to_numpy(datetime(2024, 3, 30, tzinfo=UTC)) - (rows - 60) * step
    time = start.astype("datetime64[s]") + np.arange(rows) * step
    stations = [place.id for place in spec.places][:2]
    return [
        Grid(
            station,
            time,
            names,
            made.random((rows, len(names)), dtype=np.float32),
            made.integers(0, 3, (rows, len(names))).astype(np.float32),
        )
        for station in stations
    ]


@pytest.mark.parametrize(("name", "target"), TARGETS)
@given(seed=st.integers(0, 9), back=st.integers(1, 110), value=st.floats(-1e3, 1e3), days=st.integers(1, 30))
def test_nothing_later_than_an_origin_changes_its_features(
    name: str, target: str, seed: int, back: int, value: float, days: int
) -> None:
    spec = spec_of(name, target)
    series = grids(spec, silver.names(FEEDS[name]), seed)
    origin = len(series[0].time) - back
    changed = [replace(each, values=each.values.copy(), age=each.age.copy()) for each in series]
    for each in changed:
        each.values[origin + 1 :], each.age[origin + 1 :] = value, 1
    end = series[0].time[origin] + spec.horizons[-1] * np.timedelta64(spec.cadence, "s") + np.timedelta64(2, "D")
    later = msgspec.structs.replace(spec, holidays=tuple(_shifted(each, end, days) for each in spec.holidays))
    at = np.array([origin])
    before = features(spec, series[0], at, together(spec, series))
    np.testing.assert_array_equal(before, features(later, changed[0], at, together(spec, changed)))
    tail = [each.tail(back + spec.look_back - 1) for each in series]
    np.testing.assert_array_equal(before, features(spec, tail[0], np.array([spec.look_back - 1]), tail))


def _shifted(calendar: Holidays, end: np.datetime64, days: int) -> Holidays:
    """The calendar with another future, from `end` on, about which no target of the origin asks."""
    dates = np.array(calendar.days, dtype="datetime64[D]")
    moved = np.where(dates > end.astype("datetime64[D]"), dates + days, dates)
    return Holidays(calendar.name, tuple(str(each) for each in moved))


def test_every_feed_has_origins_in_this_test() -> None:
    for name, target in TARGETS:
        spec = spec_of(name, target)
        assert len(valid_origins(spec, grids(spec, silver.names(FEEDS[name]), 0)[0]))
