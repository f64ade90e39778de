"""A model with what is known ahead answers rows that have it, and one without it all others; in one graph."""

from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest

from aerocast.features.dataset import Dataset, Rows
from aerocast.features.features import feature_names
from aerocast.features.grid import Ahead
from aerocast.feed.model_kind import model, silent
from aerocast.models.calibration import QuantileSpec, calibrate
from aerocast.models.fallback import Fallback, late_factors, learn
from tests.factories.series import SPEC, rows

AHEAD = msgspec.structs.replace(SPEC, ahead=(Ahead("outlook", 3),))
NAMES = tuple(feature_names(AHEAD))
SLOW = {"gru": pytest.mark.e2e}
QUICK: dict[str, dict[str, Any]] = {
    "linear": {},
    "xgboost": {"rounds": 30, "patience": 10},
    "gru": {"hidden": 8, "head": 8, "members": 2, "epochs": 2, "batch": 64},
}


def known_ahead(plain: Rows) -> Rows:
    """Rows that know the outcome, with some noise, one of five not."""
    made = np.random.default_rng(1)
    values = {f"outlook_ahead_{h}": plain.y[:, at] for at, h in enumerate(SPEC.horizons)}
    late = made.random(len(plain.x)) < 0.2
    x = np.empty((len(plain.x), len(NAMES)), dtype=np.float32)
    own = feature_names(SPEC)
    for at, name in enumerate(NAMES):
        x[:, at] = plain.x[:, own.index(name)] if name in own else values.get(name, np.float32(0))
    hidden = [at for at, name in enumerate(NAMES) if name.startswith("outlook")]
    x[np.ix_(late, hidden)] = np.nan
    return Rows(x + made.normal(0, 0.1, x.shape).astype(np.float32), plain.y)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Dataset(AHEAD, NAMES, known_ahead(rows(900)), known_ahead(rows(400, seed=1)))


@pytest.mark.parametrize("kind", [pytest.param(each, marks=SLOW.get(each, ())) for each in QUICK])
def test_graph_says_what_both_models_say(kind: str, data: Dataset) -> None:
    fitted = learn(model(kind), data, QUICK[kind], silent)
    assert isinstance(fitted, Fallback)
    test = known_ahead(rows(300, seed=5))
    session = onnxruntime.InferenceSession(fitted.to_onnx().SerializeToString())
    for x in (test.x, test.x[:1]):
        (levels,) = session.run(None, {"features": x})
        np.testing.assert_allclose(levels, fitted.predict(x), atol=2e-3)
    late = np.isnan(test.x[:, fitted.values]).any(axis=1)
    whole = fitted.predict(test.x)
    np.testing.assert_allclose(whole[late], fitted.bare.predict(test.x[late][:, fitted.others]), atol=1e-4)
    if kind != "gru":
        plain = fitted.bare.predict(test.x[:, fitted.others])
        error = [float(np.sqrt(np.nanmean((levels - test.y)[~late, 2] ** 2))) for levels in (whole, plain)]
        assert error[0] < 0.95 * error[1], "what is known ahead is worth much here"


def test_kind_is_alone_where_nothing_is_known_ahead_or_learned(data: Dataset) -> None:
    assert not isinstance(learn(model("persistence"), data, {}, silent), Fallback)
    plain = Dataset(SPEC, tuple(feature_names(SPEC)), rows(900), rows(400, seed=1))
    assert not isinstance(learn(model("linear"), plain, {}, silent), Fallback)


def test_intervals_without_what_is_known_ahead_are_wider(data: Dataset) -> None:
    fitted = learn(model("linear"), data, {}, silent)
    test = known_ahead(rows(600, seed=7))
    blocks = np.arange(len(test.x)) // 50
    intervals = calibrate(AHEAD, QuantileSpec(0.9), test.x, NAMES, fitted.predict(test.x), test.y, blocks)
    factors = late_factors(AHEAD, NAMES, test.x, test.y, fitted.predict, intervals)
    assert len(factors) == 3
    assert factors[2] > 1.2
    x = test.x.copy()
    x[:, [at for at, name in enumerate(NAMES) if name.startswith("outlook")]] = np.nan
    lower, upper = intervals.apply(fitted.predict(x), x, NAMES, np.array(factors, dtype=np.float32))
    known = ~np.isnan(test.y[:, 2])
    inside = ((test.y >= lower) & (test.y <= upper))[known, 2].mean()
    assert inside == pytest.approx(0.9, abs=0.02)
