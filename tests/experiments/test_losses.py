"""Measures by hand: quantile loss, interval score, and errors in units of seasonal naive's."""

import numpy as np
import pytest

from aerocast.contracts.intervals import Intervals
from aerocast.experiments.losses import Losses, measures


def fixed(forecast: list[float], actual: list[float]) -> Losses:
    """One horizon; the 80 % interval is 2 around the forecast, the median the forecast."""
    intervals = Intervals(0.8, (1,), (), (), (), (), ((),), 100, quantiles=(0.1, 0.5, 0.9), offsets=((-2.0, 0.0, 2.0),))
    values, x = np.array(forecast, dtype=np.float32)[:, None], np.zeros((len(forecast), 0), dtype=np.float32)
    return Losses.of(values, np.array(actual, dtype=np.float32)[:, None], intervals, x, [])


def test_measures_are_those_of_the_textbook() -> None:
    forecast, actual = [10.0, 10.0, 10.0], [10.0, 11.0, 14.0]
    own = fixed(forecast, actual)
    pinball = [0.1 * 2 + 0.1 * 2, 0.1 * 3 + 0.5 * 1 + 0.1 * 1, 0.1 * 6 + 0.5 * 4 + 0.9 * 2]
    scale = np.full((3, 1), 2.5)
    found = measures(own, np.array(actual)[:, None], scale, np.ones(3, dtype=bool), 0)
    assert found == {
        "rmse": pytest.approx((17 / 3) ** 0.5),
        "mae": pytest.approx(5 / 3),
        "mase": pytest.approx(5 / 3 / 2.5),
        "wql": pytest.approx(2 * sum(pinball) / 3 / 35),
        "coverage": pytest.approx(2 / 3),
        "winkler": pytest.approx(4 + 10 * 2 / 3),
    }


def test_what_cannot_be_told_is_none() -> None:
    own = fixed([1.0], [0.0])
    found = measures(own, np.zeros((1, 1)), np.full((1, 1), np.nan), np.ones(1, dtype=bool), 0)
    assert (found["mase"], found["wql"]) == (None, None)


def test_missing_outcome_has_no_loss() -> None:
    own = fixed([1.0, 1.0], [np.nan, 1.0])
    for part in (own.error, own.quantile, own.inside, own.winkler):
        assert np.isfinite(part[:, 0]).tolist() == [False, True]
