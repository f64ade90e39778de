"""Conformal intervals cover as stated, widen with recent variability, and survive JSON."""

import msgspec
import numpy as np
import pytest

from aerocast.errors import AeroCastError
from aerocast.intervals import Intervals, calibrate, coverage
from tests.forecasters.series import SPEC

NAMES = ("temperature_std24", "temperature_std48", "other")


def made(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, forecasts and outcomes whose errors grow with the recent variability."""
    generator = np.random.default_rng(seed)
    spread = np.exp(generator.normal(0, 0.6, (rows, 1)))
    x = np.hstack([np.expm1(spread / 2), np.expm1(spread / 3), generator.normal(size=(rows, 1))]).astype(np.float32)
    forecast = generator.normal(50, 10, (rows, 3)).astype(np.float32)
    error = generator.normal(size=(rows, 3)) * spread * np.array([1, 3, 6])
    return x, forecast, (forecast + error).astype(np.float32)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_new_rows_are_covered_as_stated(level: float) -> None:
    intervals = calibrate(SPEC, *rearranged(made(4000, 0)), np.arange(4000) // 400, level)
    x, forecast, actual = made(20000, 1)
    assert coverage(intervals, x, NAMES, forecast, actual) == pytest.approx([level] * 3, abs=0.03)


def rearranged(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray]:
    return rows[0], NAMES, rows[1], rows[2]


def test_width_follows_variability_and_not_what_is_missing() -> None:
    intervals = calibrate(SPEC, *rearranged(made(4000, 0)), np.zeros(4000), 0.9)
    calm, wild, unknown = intervals.widths(
        np.array([[0.1, 0.1, 0], [5, 5, 0], [np.nan, np.nan, np.nan]], dtype=np.float32), NAMES
    )
    assert (calm < unknown).all()
    assert (unknown < wild).all()
    assert unknown == pytest.approx(intervals.half)
    low, high = intervals.apply(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), NAMES)
    np.testing.assert_array_equal(low, -high)


def test_rows_without_drivers_get_one_width() -> None:
    x, forecast, actual = made(500, 0)
    intervals = calibrate(SPEC, x[:, 2:], NAMES[2:], forecast, actual, np.arange(500) // 100, 0.9)
    assert intervals.drivers == ()
    assert (np.ptp(intervals.widths(x[:, 2:], NAMES[2:]), axis=0) == 0).all()


def test_blocks_that_err_together_widen_the_interval() -> None:
    """A wild block must be covered by what the calm ones say, and the other way round."""
    x, forecast, _ = made(600, 0)
    x[:] = 1
    blocks = np.arange(600) // 100
    error = np.random.default_rng(0).normal(size=(600, 3)) * (1 + blocks[:, None])
    apart = calibrate(SPEC, x, NAMES, forecast, forecast + error, blocks, 0.9)
    together = calibrate(SPEC, x, NAMES, forecast, forecast + error, np.zeros(600), 0.9)
    assert (np.array(apart.half) >= np.array(together.half)).all()


def test_missing_outcomes_do_not_count_and_too_few_are_refused() -> None:
    x, forecast, actual = made(500, 0)
    actual[::2] = np.nan
    intervals = calibrate(SPEC, x, NAMES, forecast, actual, np.zeros(500), 0.9)
    assert 0.85 < coverage(intervals, x, NAMES, forecast, actual)[0] < 0.95
    with pytest.raises(AeroCastError, match="too few"):
        calibrate(SPEC, x[:5], NAMES, forecast[:5], actual[:5], np.zeros(5), 0.9)


def test_intervals_survive_json() -> None:
    intervals = calibrate(SPEC, *rearranged(made(500, 0)), np.zeros(500), 0.9)
    assert msgspec.json.decode(msgspec.json.encode(intervals), type=Intervals) == intervals
