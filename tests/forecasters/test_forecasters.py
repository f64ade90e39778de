"""Every kind: learns, repeats by seed, says in ONNX what it says in Python, and takes what is missing."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest

from aerocast.errors import AeroCastError
from aerocast.forecasters.base import KINDS, Forecaster, Rows, Training, fit, rmse
from aerocast.forecasters.params import PARAMS, parse
from aerocast.forecasters.sequence import fit_sequence
from aerocast.forecasters.xgboost import blend
from aerocast.sequences import sequence_names, shortest_rows
from tests.forecasters.series import rows, training

QUICK: dict[str, dict[str, Any]] = {
    "gru": {"hidden": 8, "head": 8, "members": 2, "epochs": 4, "batch": 64, "rate": 0.01},
    "xgboost": {"rounds": 40, "patience": 10, "rate": 0.1, "depth": 3},
    "linear": {},
    "persistence": {},
    "seasonal_naive": {},
}
LEARNED = ("gru", "xgboost", "linear")
TEST = rows(400, seed=5)


Run = Callable[[np.ndarray], np.ndarray]


def run(model: Forecaster) -> Run:
    """The model's graph, to be called with features."""
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    assert [entry.name for entry in session.get_inputs()] == ["features"]
    assert [entry.name for entry in session.get_outputs()] == ["forecast"]

    def call(x: np.ndarray) -> np.ndarray:
        forecast: np.ndarray = session.run(None, {"features": x})[0]
        return forecast

    return call


@pytest.fixture(scope="module")
def data() -> Training:
    return training()


@pytest.fixture(scope="module")
def models(data: Training) -> dict[str, Forecaster]:
    return {kind: fit(kind, data, QUICK[kind]) for kind in KINDS}


@pytest.fixture(scope="module")
def graphs(models: dict[str, Forecaster]) -> dict[str, Run]:
    return {kind: run(model) for kind, model in models.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_says_what_the_model_says(models: dict[str, Forecaster], graphs: dict[str, Run], kind: str) -> None:
    x = TEST.x[:200].copy()
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    x[:, model_last(models)] = TEST.x[:200, model_last(models)]
    expected = models[kind].predict(x)
    assert expected.shape == (200, 3)
    assert expected.dtype == np.float32
    for batch in (slice(None), slice(0, 1), slice(3, 5)):
        forecast = graphs[kind](x[batch])
        assert forecast.dtype == np.float32
        assert np.isfinite(forecast).all()
        np.testing.assert_allclose(forecast, expected[batch], atol=2e-3)


def model_last(models: Mapping[str, Any]) -> int:
    return int(models["persistence"].last)


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_last_value_may_be_missing(
    models: dict[str, Forecaster], graphs: dict[str, Run], kind: str
) -> None:
    x = np.full((2, TEST.x.shape[1]), np.nan, dtype=np.float32)
    x[:, model_last(models)] = 50
    assert np.isfinite(graphs[kind](x)).all()


@pytest.mark.parametrize("kind", LEARNED)
def test_the_learned_kinds_beat_persistence(models: dict[str, Forecaster], kind: str) -> None:
    errors, reference = (rmse(models[name].predict(TEST.x), TEST.y) for name in (kind, "persistence"))
    assert errors[1] < 0.8 * reference[1]
    assert errors.mean() < reference.mean()


@pytest.mark.parametrize("kind", LEARNED)
def test_the_same_seed_gives_the_same_model(data: Training, models: dict[str, Forecaster], kind: str) -> None:
    again = fit(kind, data, QUICK[kind])
    np.testing.assert_allclose(again.predict(TEST.x), models[kind].predict(TEST.x), rtol=1e-4)
    if kind != "linear":
        other = fit(kind, data, {**QUICK[kind], "seed": 7})
        assert not np.allclose(other.predict(TEST.x), models[kind].predict(TEST.x), rtol=1e-4)


@pytest.mark.parametrize("kind", LEARNED)
def test_progress_is_logged(data: Training, kind: str) -> None:
    logged: list[tuple[int, Mapping[str, float]]] = []
    fit(kind, data, QUICK[kind], lambda step, metrics: logged.append((step, metrics)))
    assert {name for _, metrics in logged for name in metrics} >= {f"validation_rmse_{h}" for h in (1, 6, 24)}
    assert all(isinstance(value, float) for _, metrics in logged for value in metrics.values())


def test_a_shift_of_the_level_shifts_the_forecast(models: dict[str, Forecaster]) -> None:
    """A change is predicted, so a level that was never seen is carried along."""
    x = TEST.x[:5].copy()
    x[:, model_last(models)] += 10
    np.testing.assert_allclose(
        models["persistence"].predict(x) - models["persistence"].predict(TEST.x[:5]), 10, atol=1e-4
    )
    moved = models["linear"].predict(x) - models["linear"].predict(TEST.x[:5])
    assert (moved > 0).all()


def test_seasonal_naive_repeats_yesterday(models: dict[str, Forecaster], data: Training) -> None:
    lags = [data.names.index(f"temperature_lag{lag}") for lag in (23, 18, 0)]
    whole = ~np.isnan(TEST.x[:, lags]).any(axis=1)
    np.testing.assert_array_equal(models["seasonal_naive"].predict(TEST.x)[whole], TEST.x[:, lags][whole])


def test_sequences_get_a_graph_of_their_own(data: Training) -> None:
    model = fit_sequence(data)
    kept, x = shortest_rows(data.spec, data.names, TEST.x)
    assert x.shape[1] == len(sequence_names(data.spec))
    np.testing.assert_allclose(run(model)(x[:50]), model.predict(x[:50]), atol=2e-3)
    assert rmse(model.predict(x), TEST.y[kept])[1] < rmse(x[:, :1], TEST.y[kept])[1]


@pytest.mark.parametrize(
    ("kind", "raw", "says"),
    [
        ("gru", {"hiden": 3}, r"candidates\.gru\.hiden: no such field; did you mean hidden\? allowed here: seed"),
        ("gru", {"dropout": 0.9}, r"candidates\.gru\.dropout: 0\.9 is not allowed"),
        ("xgboost", {"depth": "deep"}, r"candidates\.xgboost\.depth: 'deep' is not allowed"),
        ("linear", {"penalties": []}, r"candidates\.linear\.penalties"),
        ("persistence", {"lag": 1}, r"candidates\.persistence\.lag: no such field"),
        ("prophet", {}, r"candidates\.prophet: no such kind; allowed: gru"),
    ],
)
def test_a_wrong_parameter_is_named(kind: str, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(AeroCastError, match=says):
        parse(kind, raw)


def test_every_kind_has_parameters() -> None:
    assert set(PARAMS) == set(KINDS)
    assert all(parse(kind, {}).seed == 0 for kind in KINDS)


def test_no_rows_are_refused(data: Training) -> None:
    empty = Rows(data.train.x, np.full_like(data.train.y, np.nan))
    with pytest.raises(AeroCastError, match="no training rows"):
        fit("linear", Training(data.spec, data.names, empty, data.validation))


def test_the_blend_leans_to_the_better_model_halfway_from_equal_weights() -> None:
    made = np.random.default_rng(0)
    wanted = made.normal(size=(500, 1)).astype(np.float32)
    noise = made.normal(size=(500, 1)).astype(np.float32)
    assert blend(wanted, noise, wanted) == pytest.approx(0.75)
    assert blend(noise, wanted, wanted) == pytest.approx(0.25)
    assert blend(wanted + noise, wanted - noise, wanted) == pytest.approx(0.5, abs=0.05)
