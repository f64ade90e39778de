"""Every kind that serves: learns, repeats by seed, says in ONNX what it says in Python, and takes what is missing."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import numpy as np
import onnxruntime
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features import profile
from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.features import feature_names, features
from aerocast.features.sequences import sequence_names, shortest_rows
from aerocast.features.windows import targets
from aerocast.feed.model_kind import MODELS, SEQUENCE, Model, model
from aerocast.models.clipping import clip_graph
from aerocast.models.kinds._long_ridge import _past, _solve, _sums
from aerocast.models.kinds._trees import SHRINK, blend
from aerocast.models.kinds.seasonal_naive import SeasonalNaive
from tests.factories.series import SPEC, grid, rows, training

SLOW = {"gru": pytest.mark.e2e, "lstm": pytest.mark.e2e}
KINDS = [kind for kind in MODELS.names() if model(kind).serves]
MARKED = [pytest.param(kind, marks=SLOW.get(kind, ())) for kind in KINDS]
LEARNED = [param for param, kind in zip(MARKED, KINDS, strict=True) if not model(kind).is_baseline]
QUICK: dict[str, dict[str, Any]] = {
    "gru": {"hidden": 8, "head": 8, "members": 2, "epochs": 4, "batch": 64, "rate": 0.01},
    "lstm": {"hidden": 8, "head": 8, "epochs": 4, "batch": 64, "rate": 0.01, "steps": 5, "scaling": "minmax"},
    "xgboost": {"rounds": 40, "patience": 10, "rate": 0.1, "depth": 3},
}
NAMES = feature_names(SPEC)
TEST = rows(400, seed=5)


Run = Callable[[np.ndarray], np.ndarray]
V = TypeVar("V")


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


class WhenAsked(dict[str, V]):
    """Makes a kind's value when a test asks for it."""

    def __init__(self, make: Callable[[str], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, kind: str) -> V:
        self[kind] = self._make(kind)
        return self[kind]


@pytest.fixture(scope="module")
def models(data: Dataset, progress: dict[str, list[Mapping[str, float]]]) -> dict[str, Model[Any]]:
    def learn(kind: str) -> Model[Any]:
        return model(kind).learn(data, QUICK.get(kind), lambda _, metrics: progress[kind].append(metrics))

    return WhenAsked(learn)


@pytest.fixture(scope="module")
def graphs(models: dict[str, Model[Any]]) -> dict[str, Run]:
    return WhenAsked(lambda kind: run(models[kind]))


@pytest.mark.parametrize("kind", MARKED)
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


@pytest.mark.parametrize("kind", MARKED)
def test_all_features_but_last_value_may_be_missing(
    models: dict[str, Model[Any]], graphs: dict[str, Run], kind: str
) -> None:
    x = np.full((2, TEST.x.shape[1]), np.nan, dtype=np.float32)
    x[:, model_last(models)] = 50
    assert np.isfinite(graphs[kind](x)).all()


@pytest.mark.parametrize("kind", MARKED)
def test_clipped_graph_stays_within_bounds(models: dict[str, Model[Any]], kind: str) -> None:
    cold = TEST.x.copy()
    cold[:, [index for index, name in enumerate(NAMES) if name.startswith("temperature_lag")]] -= 55
    cold[0] = np.nan
    session = onnxruntime.InferenceSession(clip_graph(models[kind].to_onnx(), (0, 9)).SerializeToString())
    levels, plain = session.run(["forecast"], {"features": cold})[0], run(models[kind])(cold)
    assert (plain[1:] < 0).any()
    assert (plain[1:] > 9).any()
    np.testing.assert_array_equal(levels, np.clip(plain, 0, 9), "a missing forecast stays missing")


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


def test_trees_are_the_same_whatever_the_threads(data: Dataset) -> None:
    alone, beside = (
        model("xgboost").learn(data, {**QUICK["xgboost"], "threads": threads}).refit(data, data.train)
        for threads in (1, 5)
    )
    assert alone.to_onnx().SerializeToString() == beside.to_onnx().SerializeToString()


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
    lags = [data.names.index(f"temperature_season24_{horizon}") for horizon in (1, 6, 24)]
    whole = ~np.isnan(TEST.x[:, lags]).any(axis=1)
    np.testing.assert_array_equal(models["seasonal_naive"].predict(TEST.x)[whole], TEST.x[:, lags][whole])


def test_seasonal_naive_takes_each_horizons_best_season() -> None:
    spec = msgspec.structs.replace(SPEC, seasons=(24, 168), look_back=168)
    hours = np.arange(24 * 7 * 9)  # until the clocks change
    series = grid(hours=len(hours), gaps=0)
    values = series.values.copy()
    values[:, 0] = np.sin(hours / 24 * 2 * np.pi) * (hours // 24 % 7 < 5)  # nothing at weekends
    values[1::2, 0] += hours[1::2] // 24 * 0.5  # every other hour drifts, so there the day before is nearer
    series, origins = replace(series, values=values), hours[200:-24]
    at = origins[origins % 2 == 0]
    part = Rows(features(spec, series, at), targets(spec, series, at))
    own = SeasonalNaive.learn(Dataset(spec, tuple(feature_names(spec)), part, part))
    assert [feature_names(spec)[column] for column in own.before] == [
        "temperature_season24_1",  # an odd hour
        "temperature_season168_6",
        "temperature_season168_24",
    ]


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


@pytest.mark.parametrize("kind", [*MODELS.names(), SEQUENCE])
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


def test_long_linear_without_profile_is_refused(data: Dataset) -> None:
    plain = replace(data, spec=msgspec.structs.replace(data.spec, profile=0))
    with pytest.raises(AeroCastError, match=r"long_linear: window\.profile is 0"):
        model("long_linear").learn(plain)


@pytest.mark.parametrize("level", [0, 1])
def test_long_ridge_equals_least_squares_with_penalty_rows(data: Dataset, level: int) -> None:
    """On the rows where a horizon was measured, with the profile and the change less the same level."""
    columns = tuple(data.names.index(name) for name in profile.names(SPEC))
    past, change = _past(data.train.x, columns), data.change(data.train)
    assert np.isnan(change).any(axis=0).all()
    fitted = _solve(SPEC, columns, _sums(past, change), ((0.03, level),) * 3)
    newest = np.array([start == 0 for start, _, _ in profile.parts(SPEC)]) / SPEC.season * level
    age = np.array([start + (step + 1) / SPEC.season for start, _, step in profile.parts(SPEC)])
    for at in range(3):
        own = ~np.isnan(change[:, at])
        x, y = past[own].astype(float), change[own, at].astype(float)
        x, y = x - x.mean(axis=0), y - y.mean()
        base = x @ newest
        penalty = 0.03 * (x**2).sum() / x.shape[1] * age
        rows = np.vstack([x - base[:, None], np.diag(np.sqrt(penalty))])
        own_weights = np.linalg.lstsq(rows, np.concatenate([y - base, np.zeros(len(age))]))[0]
        levels = (past - (past @ newest)[:, None]) @ own_weights + past @ newest
        expected = levels - levels[own].mean() + change[own, at].mean()
        np.testing.assert_allclose(past @ fitted.weights[:, at] + fitted.bias[at], expected, atol=2e-3)


@pytest.mark.parametrize("rows", [20, 100, 20_000])
def test_blend_weights_follow_chance_less_where_rows_are_few(rows: int) -> None:
    made = np.random.default_rng(0)
    wanted, noise = (made.normal(size=(rows, 1)).astype(np.float32) for _ in range(2))
    spec = msgspec.structs.replace(SPEC, horizons=(1,), places=SPEC.places[:1])
    (first, second), _ = blend([wanted, noise], wanted, spec)
    equal = SHRINK / (SHRINK + rows)
    assert first == pytest.approx(1 - equal / 2, abs=0.1)
    assert first + second == pytest.approx(1)
    day_ahead, _ = blend([wanted, noise], wanted, msgspec.structs.replace(spec, horizons=(24,)))
    assert second < day_ahead[1] < first


def test_blend_of_opposite_errors_is_exact() -> None:
    made = np.random.default_rng(0)
    wanted, noise = (made.normal(size=(500, 1)).astype(np.float32) for _ in range(2))
    weights, loss = blend([wanted + noise, wanted - noise], wanted, msgspec.structs.replace(SPEC, horizons=(1,)))
    np.testing.assert_allclose(weights, 0.5, atol=0.05)
    assert loss < 0.1


def test_blend_has_no_negative_weight() -> None:
    made = np.random.default_rng(0)
    wanted, noise = (made.normal(size=(500, 1)).astype(np.float32) for _ in range(2))
    weights, _ = blend([wanted, noise, -wanted], wanted, msgspec.structs.replace(SPEC, horizons=(1,)))
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", LEARNED)
def test_refit_learns_rows_and_keeps_choices(kind: str, data: Dataset) -> None:
    """Of rows that say something else a refitted model says that; on its own rows its choices stay."""
    first = model(kind).learn(data, QUICK.get(kind))
    level = data.train.x[:, [data.last]]
    rows = Rows(data.train.x, np.broadcast_to(level + np.float32(5), data.train.y.shape).copy())
    again = first.refit(data, rows)
    if type(first).refit is Model.refit:
        assert again is first
        return
    before, after = (np.abs(each.predict(TEST.x) - TEST.x[:, [data.last]] - 5).mean() for each in (first, again))
    assert after < 0.3 * before
    np.testing.assert_allclose(run(again)(TEST.x), again.predict(TEST.x), rtol=1e-4, atol=1e-3)
