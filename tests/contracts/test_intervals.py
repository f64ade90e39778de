"""Conformal intervals cover as stated, widen with recent variability, and survive JSON."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals, calibrate, coverage
from aerocast.features.dataset import Dataset, Rows
from aerocast.features.features import feature_names, features
from aerocast.features.windows import targets
from aerocast.feed.policies import Split
from aerocast.models.forward import forward_factors
from tests.factories.series import HOUR, SPEC, START, grid

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
def test_intervals_cover_new_rows_at_stated_level(level: float) -> None:
    intervals = calibrate(SPEC, *rearranged(made(4000, 0)), np.arange(4000) // 400, level)
    x, forecast, actual = made(20000, 1)
    assert coverage(intervals, x, NAMES, forecast, actual) == pytest.approx([level] * 3, abs=0.03)


def rearranged(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray]:
    return rows[0], NAMES, rows[1], rows[2]


def test_width_follows_variability_and_ignores_missing_drivers() -> None:
    intervals = calibrate(SPEC, *rearranged(made(4000, 0)), np.zeros(4000), 0.9)
    calm, wild, unknown = intervals.widths(
        np.array([[0.1, 0.1, 0], [5, 5, 0], [np.nan, np.nan, np.nan]], dtype=np.float32), NAMES
    )
    assert (calm < unknown).all()
    assert (unknown < wild).all()
    assert unknown == pytest.approx(intervals.half)
    low, high = intervals.apply(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), NAMES)
    np.testing.assert_array_equal(low, -high)


def test_rows_without_drivers_get_equal_width() -> None:
    x, forecast, actual = made(500, 0)
    intervals = calibrate(SPEC, x[:, 2:], NAMES[2:], forecast, actual, np.arange(500) // 100, 0.9)
    assert intervals.drivers == ()
    assert (np.ptp(intervals.widths(x[:, 2:], NAMES[2:]), axis=0) == 0).all()


def test_correlated_errors_widen_interval() -> None:
    """A wild block must be covered by what the calm ones say, and the other way round."""
    x, forecast, _ = made(600, 0)
    x[:] = 1
    blocks = np.arange(600) // 100
    error = np.random.default_rng(0).normal(size=(600, 3)) * (1 + blocks[:, None])
    actual = (forecast + error).astype(np.float32)
    apart = calibrate(SPEC, x, NAMES, forecast, actual, blocks, 0.9)
    together = calibrate(SPEC, x, NAMES, forecast, actual, np.zeros(600), 0.9)
    assert (np.array(apart.half) >= np.array(together.half)).all()


def test_calibration_skips_missing_outcomes_and_refuses_too_few() -> None:
    x, forecast, actual = made(500, 0)
    actual[::2] = np.nan
    intervals = calibrate(SPEC, x, NAMES, forecast, actual, np.zeros(500), 0.9)
    assert 0.85 < coverage(intervals, x, NAMES, forecast, actual)[0] < 0.95
    calibrate(SPEC, x[1:20:2], NAMES, forecast[1:20:2], actual[1:20:2], np.zeros(10), 0.9)
    with pytest.raises(AeroCastError, match="9 calibration rows at horizon 1 are too few"):
        calibrate(SPEC, x[1:18:2], NAMES, forecast[1:18:2], actual[1:18:2], np.zeros(9), 0.9)
    with pytest.raises(AeroCastError, match="too few"):
        calibrate(SPEC, x[:5], NAMES, forecast[:5], actual[:5], np.zeros(5), 0.9)


def test_intervals_survive_json() -> None:
    intervals = calibrate(SPEC, *rearranged(made(500, 0)), np.zeros(500), 0.9)
    assert msgspec.json.decode(msgspec.json.encode(intervals), type=Intervals) == intervals


def test_forward_factor_never_exceeds_past_growth() -> None:
    data = both_stations()
    times = np.tile(START + np.arange(len(data.x) // 2) * HOUR, 2)
    training = Dataset(SPEC, tuple(feature_names(SPEC)), data, data)
    split = Split(block=timedelta(days=3))
    factors = forward_factors(training, times, split, 0.9)
    assert factors == pytest.approx(forward_factors(training, times, split, 0.9))
    assert all(1 <= factor <= 1.5 for factor in factors)
    assert forward_factors(training, times, Split(block=timedelta(days=30)), 0.9) == (1.0, 1.0, 1.0)
    x, forecast, actual = made(500, 0)
    plain = calibrate(SPEC, x, NAMES, forecast, actual, np.zeros(500), 0.9)
    wide = calibrate(SPEC, x, NAMES, forecast, actual, np.zeros(500), 0.9, widen=(1, 1.1, 1.2))
    assert np.array(wide.half) / np.array(plain.half) == pytest.approx([1, 1.1, 1.2])


def both_stations() -> Rows:
    """Whole series, so that each station has every hour."""
    grids = [grid("AAA", 1400, 0, gaps=0), grid("BBB", 1400, 1, gaps=0)]
    origins = np.arange(4, 1400)
    x = [features(SPEC, each, origins, grids) for each in grids]
    return Rows(np.concatenate(x), np.concatenate([targets(SPEC, each, origins) for each in grids]))
