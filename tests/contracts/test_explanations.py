"""Parts are Shapley values: they sum to the forecast, are exact where groups act in pairs, and 0 without influence."""

import math
from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.contracts.explanations import MOST_ROWS, explain, pack, typical_rows, unpack
from aerocast.features.grid import Floats, Ints
from aerocast.features.groups import feature_groups
from aerocast.models.kinds.linear import Linear, LinearParameters
from aerocast.models.kinds.xgboost import Xgboost, XgboostParameters
from tests.factories.series import SPEC, training

Forecast = Callable[[Floats], Floats]
HOUR = np.timedelta64(3600, "s")


def games(seed: int, features: int, groups: int) -> tuple[Floats, Floats, Ints, np.random.Generator]:
    """A row and typical rows, of features in groups that all have one."""
    made = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(groups), made.integers(0, groups, features - groups)])
    rows = made.normal(size=(1 + made.integers(1, 6), features)).astype(np.float32)
    return rows[:1], rows[1:], owner, made


def shapley(forecast: Forecast, row: Floats, typical: Floats, owner: Ints) -> np.ndarray:
    """Parts (G, H) by their definition, over all coalitions."""
    groups = int(owner.max()) + 1

    @cache
    def worth(coalition: tuple[int, ...]) -> np.ndarray:
        return np.asarray(forecast(np.where(np.isin(owner, coalition), row, typical)), np.float64).mean(axis=0)

    parts = np.zeros((groups, len(worth(()))))
    for group in range(groups):
        others = [each for each in range(groups) if each != group]
        for size in range(groups):
            share = math.factorial(size) * math.factorial(groups - size - 1) / math.factorial(groups)
            for coalition in combinations(others, size):
                parts[group] += share * (worth(tuple(sorted((*coalition, group)))) - worth(coalition))
    return parts


