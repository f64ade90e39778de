"""Conformal intervals cover as stated, widen with recent variability, and survive JSON."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals, bounds_of, coverage
from aerocast.features.dataset import Dataset, Rows
from aerocast.features.features import feature_names, features
from aerocast.features.windows import targets
from aerocast.feed.policies import Split
from aerocast.models.calibration import QuantileSpec, calibrate
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
    quantiles = QuantileSpec(level, (0.05, 0.3, 0.5, 0.95))
    intervals = calibrate(SPEC, quantiles, *rearranged(made(4000, 0)), np.arange(4000) // 400)
    x, forecast, actual = made(20000, 1)
    assert coverage(intervals, x, NAMES, forecast, actual) == pytest.approx([level] * 3, abs=0.03)
    below = actual[:, :, None] <= intervals.at(forecast, intervals.distances(forecast, x, NAMES))
    assert below.mean(axis=(0, 1)) == pytest.approx(quantiles.levels, abs=0.03)


def test_skewed_errors_give_uneven_interval() -> None:
    x, forecast, actual = made(3000, 0)
    actual = forecast + np.abs(actual - forecast)
    intervals = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, np.arange(3000) // 300)
    low, high = intervals.apply(forecast, x, NAMES)
    assert ((forecast - low).mean(axis=0) < 0.1 * (high - forecast).mean(axis=0)).all()
    assert coverage(intervals, x, NAMES, forecast, actual) == pytest.approx([0.95] * 3, abs=0.06)


def test_quantiles_follow_drivers_only_where_that_pays() -> None:
    """Errors that lie above in wild hours and below in calm ones, against the same errors in any order."""
    x, forecast, actual = made(4000, 3)
    blocks = np.arange(4000) // 200
    size, wild = np.abs(actual - forecast), (x[:, [0]] > np.median(x[:, 0]))
    leaning = np.where(wild, forecast + size, forecast - size)
    following = calibrate(SPEC, QuantileSpec(0.8), x, NAMES, forecast, leaning, blocks)
    plain = msgspec.structs.replace(following, slopes=())
    assert np.abs(following.slopes).max() > 0.1
    assert winkler(following, x, forecast, leaning) < 0.9 * winkler(plain, x, forecast, leaning)
    mixed = forecast + size * np.random.default_rng(0).choice([-1, 1], size.shape)
    even = calibrate(SPEC, QuantileSpec(0.8), x, NAMES, forecast, mixed, blocks)
    assert np.abs(even.slopes).max() < 0.1 * np.abs(following.slopes).max()


def winkler(intervals: Intervals, x: np.ndarray, forecast: np.ndarray, actual: np.ndarray) -> float:
    low, high = intervals.apply(forecast, x, NAMES)
    beyond = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return float((high - low + 2 / (1 - intervals.level) * beyond).mean())


@given(
    seed=st.integers(0, 1000),
    level=st.sampled_from([0.5, 0.9]),
    wider=st.floats(0.5, 8),
    bounds=st.tuples(st.floats(-100, 40), st.floats(45, 200)),
)
def test_quantiles_never_cross_and_stay_within_bounds(
    seed: int, level: float, wider: float, bounds: tuple[float, float]
) -> None:
    generator = np.random.default_rng(seed)
    x, forecast, actual = made(300, seed)
    actual += (x[:, [0]] * generator.normal(0, 3)).astype(np.float32)
    quantiles = QuantileSpec(level, (0.02, 0.25, 0.5, 0.6, 0.99), *bounds)
    intervals = calibrate(SPEC, quantiles, x, NAMES, forecast, actual, np.arange(300) // 30)
    rows = np.where(generator.random(x.shape) < 0.2, np.nan, x * 100).astype(np.float32)
    levels = np.clip(forecast, *bounds)
    distances = intervals.distances(levels, rows, NAMES)
    quantiles, (low, high) = intervals.at(levels, distances, wider), intervals.around(levels, distances, wider)
    assert (np.diff(quantiles, axis=2) >= 0).all()
    assert (np.float32(bounds[0]) <= quantiles).all()
    assert (quantiles <= np.float32(bounds[1])).all()
    assert ((low <= levels) & (levels <= high)).all()
    first, last = (intervals.levels.index(each) for each in bounds_of(level))
    np.testing.assert_array_equal(quantiles[:, :, first], low)
    np.testing.assert_array_equal(quantiles[:, :, last], high)


def test_excess_is_one_at_the_bounds() -> None:
    x, forecast, actual = made(500, 0)
    intervals = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, np.zeros(500))
    low, high = intervals.apply(forecast, x, NAMES)
    for edge in (low, high):
        assert intervals.excess(forecast, edge, x, NAMES) == pytest.approx(np.ones_like(forecast), rel=1e-3)
    excess = intervals.excess(forecast, actual, x, NAMES)
    apart = np.abs(excess - 1) > 1e-3
    np.testing.assert_array_equal((excess > 1)[apart], ((actual < low) | (high < actual))[apart])


def test_older_release_has_even_interval() -> None:
    stored = b"""{"level": 0.9, "horizons": [1, 3], "half": [2.0, 3.0], "drivers": ["temperature_std24"], "mean": [0.0],
        "scale": [1.0], "exponents": [[0.5], [0.0]], "rows": 100, "lowest": 0.0}"""
    intervals = msgspec.json.decode(stored, type=Intervals)
    forecast, x = np.array([[1.0, 9.0]], np.float32), np.zeros((1, 1), np.float32)
    low, high = intervals.apply(forecast, x, ["temperature_std24"])
    assert (low.tolist(), high.tolist()) == ([[0.0, 6.0]], [[3.0, 12.0]])
    assert intervals.levels == (0.05, 0.95)
    assert intervals.at(forecast, intervals.distances(forecast, x, ["temperature_std24"])).shape == (1, 2, 2)


def rearranged(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray]:
    return rows[0], NAMES, rows[1], rows[2]


def test_width_follows_variability_and_ignores_missing_drivers() -> None:
    intervals = calibrate(SPEC, QuantileSpec(0.9), *rearranged(made(4000, 0)), np.zeros(4000))
    rows = np.array([[0.1, 0.1, 0], [5, 5, 0], [np.nan, np.nan, np.nan]], dtype=np.float32)
    calm, wild, unknown = np.ptp(intervals.distances(np.zeros((3, 3), np.float32), rows, NAMES), axis=2)
    assert (calm < unknown).all()
    assert (unknown < wild).all()
    assert unknown == pytest.approx(np.ptp(intervals.usual(), axis=1))


def test_rows_without_drivers_get_equal_width() -> None:
    x, forecast, actual = made(500, 0)
    intervals = calibrate(SPEC, QuantileSpec(0.9), x[:, 2:], NAMES[2:], forecast, actual, np.arange(500) // 100)
    assert intervals.drivers == ()
    assert (np.ptp(intervals.distances(forecast, x[:, 2:], NAMES[2:]), axis=0) == 0).all()


def test_correlated_errors_widen_interval() -> None:
    """A wild block must be covered by what the calm ones say, and the other way round."""
    x, forecast, _ = made(600, 0)
    x[:] = 1
    blocks = np.arange(600) // 100
    error = np.random.default_rng(0).normal(size=(600, 3)) * (1 + blocks[:, None])
    actual = (forecast + error).astype(np.float32)
    apart = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, blocks)
    together = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, np.zeros(600))
    assert (np.ptp(apart.usual(), axis=1) >= np.ptp(together.usual(), axis=1)).all()


def test_calibration_skips_missing_outcomes_and_refuses_too_few() -> None:
    x, forecast, actual = made(500, 0)
    actual[::2] = np.nan
    intervals = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, np.zeros(500))
    assert 0.85 < coverage(intervals, x, NAMES, forecast, actual)[0] < 0.95
    calibrate(SPEC, QuantileSpec(0.9), x[1:20:2], NAMES, forecast[1:20:2], actual[1:20:2], np.zeros(10))
    with pytest.raises(AeroCastError, match="9 calibration rows at horizon 1 are too few"):
        calibrate(SPEC, QuantileSpec(0.9), x[1:18:2], NAMES, forecast[1:18:2], actual[1:18:2], np.zeros(9))
    with pytest.raises(AeroCastError, match="too few"):
        calibrate(SPEC, QuantileSpec(0.9), x[:5], NAMES, forecast[:5], actual[:5], np.zeros(5))


def test_intervals_survive_json() -> None:
    intervals = calibrate(SPEC, QuantileSpec(0.9, (0.2, 0.5)), *rearranged(made(500, 0)), np.zeros(500))
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
    plain = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, np.zeros(500))
    wide = calibrate(SPEC, QuantileSpec(0.9), x, NAMES, forecast, actual, np.zeros(500), widen=(1, 1.1, 1.2))
    assert wide.usual() == pytest.approx(plain.usual() * np.array([[1], [1.1], [1.2]]))


def both_stations() -> Rows:
    """Whole series, so that each station has every hour."""
    grids = [grid("AAA", 1400, 0, gaps=0), grid("BBB", 1400, 1, gaps=0)]
    origins = np.arange(4, 1400)
    x = [features(SPEC, each, origins, grids) for each in grids]
    return Rows(np.concatenate(x), np.concatenate([targets(SPEC, each, origins) for each in grids]))
