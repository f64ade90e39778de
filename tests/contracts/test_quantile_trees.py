"""Trees of an interval's bounds: the arrays answer as the booster does, malformed ones are refused."""

from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts.intervals import Intervals, coverage
from aerocast.contracts.quantile_trees import Ensemble, QuantileTrees
from aerocast.features.dataset import Dataset, Rows
from aerocast.models import quantile_trees
from aerocast.models.calibration import QuantileSpec, calibrate
from aerocast.models.fit import Fit
from aerocast.models.kinds.persistence import Persistence
from tests.factories.series import SPEC

NAMES = ("other", f"{SPEC.target}_lag0", "temperature_std24")
BOUNDS = (0.05, 0.95)


class Teller(Persistence):
    """A model that can tell which columns decide."""

    columns: tuple[int, ...] = (0, 1, 2)

    def decisive(self, at: int) -> tuple[int, ...]:
        return self.columns


def made(rows: int, seed: int) -> Rows:
    """Changes that are three times as wild where `other` lies in the middle: no straight line follows that."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 3)).astype(np.float32)
    x[:, 2] = 1
    wild = np.where(np.abs(x[:, 0]) < 0.5, 3.0, 1.0)
    y = x[:, [1]] + generator.normal(size=(rows, len(SPEC.horizons))) * wild[:, None]
    x[generator.random(x.shape) < 0.02] = np.nan
    return Rows(x, y.astype(np.float32))


def grown(rows: Rows | None = None, *, tells: bool = True) -> tuple[QuantileTrees, ...]:
    rows = rows or made(4000, 0)
    data = Dataset(SPEC, NAMES, rows, rows.take(np.arange(0)))
    model = (Teller if tells else Persistence)(1, len(NAMES), len(SPEC.horizons))
    return quantile_trees.grow(Fit(model, data, np.arange(len(rows.x)), {}, "", (-np.inf, np.inf)), BOUNDS)


def test_arrays_answer_as_booster(monkeypatch: pytest.MonkeyPatch) -> None:
    boosters: list[xgboost.Booster] = []
    train = xgboost.train

    def keep(*given: Any) -> xgboost.Booster:
        boosters.append(train(*given))
        return boosters[-1]

    monkeypatch.setattr(xgboost, "train", keep)
    x = made(500, 1).x
    ensemble = quantile_trees._ensemble(made(800, 2).x, np.random.default_rng(3).normal(size=800), 0.3)
    answers = boosters[0].predict(xgboost.DMatrix(x)) + ensemble.start
    np.testing.assert_allclose(ensemble.values(x), answers, rtol=1e-4, atol=1e-4)


def test_same_rows_give_same_trees() -> None:
    assert msgspec.json.encode(grown()) == msgspec.json.encode(grown())


def test_quantiles_hold_their_share_of_new_rows() -> None:
    rows = made(8000, 5)
    for at, trees in enumerate(grown()):
        ends = trees.ends(rows.x, {name: place for place, name in enumerate(NAMES)})
        known = np.isfinite(ends).all(axis=1) & np.isfinite(rows.y[:, at])
        below = (rows.y[known, at, None] < ends[known]).mean(axis=0)
        assert below == pytest.approx(BOUNDS, abs=0.04)


def intervals(trees: tuple[QuantileTrees, ...]) -> Intervals:
    rows = made(2000, 7)
    forecast = np.repeat(np.nan_to_num(rows.x[:, [1]]), len(SPEC.horizons), axis=1)
    quantiles = QuantileSpec(0.9, (0.25, 0.5, 0.75))
    return calibrate(SPEC, quantiles, rows.x, NAMES, forecast, rows.y, np.arange(2000) // 100, None, trees)


def test_bounds_follow_trees_where_they_lose_less() -> None:
    with_trees, without = intervals(grown()), intervals(())
    assert all(with_trees.trees)
    assert without.trees == ()
    rows = made(8000, 8)
    rows = rows.take(np.flatnonzero(np.isfinite(rows.x).all(axis=1)))
    forecast = np.repeat(rows.x[:, [1]], len(SPEC.horizons), axis=1)
    losses = []
    for each in (with_trees, without):
        assert coverage(each, rows.x, NAMES, forecast, rows.y) == pytest.approx([0.9] * len(SPEC.horizons), abs=0.04)
        low, high = each.apply(forecast, rows.x, NAMES)
        outside = np.maximum(low - rows.y, 0) + np.maximum(rows.y - high, 0)
        losses.append((high - low + 20 * outside).mean(axis=0))
    assert (losses[0] < losses[1]).all()


def test_trees_of_chance_do_not_count() -> None:
    """Trees of an outcome that has nothing to do with these rows."""
    generator = np.random.default_rng(9)
    rows = made(3000, 9)
    noise = Rows(rows.x, rows.x[:, [1]] + 50 * generator.standard_cauchy(rows.y.shape).astype(np.float32))
    assert intervals(grown(noise)).trees == ()


@given(st.integers(0, 2**32 - 1))
def test_quantiles_stay_in_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 10, (20, 3)).astype(np.float32)
    x[:, 2] = np.abs(x[:, 2])
    x[generator.random(x.shape) < 0.2] = np.nan
    forecast = generator.normal(0, 10, (20, len(SPEC.horizons))).astype(np.float32)
    values = TREES.at(forecast, TREES.distances(forecast, x, NAMES))
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=2) >= 0).all()


def test_intervals_survive_json() -> None:
    again = msgspec.json.decode(msgspec.json.encode(TREES), type=Intervals)
    rows = made(50, 11)
    forecast = np.zeros((50, len(SPEC.horizons)), dtype=np.float32)
    np.testing.assert_array_equal(again.distances(forecast, rows.x, NAMES), TREES.distances(forecast, rows.x, NAMES))


def test_few_rows_or_kind_that_cannot_tell_grow_nothing() -> None:
    assert grown(made(200, 0)) == ()
    assert grown(tells=False) == ()


MALFORMED: list[dict[str, object]] = [
    {"depth": 0},
    {"depth": 60},
    {"depth": 3},
    {"columns": b""},
    {"columns": b"\xff" * 3000},
    {"leaves": b"\x00"},
    {"start": float("nan")},
]


@pytest.mark.parametrize("change", MALFORMED)
def test_malformed_arrays_are_refused(change: dict[str, object]) -> None:
    whole = msgspec.to_builtins(grown()[0].low)
    with pytest.raises(msgspec.ValidationError, match="quantile trees"):
        msgspec.convert(whole | change, Ensemble)


def test_columns_beyond_features_are_refused() -> None:
    whole = msgspec.to_builtins(grown()[0])
    with pytest.raises(msgspec.ValidationError, match="beyond"):
        msgspec.convert(whole | {"features": ["other"]}, QuantileTrees)


TREES = intervals(grown())