@given(st.integers(0, 10_000), st.integers(1, 7))
def test_base_and_parts_sum_to_forecast(seed: int, groups: int) -> None:
    row, typical, owner, made = games(seed, groups + 3, groups)
    weights = made.normal(size=(groups + 3, 2))

    def forecast(x: Floats) -> Floats:
        return np.tanh(x @ weights).astype(np.float32)

    base, parts = explain(forecast, row, typical, owner)
    assert base == pytest.approx(forecast(typical).astype(np.float64).mean(axis=0))
    assert base + parts[0].sum(axis=0) == pytest.approx(forecast(row)[0], abs=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_parts_are_exact_where_groups_act_in_pairs(seed: int, groups: int) -> None:
    row, typical, owner, made = games(seed, groups + 3, groups)
    pairs, weights = made.normal(size=(groups + 3, groups + 3)), made.normal(size=groups + 3)

    def forecast(x: Floats) -> Floats:
        return np.stack([x @ weights, np.einsum("ni,ij,nj->n", x, pairs, x)], axis=1)

    _, parts = explain(forecast, row, typical, owner)
    assert parts[0] == pytest.approx(shapley(forecast, row, typical, owner), abs=1e-6)


def test_unused_group_has_no_part_even_beside_missing_values() -> None:
    row, typical, owner, _ = games(1, 9, 4)
    row[0, owner == 2], typical[0, owner == 2] = np.nan, np.nan

    def forecast(x: Floats) -> Floats:
        return np.prod(x[:, owner != 2], axis=1, keepdims=True)

    _, parts = explain(forecast, row, typical, owner)
    assert parts[0, 2, 0] == 0
    assert (parts[0, [0, 1, 3], 0] != 0).all()


def test_linear_model_has_its_own_terms() -> None:
    """The terms are weights times scaled features; where weights turn with the hour, groups act in pairs."""
    data = training()
    model = Linear.fit(data, LinearParameters(), lambda *_: None)
    design, weights = model.ridge.design, model.ridge.weights
    _, owner = feature_groups(SPEC, data.names)
    row, typical = data.validation.x[90:91], data.validation.x[40:280:30]
    base, parts = explain(model.predict, row, typical, owner)
    assert parts[0] == pytest.approx(shapley(model.predict, row, typical, owner), abs=1e-3)
    plain = np.flatnonzero((weights[design.plain :] == 0).all(axis=0))
    assert len(plain), "some horizon of these data has the plain form"
    of_column = np.concatenate([owner, owner[list(design.flags)]])
    moved = (design.matrix(row)[0] - design.matrix(typical).mean(axis=0))[: design.plain, None] * weights[
        : design.plain
    ]
    last = row[0, data.last] - typical[:, data.last].mean()
    for group in range(int(owner.max()) + 1):
        terms = moved[of_column == group].sum(axis=0) + (last if group == owner[data.last] else 0)
        assert parts[0, group, plain] == pytest.approx(terms[plain], abs=1e-3)
    assert base[plain] == pytest.approx(model.predict(typical).mean(axis=0)[plain], abs=1e-3)


def test_boosted_trees_agree_with_contributions_of_xgboost() -> None:
    """Another method (the trees' own paths) on other rows: direction and rank of what matters are the same."""
    import xgboost

    data = training()
    model = Xgboost.fit(data, XgboostParameters(rounds=60, patience=20, rate=0.1, depth=3), lambda *_: None)
    trees = model.sharp[1]
    names = [data.names[column] for column in trees.columns]
    groups, owner = feature_groups(SPEC, names)
    x = np.ascontiguousarray(data.validation.x[:, list(trees.columns)])
    rows, typical = x[100:160], x[::40]
    _, parts = explain(lambda each: trees.booster.inplace_predict(each)[:, None], rows, typical, owner)
    theirs = trees.booster.predict(xgboost.DMatrix(rows), pred_contribs=True)[:, :-1]
    summed = np.stack([theirs[:, owner == group].sum(axis=1) for group in range(len(groups))], axis=1)
    own, other = np.abs(parts[:, :, 0]).mean(axis=0), np.abs(summed).mean(axis=0)
    large = np.flatnonzero(other > 0.2 * other.max())
    assert len(large) > 1
    assert own.argmax() == other.argmax()
    for group in large:
        assert np.corrcoef(parts[:, group, 0], summed[:, group])[0, 1] > 0.8, groups[group]


def test_typical_rows_lie_in_the_last_year_and_lack_little() -> None:
    time = np.datetime64("2022-01-01T00:00:00", "s") + np.arange(20_000) * HOUR
    x = np.zeros((len(time), 3), dtype=np.float32)
    x[::3, 1] = np.nan
    before = time[15_000]
    rows = typical_rows(time, x, before)
    assert len(rows) == 16
    assert (np.diff(rows) > 0).all()
    assert time[rows].max() < before
    assert before - time[rows].min() < np.timedelta64(366, "D")
    assert np.ptp(time[rows]) > np.timedelta64(300, "D"), "each season has some"
    assert np.isfinite(x[rows]).all()
    assert (typical_rows(time, x, before) == rows).all()
    assert len(typical_rows(time, x, time[0])) == 0
    assert len(typical_rows(time, x, time[3])) == 2


def test_rows_survive_packing() -> None:
    rows = np.array([[1.5, np.nan], [3.0, -4.0]], dtype=np.float32)
    assert np.array_equal(unpack(pack(rows), 2), rows, equal_nan=True)
    assert unpack(b"", 2).shape == (0, 2)


@pytest.mark.parametrize(("data", "width"), [(bytes(7), 2), (bytes(8), 3), (bytes(8 * (MOST_ROWS + 1)), 2), (b"1", 0)])
def test_bytes_that_are_no_rows_are_refused(data: bytes, width: int) -> None:
    with pytest.raises(AeroCastError, match=f"its {len(data)} bytes of typical rows are not 0 to 64 rows of {width}"):
        unpack(data, width)
