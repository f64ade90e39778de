"""No horizon is served by what a baseline beats, in RMSE or in MAE, on the rows that judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.promotion.gate import Column, Skills, better_baseline, pass_columns, skills
from aerocast.promotion.scoring import Score, score

HORIZONS = (1, 6, 48)
MODELS = ("persistence", "seasonal_naive", "linear", "xgboost", "incumbent")


def judged(errors: dict[str, tuple[float, float]]) -> list[Score]:
    """RMSE and MAE of each model at one step."""
    return [Score(name, "all", 1, 9, rmse, mae, rmse**2, 0.0, 0.0, 0.0) for name, (rmse, mae) in errors.items()]


BASELINES = {"persistence": (2.0, 1.0), "seasonal_naive": (1.5, 1.2)}


@pytest.mark.parametrize(
    ("own", "serves"),
    [
        ((1.4, 0.9), "linear"),
        ((1.4, 1.1), "seasonal_naive"),  # MAE of persistence is lower
        ((1.6, 0.9), "seasonal_naive"),  # RMSE of seasonal naive is lower
        ((1.5, 0.9), "seasonal_naive"),  # equal is not better
        ((0.0, 0.0), "linear"),
    ],
)
def test_both_measures_must_beat_the_better_baseline(own: tuple[float, float], serves: str) -> None:
    columns = pass_columns(judged(BASELINES | {"linear": own}), {1: "linear"}, None, 0.0)
    assert columns[1].model == serves
    assert columns[1].source == ("challenger" if serves == "linear" else "baseline")


def test_incumbent_stands_in_only_if_it_beats_the_baselines() -> None:
    weak = judged(BASELINES | {"linear": (1.6, 1.1), "incumbent": (1.4, 0.9)})
    assert pass_columns(weak, {1: "linear"}, "incumbent", 0.0)[1] == Column(
        "incumbent", "incumbent", "linear", skills(weak, "linear")[1]
    )
    assert pass_columns(weak, {1: "linear"}, None, 0.0)[1].model == "seasonal_naive"
    assert pass_columns(weak, {1: "linear"}, "incumbent", 0.5)[1].model == "seasonal_naive"


def test_equal_baselines_are_ordered_by_mae() -> None:
    assert better_baseline(judged({"persistence": (1.0, 0.9), "seasonal_naive": (1.0, 0.8)}), 1) == "seasonal_naive"


def test_constant_series_proves_nothing() -> None:
    still = judged(dict.fromkeys(("persistence", "seasonal_naive", "linear"), (0.0, 0.0)))
    assert skills(still, "linear")[1] == Skills(0.0, 0.0)
    assert pass_columns(still, {1: "linear"}, None, 0.0)[1].source == "baseline"


@given(st.integers(0, 2**32 - 1), st.lists(st.floats(0.1, 3.0), min_size=5, max_size=5))
def test_what_serves_is_never_worse_than_a_baseline(seed: int, sizes: list[float]) -> None:
    rng = np.random.default_rng(seed)
    actual = rng.normal(0, 1, (60, 3)).astype(np.float32)
    shape = rng.choice((1, 3), 5)  # of errors: a heavy tail makes RMSE and MAE disagree
    forecasts = {
        name: (actual + size * rng.normal(0, 1, actual.shape) ** power * rng.normal(1, 0.2, 3)).astype(np.float32)
        for name, size, power in zip(MODELS, sizes, shape, strict=True)
    }
    scores = score(forecasts, actual, np.full(60, "A"), HORIZONS)
    challenger = dict(zip(HORIZONS, rng.choice(("linear", "xgboost"), 3).tolist(), strict=True))
    by_model = {(each.model, each.horizon): each for each in scores if each.station == "all"}
    for horizon, column in pass_columns(scores, challenger, "incumbent", 0.0).items():
        serves = by_model[column.model, horizon]
        both = [by_model[name, horizon] for name in ("persistence", "seasonal_naive")]
        if column.source == "baseline":
            assert serves.rmse == min(each.rmse for each in both)
        else:
            assert all(serves.rmse < each.rmse and serves.mae < each.mae for each in both)
