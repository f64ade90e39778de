"""Every kind: learns, repeats by seed, says in ONNX what it says in Python, and takes what is missing."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.sequences import sequence_names, shortest_rows
from aerocast.feed.model_kind import MODELS, SEQUENCE, Model, model
from aerocast.models.kinds._trees import blend
from tests.factories.series import rows, training

KINDS = MODELS.names()
LEARNED = [kind for kind in KINDS if not model(kind).is_baseline]
QUICK: dict[str, dict[str, Any]] = {
    "gru": {"hidden": 8, "head": 8, "members": 2, "epochs": 4, "batch": 64, "rate": 0.01},
    "xgboost": {"rounds": 40, "patience": 10, "rate": 0.1, "depth": 3},
}
TEST = rows(400, seed=5)


Run = Callable[[np.ndarray], np.ndarray]


def run(fitted: Model[Any]) -> Run:
    """The model's graph, to be called with features."""
    session = onnxruntime.InferenceSession(fitted.to_onnx().SerializeToString())
    assert [entry.name for entry in session.get_inputs()] == ["features"]
    assert [entry.name for entry in session.get_outputs()] == ["forecast"]

    def call(x: np.ndarray) -> np.ndarray:
        forecast: np.ndarray = session.run(None, {"features": x})[0]
        return forecast

    return call


@pytest.fixture(scope="module")
def data() -> Dataset:
    return training()


@pytest.fixture(scope="module")
def progress() -> dict[str, list[Mapping[str, float]]]:
    """What each training logged, in the order of its steps."""
    return {kind: [] for kind in KINDS}


