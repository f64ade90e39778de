"""Scores by hand, on identical rows."""

import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.model_kind import MODELS
from aerocast.models.inference import forecast
from aerocast.promotion.scoring import losses, overall, score
from tests.factories.series import training

ACTUAL = np.array([[1, 2], [3, 4], [5, np.nan], [7, 8]], dtype=np.float32)
STATIONS = np.array(["A", "A", "B", "B"])
FORECASTS = {
    "persistence": ACTUAL + 2,
    "seasonal_naive": ACTUAL + np.array([1, 4], dtype=np.float32),
    "model": ACTUAL - np.array([0.5, 1], dtype=np.float32),
}


def test_scores_match_hand_computation() -> None:
    scores = {(s.model, s.station, s.horizon): s for s in score(FORECASTS, ACTUAL, STATIONS, (1, 6))}
    assert len(scores) == 3 * 3 * 3
    one, six = scores["model", "all", 1], scores["model", "all", 6]
    assert (one.rmse, one.mae, one.mse, one.n, six.n) == pytest.approx((0.5, 0.5, 0.25, 4, 3))
    # The unit is persistence's RMSE, 2: 0.5 * 0.25 + 0.3 * 0.25 + 0.2 * 0.0625.
    assert one.composite == pytest.approx(0.2125)
    assert (one.skill, one.skill_persistence) == pytest.approx((0.5, 0.75))  # the better baseline is the seasonal one
    assert (six.skill, six.skill_persistence) == pytest.approx((0.5, 0.5))
    whole = overall(list(scores.values()), "model")
    assert whole.rmse == pytest.approx(0.75)
    assert whole.skill == pytest.approx(0.5)
    assert scores["persistence", "all", 0].composite == pytest.approx(1.0)
    assert scores["model", "B", 6].n == 1


def test_row_counts_only_with_all_forecasts() -> None:
    holed = FORECASTS["model"].copy()
    holed[0] = np.nan
    scores = score({**FORECASTS, "model": holed}, ACTUAL, STATIONS, (1, 6))
    assert {s.n for s in scores if s.station == "all" and s.horizon == 1} == {3}


def test_mean_loss_difference_equals_composite_difference() -> None:
    made = np.random.default_rng(0)
    actual = made.normal(20, 5, (300, 2)).astype(np.float32)
    actual[made.random((300, 2)) < 0.1] = np.nan
    errors = {"persistence": 3, "seasonal_naive": 4, "model": 1, "other": 1.4}
    found = {name: actual + made.normal(0, size, (300, 2)).astype(np.float32) for name, size in errors.items()}
    found["other"][:9] = np.nan
    scores = score(found, actual, np.full(300, "A"), (1, 6))
    one, other = losses(found, actual, ("model", "other"))
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    assert np.isnan(one[:9]).all()
    gain = np.nanmean(other, axis=0).mean() - np.nanmean(one, axis=0).mean()
    assert gain == pytest.approx(overall(scores, "other").composite - overall(scores, "model").composite)


def test_unscorable_forecasts_are_refused() -> None:
    with pytest.raises(AeroCastError, match="seasonal_naive must be scored"):
        score({"persistence": ACTUAL}, ACTUAL, STATIONS, (1, 6))
    with pytest.raises(AeroCastError, match="model must forecast"):
        score({**FORECASTS, "model": ACTUAL[:2]}, ACTUAL, STATIONS, (1, 6))
    with pytest.raises(AeroCastError, match="no row"):
        score(FORECASTS, np.full_like(ACTUAL, np.nan), STATIONS, (1, 6))
    with pytest.raises(AeroCastError, match="no score"):
        overall([], "model")


def test_incumbent_gets_features_by_name() -> None:
    data = training()
    model = MODELS.find("linear").learn(data)
    graph = model.to_onnx().SerializeToString()
    x = data.validation.x[:20]
    mixed = np.random.default_rng(0).permutation(len(data.names))
    names = [data.names[index] for index in mixed]
    np.testing.assert_allclose(
        forecast(graph, x[:, mixed], names, data.names), forecast(graph, x, data.names), rtol=1e-5
    )
    with pytest.raises(AeroCastError, match="rows lack: sun_0"):
        forecast(graph, x[:, :1], data.names[:1], ["sun_0"])
