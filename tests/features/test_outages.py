"""A silence is bridged by the last season that was measured, and by nothing later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.features.features import features, select
from aerocast.features.grid import Floats, Grid
from aerocast.features.outages import (
    age_and_extent,
    age_classes,
    bridged,
    extent_names,
    rows_needed,
    silenced,
    with_column,
)
from aerocast.features.windows import valid_origins
from tests.factories.series import SPEC, grid

WHOLE = grid(hours=400, gaps=0.0)
OTHER = grid("BBB", hours=400, seed=1, gaps=0.0)


def quiet(steps: int, holes: tuple[int, ...] = ()) -> Floats:
    """WHOLE's temperature, silent in its newest steps and in `holes`; NaN where it was not measured."""
    values = WHOLE.values[:, 0].copy()
    values[len(values) - steps :] = np.nan
    values[list(holes)] = np.nan
    return values


def silent_grid(steps: int, holes: tuple[int, ...] = ()) -> Grid:
    is_silent = np.isnan(quiet(steps, holes))
    return with_column(WHOLE, 0, *silenced(WHOLE.values[:, 0], WHOLE.age[:, 0], is_silent, "last", 6))


@given(steps=st.integers(7, 190), holes=st.sets(st.integers(0, 399), max_size=60))
def test_silence_is_bridged_by_last_measured_season(steps: int, holes: set[int]) -> None:
    values = quiet(steps, tuple(holes))
    newest = int(np.flatnonzero(np.isfinite(values))[-1])
    across = bridged(SPEC, silent_grid(steps, tuple(holes)))
    expected = []
    for row in range(newest + 1, 400):
        seasons = [values[row - 24 * k] for k in range(1, row // 24 + 1) if row - 24 * k <= newest]
        expected.append(next((each for each in seasons if np.isfinite(each)), np.nan))
    if np.isnan(expected[-5:]).any() or 399 - newest > 192:
        assert across is None
        return
    assert across is not None
    np.testing.assert_array_equal(across.values[newest + 1 :, 0], np.float32(expected))
    np.testing.assert_array_equal(across.age[newest + 1 :, 0], np.arange(1, 400 - newest))
    np.testing.assert_array_equal(across.values[:, 1:], WHOLE.values[:, 1:])
    assert valid_origins(SPEC, across)[-1] == 399


@given(steps=st.integers(1, 192))
def test_tail_of_server_bridges_as_whole_history(steps: int) -> None:
    rows = rows_needed(SPEC.look_back, SPEC.season, SPEC.cadence)
    whole, short = (bridged(SPEC, each) for each in (silent_grid(steps), silent_grid(steps).tail(rows)))
    assert whole is not None
    assert short is not None
    back = SPEC.look_back
    np.testing.assert_array_equal(whole.values[-back:], short.values[-back:])
    np.testing.assert_array_equal(whole.age[-back:], short.age[-back:])


def test_silence_that_is_too_long_is_not_bridged() -> None:
    assert bridged(SPEC, silent_grid(192)) is not None
    assert bridged(SPEC, silent_grid(193)) is None
    assert bridged(SPEC, silent_grid(400)) is None
    assert bridged(SPEC, WHOLE.tail(3)) is None


def test_hole_among_newest_steps_is_bridged_after_a_return() -> None:
    made = silent_grid(0, tuple(range(300, 398)))
    assert valid_origins(SPEC, made)[-1] < 398
    across = bridged(SPEC, made)
    assert across is not None
    assert valid_origins(SPEC, across)[-1] == 399
    assert across.age[-1, 0] == 0
    np.testing.assert_array_equal(across.values[-4:-2, 0], WHOLE.values[-4 - 24 * 5 : -2 - 24 * 5, 0])


@pytest.mark.parametrize(
    ("method", "values", "ages"),
    [
        ("last", [1, 1, 1, np.nan], [0, 1, 2, np.nan]),
        ("interpolate", [1, 1, 1, np.nan], [0, 1, 2, np.nan]),
        ("zero", [1, 0, 0, np.nan], [0, 1, 2, np.nan]),
        ("none", [1, np.nan, np.nan, np.nan], [0, np.nan, np.nan, np.nan]),
    ],
)
def test_silence_is_filled_by_the_method_of_the_gap_policy(method: str, values: list[float], ages: list[float]) -> None:
    column, is_silent = np.arange(1, 5, dtype=np.float32), np.array([False, True, True, True])
    own, age = silenced(column, np.zeros(4, dtype=np.float32), is_silent, method, 2)
    np.testing.assert_array_equal(own, np.float32(values))
    np.testing.assert_array_equal(age, np.float32(ages))


def test_classes_of_age_fit_cadence_and_gap_policy() -> None:
    assert age_classes(3600, 6) == (1, 6, 12, 24, 72, 192)
    assert age_classes(3600, 0) == (1, 12, 24, 72, 192)
    assert age_classes(3600, 24) == (1, 12, 24, 72, 192)
    assert age_classes(3600, 500) == (1, 12, 24, 72, 192, 500)
    assert age_classes(300, 6) == (6, 12, 144, 288, 864, 2304)
    assert age_classes(86_400, 0) == (1, 3, 8)


def test_extent_says_what_else_is_silent() -> None:
    at, names = np.array([399]), extent_names(SPEC)

    def extent(station: Grid, others: list[Grid]) -> tuple[float, int]:
        row = features(SPEC, station, at, others, select(SPEC, names))
        age, which = age_and_extent(SPEC, names, row)
        return float(age[0]), int(which[0])

    across = bridged(SPEC, silent_grid(30))
    assert across is not None
    alone = across
    for column in range(1, 4):
        nothing = np.full(400, np.nan, dtype=np.float32)
        alone = with_column(alone, column, nothing, nothing)
    assert extent(WHOLE, [OTHER]) == (0, 3)
    assert extent(across, [OTHER]) == (30, 3)
    assert extent(across, []) == (30, 2)
    assert extent(alone, [OTHER]) == (30, 1)
    assert extent(alone, []) == (30, 0)
