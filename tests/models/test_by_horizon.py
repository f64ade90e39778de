"""Several models in one graph: each column says what its own model says, with that model's interval."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from aerocast.common.errors import AeroCastError
from aerocast.contracts.cold_start import ColdStart
from aerocast.contracts.intervals import CHANGE, Intervals
from aerocast.contracts.quantile_trees import Ensemble, QuantileTrees
from aerocast.features.features import feature_names
from aerocast.feed.model_kind import model
from aerocast.models.by_horizon import KIND, assemble, merge_intervals
from aerocast.models.candidates import Candidate
from aerocast.models.clipping import clip_graph
from aerocast.models.inference import forecast
from aerocast.models.one_graph import merge, weigh
from tests.factories.series import SPEC, rows, training

NAMES = feature_names(SPEC)
QUICK: dict[str, dict[str, Any]] = {
    "gru": {"hidden": 8, "head": 8, "members": 2, "epochs": 2, "batch": 64, "rate": 0.01},
    "xgboost": {"rounds": 20, "patience": 10, "rate": 0.1, "depth": 3},
}
END = datetime(2024, 3, 1, tzinfo=UTC)


def graph(kind: str, bounds: tuple[float, float] | None = None) -> bytes:
    made = model(kind).learn(training(), QUICK.get(kind)).to_onnx()
    return bytes((clip_graph(made, bounds) if bounds else made).SerializeToString())


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    kinds = ("linear", "xgboost", "persistence", "seasonal_naive")
    return {kind: graph(kind) for kind in kinds} | {"clipped": graph("linear", bounds=(0, 60))}


def inputs() -> np.ndarray:
    """Feature rows with gaps, one of them with nothing but the newest value."""
    x = rows(60, seed=5).x.copy()
    last = NAMES.index(f"{SPEC.target}_lag0")
    gaps = np.random.default_rng(1).random(x.shape) < 0.2
    gaps[0] = True
    gaps[:, last] = False
    x[gaps] = np.nan
    return x


def check(graphs: dict[str, bytes], kinds: Sequence[str]) -> bytes:
    """One graph of these kinds, one a horizon, which must say what each says alone; the graph."""
    every = sorted(set(kinds))
    whole = merge([(graphs[kind], NAMES) for kind in every], [every.index(kind) for kind in kinds], NAMES)
    x = inputs()
    levels = forecast(whole, x, NAMES)
    assert levels.shape == (len(x), len(kinds))
    for at, kind in enumerate(kinds):
        np.testing.assert_allclose(levels[:, at], forecast(graphs[kind], x, NAMES)[:, at], rtol=1e-5, atol=1e-4)
    return whole


@pytest.mark.parametrize(
    "kinds",
    [
        ("linear", "xgboost", "persistence"),
        ("xgboost", "seasonal_naive", "xgboost"),
        ("clipped", "linear", "clipped"),
        ("persistence", "xgboost", "linear"),
    ],
)
def test_each_column_is_that_of_its_own_model(graphs: dict[str, bytes], kinds: tuple[str, ...]) -> None:
    check(graphs, kinds)


def test_weighed_graph_is_the_sum_of_its_parts_and_serves_as_one(graphs: dict[str, bytes]) -> None:
    made, kinds = np.random.default_rng(3), ("linear", "xgboost", "seasonal_naive")
    weights, constant = made.normal(0.5, 1, (3, 3)), made.normal(0, 5, 3)
    whole, x = weigh([(graphs[kind], NAMES) for kind in kinds], weights, constant, NAMES), inputs()
    x[-5:] = np.nan
    levels = np.stack([forecast(graphs[kind], x, NAMES) for kind in kinds])
    wanted = np.einsum("gh,gnh->nh", weights, levels) + constant
    wanted = np.where(np.isfinite(wanted), wanted, levels[0])
    np.testing.assert_allclose(forecast(whole, x, NAMES), wanted, rtol=1e-4, atol=1e-2)
    check(graphs | {"weighed": whole}, ("weighed", "persistence", "weighed"))


@pytest.mark.e2e
def test_recurrent_net_serves_one_horizon(graphs: dict[str, bytes]) -> None:
    check(graphs | {"gru": graph("gru")}, ("linear", "gru", "persistence"))


def test_merged_graph_serves_as_part_of_another(graphs: dict[str, bytes]) -> None:
    """As an older release whose columns stand in again."""
    whole = check(graphs, ("linear", "xgboost", "persistence"))
    check(graphs | {"old": whole}, ("old", "seasonal_naive", "old"))


def test_only_needed_nodes_are_copied(graphs: dict[str, bytes]) -> None:
    """Boosters serve three horizons; for one of them, a third is copied."""

    def trees(data: bytes) -> int:
        return sum(node.op_type == "TreeEnsembleRegressor" for node in onnx.load_model_from_string(data).graph.node)

    whole = trees(graphs["xgboost"])
    assert whole >= 3
    assert trees(check(graphs, ("persistence", "xgboost", "persistence"))) == whole // 3
    assert trees(check(graphs, ("xgboost", "persistence", "xgboost"))) == whole // 3 * 2


def test_graph_of_older_operators_is_converted(graphs: dict[str, bytes]) -> None:
    old = onnx.load_model_from_string(graphs["persistence"])
    del old.opset_import[:]
    old.opset_import.append(helper.make_opsetid("", 13))
    check(graphs | {"persistence": old.SerializeToString()}, ("linear", "persistence", "linear"))


def test_graph_without_converter_is_refused_by_reason(graphs: dict[str, bytes]) -> None:
    odd = onnx.load_model_from_string(graphs["persistence"])
    odd.graph.node[0].op_type = "Gathers"
    with pytest.raises(AeroCastError, match=r"the models cannot be one graph: .*Gathers"):
        merge([(graphs["linear"], NAMES), (odd.SerializeToString(), NAMES)], [0, 1, 0], NAMES)


# Intervals and the candidate around the graph -------------------------------------------------------------------------


def intervals(half: float, mean: float = 0.0, cold: float = 0.0, late: float = 0.0) -> Intervals:
    """Half widths `half` x (1, 2, 3) where all is usual, and medians that follow the drivers."""
    drivers = (f"{SPEC.target}_std24", CHANGE + f"{SPEC.target}_lag0")
    cold_start = ColdStart(("AAA", "BBB"), (3 * cold,) * 3, (2 * cold,) * 3, (cold,) * 3) if cold else None
    exponents = ((0.1 * half, 0.2), (0.3, 0.4), (0.5, 0.6))
    offsets = tuple((-half * times, 0.0, half * times) for times in (1, 2, 3))
    slopes = (((0.0, 0.0), (0.1 * half, 0.2), (0.0, 0.0)),) * 3
    return Intervals(
        0.9, SPEC.horizons, (), drivers, (mean, 1.0), (0.5, 0.7), exponents, 100, 0.0, cold_start,
        (late,) * 3 if late else (), 90.0, (0.05, 0.5, 0.95), offsets, slopes,
    )  # fmt: skip


def test_interval_of_each_horizon_is_its_own_models() -> None:
    one, other = intervals(1.0, mean=0.3), intervals(5.0, mean=0.9)
    x = inputs()
    levels = np.random.default_rng(2).normal(50, 9, (len(x), 3)).astype(np.float32)
    own, others = (each.distances(levels, x, NAMES) for each in (one, other))
    whole = merge_intervals(SPEC.horizons, [one, other], [0, 1, 0]).distances(levels, x, NAMES)
    np.testing.assert_allclose(whole[:, [0, 2]], own[:, [0, 2]], rtol=1e-5)
    np.testing.assert_allclose(whole[:, 1], others[:, 1], rtol=1e-5)
    assert not np.allclose(own[:, 1], others[:, 1])


def stump(below: float, above: float) -> Ensemble:
    """One split of the first feature at 10."""
    leaves = np.array([below, above], "<f4").tobytes()
    return Ensemble(0.0, 1, b"\0\0", np.array([10], "<f4").tobytes(), b"\1", leaves)


def test_trees_of_each_horizon_are_its_own_models() -> None:
    newest = f"{SPEC.target}_lag0"
    grown = QuantileTrees((newest,), newest, stump(-3, -1), stump(1, 3), share=0.5)
    one, other = msgspec.structs.replace(intervals(1.0), trees=(grown, None, grown)), intervals(5.0)
    x = inputs()
    levels = np.random.default_rng(2).normal(50, 9, (len(x), 3)).astype(np.float32)
    whole = merge_intervals(SPEC.horizons, [one, other], [0, 1, 1])
    assert whole.trees == (grown, None, None)
    assert newest in whole.inputs
    merged, own, others = (each.distances(levels, x, NAMES) for each in (whole, one, other))
    np.testing.assert_allclose(merged[:, 0], own[:, 0], rtol=1e-5)
    np.testing.assert_allclose(merged[:, 1:], others[:, 1:], rtol=1e-5)
    assert merge_intervals(SPEC.horizons, [one, other], [1, 1, 1]).trees == ()


def test_factors_of_new_stations_and_late_inputs_are_merged() -> None:
    whole = merge_intervals(SPEC.horizons, [intervals(1, cold=1.5, late=1.2), intervals(1)], [0, 1, 0])
    assert whole.cold_start == ColdStart(("AAA", "BBB"), (4.5,) * 3, (3.0,) * 3, (1.5,) * 3), "not narrower unmeasured"
    assert whole.late == (1.2, 1.0, 1.2)
    assert (whole.lowest, whole.highest) == (0.0, 90.0)
    plain = merge_intervals(SPEC.horizons, [intervals(1), intervals(2)], [0, 1, 0])
    assert (plain.cold_start, plain.late) == (None, ())


def candidate(kind: str, data: bytes, age: int = 0, **changes: Any) -> Candidate:
    made = Candidate(
        feed="small", target=SPEC.target, kind=kind, graph=data, features=tuple(NAMES), intervals=intervals(1.0),
        start=END - timedelta(days=90 + age), end=END - timedelta(days=age), rows=10, seconds=1.0,
        validation={f"calibration_rmse_{horizon}": float(age + horizon) for horizon in SPEC.horizons},
        config_hash=f"{len(kind):064x}", data_version="d", parameters={"seed": 1},
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_candidate_that_serves_everywhere_stays_as_it_is(graphs: dict[str, bytes]) -> None:
    one = candidate("linear", graphs["linear"])
    assert assemble(dict.fromkeys(SPEC.horizons, one), NAMES) is one


def test_assembled_candidate_names_what_it_was_made_from(graphs: dict[str, bytes]) -> None:
    near, far, wide = SPEC.horizons
    few = tuple(NAMES[:40])
    alone = onnx.load_model_from_string(graphs["persistence"])
    alone.graph.input[0].type.tensor_type.shape.dim[1].dim_value = len(few)
    one = candidate("linear", graphs["linear"])
    other = candidate("persistence", alone.SerializeToString(), age=5, features=few)
    whole = assemble({near: other, far: one, wide: other}, NAMES)
    assert (whole.kind, whole.features) == (KIND, tuple(NAMES))
    assert (whole.start, whole.end) == (other.start, one.end)
    assert whole.validation == {
        f"calibration_rmse_{near}": 5.0 + near, f"calibration_rmse_{far}": float(far),
        f"calibration_rmse_{wide}": 5.0 + wide,
    }  # fmt: skip
    assert whole.parameters == {"linear.seed": 1, "persistence.seed": 1}
    assert whole.config_hash == assemble({near: other, far: one, wide: other}, NAMES).config_hash
    assert whole.config_hash != assemble({near: one, far: other, wide: other}, NAMES).config_hash
    x = inputs()
    expected = forecast(one.graph, x, NAMES)[:, 1]
    np.testing.assert_allclose(forecast(whole.graph, x, NAMES, whole.features)[:, 1], expected, rtol=1e-5, atol=1e-4)


def test_two_of_one_training_are_told_apart(graphs: dict[str, bytes]) -> None:
    """As a candidate and the release that was made of it before."""
    near, far, wide = SPEC.horizons
    one, other = candidate("linear", graphs["linear"]), candidate("linear", graphs["persistence"], rows=0)
    assert one.config_hash == other.config_hash
    whole, x = assemble({near: one, far: other, wide: one}, NAMES), inputs()
    levels = forecast(whole.graph, x, NAMES, whole.features)
    for at, data in enumerate((graphs["linear"], graphs["persistence"], graphs["linear"])):
        np.testing.assert_allclose(levels[:, at], forecast(data, x, NAMES)[:, at], rtol=1e-5, atol=1e-4)
