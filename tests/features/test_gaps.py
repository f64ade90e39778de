"""Interpolated gaps: a line where a gap was closed by the origin, the last value where it is still open there."""

from dataclasses import replace

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerocast.features.features import features, select
from aerocast.features.grid import Floats, Grid
from tests.factories.series import HOUR, SPEC, START, grid

LINES = msgspec.structs.replace(SPEC, interpolated=("temperature", "humidity"))
FULL, OTHER = grid(gaps=0.3), grid("BBB", seed=7, gaps=0.3)
NEAR = {"rtol": 1e-5, "atol": 1e-4}
LAGS = [f"temperature_lag{lag}" for lag in range(12)]


def window(series: Grid, origin: int) -> list[float]:
    """The newest twelve temperatures that a model sees, oldest first."""
    (row,) = features(LINES, series, np.array([origin]), only=select(LINES, LAGS))
    return [round(float(value), 3) for value in row[::-1]]


def series(measured: list[float | None], limit: int = 3) -> Grid:
    """A grid whose temperature was measured at some steps, filled with the last value for at most `limit` steps."""
    values, ages = [], []
    value, age = np.nan, np.nan
    for each in measured:
        value, age = (value, age + 1) if each is None else (each, 0)
        values.append(value if age <= limit else np.nan)
        ages.append(age if age <= limit else np.nan)
    columns = (*SPEC.columns, *SPEC.covariates)
    table, old = (np.full((len(measured), len(columns)), np.nan, np.float32) for _ in range(2))
    table[:, 0], old[:, 0] = values, ages
    return Grid("AAA", START + np.arange(len(measured)) * HOUR, columns, table, old)


def test_closed_gap_is_line_and_open_gap_is_last_value() -> None:
    one = series([1, 1, 1, 1, 1, 1, 1, 2, None, None, 8, None, None, 9])
    assert window(one, 9)[-3:] == [2, 2, 2], "the gap is open at this origin"
    assert window(one, 10)[-4:] == [2, 4, 6, 8]
    assert window(one, 12)[-6:] == [2, 4, 6, 8, 8, 8]
    assert window(one, 13)[-5:] == [6, 8, 8.333, 8.667, 9]


def test_gap_beyond_policy_is_not_interpolated() -> None:
    one = series([1, 1, 1, 1, 1, 1, 1, 2, None, None, None, None, 12, 13])
    np.testing.assert_array_equal(window(one, 13)[-7:], [2, 2, 2, 2, np.nan, 12, 13])


def test_other_columns_hold_their_last_value() -> None:
    plain, lines = (features(spec, FULL, np.array([300])) for spec in (SPEC, LINES))
    names = [f"windspeed_lag{lag}" for lag in range(12)]
    np.testing.assert_array_equal(
        *(features(spec, FULL, np.array([300]), only=select(spec, names)) for spec in (SPEC, LINES))
    )
    assert not np.array_equal(plain, lines, equal_nan=True)


@given(origin=st.integers(0, 599), later=st.floats(-1e6, 1e6), age=st.sampled_from([0.0, 1.0, np.nan]))
def test_features_of_origin_ignore_what_is_measured_later(origin: int, later: float, age: float) -> None:
    changed, neighbour = (replace(each, values=each.values.copy(), age=each.age.copy()) for each in (FULL, OTHER))
    for each in (changed, neighbour):
        each.values[origin + 1 :] = later
        each.age[origin + 1 :] = age
    at = np.array([origin])
    np.testing.assert_array_equal(features(LINES, FULL, at, [OTHER]), features(LINES, changed, at, [neighbour]))


@given(origin=st.integers(47, 599))
def test_tail_gives_same_features_as_whole_history(origin: int) -> None:
    rows = slice(origin - 47, origin + 1)
    tail = replace(FULL, time=FULL.time[rows], values=FULL.values[rows], age=FULL.age[rows])
    whole: Floats = features(LINES, FULL, np.array([origin]))
    np.testing.assert_allclose(whole, features(LINES, tail, np.array([47])), **NEAR)


def test_many_origins_equal_one_by_one() -> None:
    at = np.arange(40, 200)
    alone = np.concatenate([features(LINES, FULL, np.array([each])) for each in at])
    np.testing.assert_array_equal(features(LINES, FULL, at), alone)