@pytest.fixture(scope="module")
def models(data: Dataset, progress: dict[str, list[Mapping[str, float]]]) -> dict[str, Model[Any]]:
    def learn(kind: str) -> Model[Any]:
        return model(kind).learn(data, QUICK.get(kind), lambda _, metrics: progress[kind].append(metrics))

    return {kind: learn(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def graphs(models: dict[str, Model[Any]]) -> dict[str, Run]:
    return {kind: run(fitted) for kind, fitted in models.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_graph_agrees_with_python_model(models: dict[str, Model[Any]], graphs: dict[str, Run], kind: str) -> None:
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
def test_all_features_but_last_value_may_be_missing(
    models: dict[str, Model[Any]], graphs: dict[str, Run], kind: str
) -> None:
    x = np.full((2, TEST.x.shape[1]), np.nan, dtype=np.float32)
    x[:, model_last(models)] = 50
    assert np.isfinite(graphs[kind](x)).all()


@pytest.mark.parametrize("kind", LEARNED)
def test_learned_kinds_beat_persistence(models: dict[str, Model[Any]], kind: str) -> None:
    errors, reference = (rmse(models[name].predict(TEST.x), TEST.y) for name in (kind, "persistence"))
    assert errors[1] < 0.8 * reference[1]
    assert errors.mean() < reference.mean()


@pytest.mark.parametrize("kind", LEARNED)
def test_same_seed_gives_same_model(data: Dataset, models: dict[str, Model[Any]], kind: str) -> None:
    again = model(kind).learn(data, QUICK.get(kind))
    np.testing.assert_allclose(again.predict(TEST.x), models[kind].predict(TEST.x), rtol=1e-4)
    other = model(kind).learn(data, {**QUICK.get(kind, {}), "seed": 7})
    same = np.allclose(other.predict(TEST.x), models[kind].predict(TEST.x), rtol=1e-4)
    assert same != model(kind).is_seeded


@pytest.mark.parametrize("kind", LEARNED)
def test_training_progress_is_logged(
    models: dict[str, Model[Any]], progress: dict[str, list[Mapping[str, float]]], kind: str
) -> None:
    logged = progress[kind]
    assert {name for metrics in logged for name in metrics} >= {f"validation_rmse_{h}" for h in (1, 6, 24)}
    assert all(isinstance(value, float) for metrics in logged for value in metrics.values())


def test_level_shift_shifts_forecast(models: dict[str, Model[Any]]) -> None:
    """A change is predicted, so a level that was never seen is carried along."""
    x = TEST.x[:5].copy()
    x[:, model_last(models)] += 10
    np.testing.assert_allclose(
        models["persistence"].predict(x) - models["persistence"].predict(TEST.x[:5]), 10, atol=1e-4
    )
    moved = models["linear"].predict(x) - models["linear"].predict(TEST.x[:5])
    assert (moved > 0).all()


def test_seasonal_naive_repeats_last_season(models: dict[str, Model[Any]], data: Dataset) -> None:
    lags = [data.names.index(f"temperature_lag{lag}") for lag in (23, 18, 0)]
    whole = ~np.isnan(TEST.x[:, lags]).any(axis=1)
    np.testing.assert_array_equal(models["seasonal_naive"].predict(TEST.x)[whole], TEST.x[:, lags][whole])


def test_short_sequences_have_separate_graph(data: Dataset) -> None:
    fitted = model(SEQUENCE).learn(data)
    kept, x = shortest_rows(data.spec, data.names, TEST.x)
    assert x.shape[1] == len(sequence_names(data.spec))
    np.testing.assert_allclose(run(fitted)(x[:50]), fitted.predict(x[:50]), atol=2e-3)
    assert rmse(fitted.predict(x), TEST.y[kept])[1] < rmse(x[:, :1], TEST.y[kept])[1]


@pytest.mark.parametrize(
    ("kind", "raw", "says"),
    [
        ("gru", {"hiden": 3}, r"candidates\.gru\.hiden: no such field; did you mean hidden\? allowed here: seed"),
        ("gru", {"dropout": 0.9}, r"candidates\.gru\.dropout: 0\.9 is not allowed"),
        ("xgboost", {"depth": "deep"}, r"candidates\.xgboost\.depth: 'deep' is not allowed"),
        ("linear", {"penalties": []}, r"candidates\.linear\.penalties"),
        ("persistence", {"lag": 1}, r"candidates\.persistence\.lag: no such field"),
    ],
)
def test_invalid_parameter_is_named(kind: str, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(AeroCastError, match=says):
        model(kind).parse(raw)


@pytest.mark.parametrize("kind", [*KINDS, SEQUENCE])
def test_kinds_describe_themselves(kind: str) -> None:
    found = model(kind)
    assert found.kind == kind
    assert found.title
    assert found.description.endswith(".")
    assert found.parse({}).seed == 0
    assert found.learns_sequences == (kind == SEQUENCE)


def test_kind_without_description_is_refused() -> None:
    with pytest.raises(TypeError, match="Nameless does not define kind, description, parameters"):
        type("Nameless", (Model,), {"title": "None"})


def test_declaring_kind_imports_no_heavy_library() -> None:
    code = (
        "import sys; from aerocast.feed.model_kind import MODELS, SEQUENCE, model\n"
        "for kind in (*MODELS.names(), SEQUENCE): model(kind).parse({})\n"
        "print(*{'numpy', 'torch', 'xgboost', 'onnx', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_training_without_rows_is_refused(data: Dataset) -> None:
    empty = Rows(data.train.x, np.full_like(data.train.y, np.nan))
    with pytest.raises(AeroCastError, match="no training rows"):
        model("linear").learn(Dataset(data.spec, data.names, empty, data.validation))


def test_blend_weight_is_halfway_between_equal_and_best() -> None:
    made = np.random.default_rng(0)
    wanted = made.normal(size=(500, 1)).astype(np.float32)
    noise = made.normal(size=(500, 1)).astype(np.float32)
    assert blend(wanted, noise, wanted)[0] == pytest.approx(0.75)
    assert blend(noise, wanted, wanted)[0] == pytest.approx(0.25)
    weight, loss = blend(wanted + noise, wanted - noise, wanted)
    assert weight == pytest.approx(0.5, abs=0.05)
    assert loss < 0.1
