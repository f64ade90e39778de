"""Boosted trees on the change, one model a horizon, blended with ridge by a weight that validation rows choose.

Trees find what bends, ridge carries what is straight and far: a day ahead, where independent cases are few, their mean
beats both. Rounds come from early stopping; the final trees are grown on train and validation rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aerocast.forecasters import linear
from aerocast.forecasters.base import Log, Rows, Training, rmse, silent
from aerocast.forecasters.params import LinearParams, XgboostParams
from aerocast.grid import Floats

if TYPE_CHECKING:
    import onnx
    import xgboost

    from aerocast.forecasters.graph import Graph

GROWN = 1.15  # more rows bear more rounds: the final fit has about this many times the rows of the first


@dataclass(frozen=True)
class Trees:
    """One horizon's booster, on the columns that it may see."""

    booster: xgboost.Booster
    columns: tuple[int, ...]

    def predict(self, x: Floats) -> Floats:
        predicted: Floats = self.booster.inplace_predict(np.ascontiguousarray(x[:, list(self.columns)]))
        return predicted

    def to_graph(self, graph: Graph) -> str:
        """Adds the booster's node, as onnxmltools writes it, over its own columns; (n, 1)."""
        from onnx import helper
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        kinds = [("input", FloatTensorType([None, len(self.columns)]))]
        converted = convert_xgboost(self.booster, initial_types=kinds, target_opset=15)
        node = next(node for node in converted.graph.node if node.op_type == "TreeEnsembleRegressor")
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        return graph.op(
            "TreeEnsembleRegressor", graph.columns("features", self.columns), domain="ai.onnx.ml", **attributes
        )


@dataclass(frozen=True)
class Xgboost:
    trees: tuple[Trees, ...]
    partner: linear.Linear
    weights: Floats  # (H,) share of the trees
    kind: str = "xgboost"

    def predict(self, x: Floats) -> Floats:
        grown = np.stack([trees.predict(x) for trees in self.trees], axis=1)
        change = self.weights * grown + (1 - self.weights) * self.partner.change(x)
        levels: Floats = x[:, [self.partner.last]] + change
        return levels

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.forecasters.graph import Graph

        graph = Graph()
        grown = graph.op("Concat", *[trees.to_graph(graph) for trees in self.trees], axis=1)
        straight = self.partner.change_to_graph(graph)
        trees = graph.op("Mul", grown, graph.constant(self.weights))
        ridge = graph.op("Mul", straight, graph.constant(1 - self.weights))
        change = graph.op("Add", trees, ridge)
        graph.op("Add", change, graph.columns("features", [self.partner.last]), output="forecast")
        return graph.model(len(self.partner.design.mean), len(self.weights))


def fit(training: Training, params: XgboostParams, log: Log) -> Xgboost:
    """Early-stop each horizon on validation rows, weigh trees against ridge there, then fit both on all rows."""
    horizons = training.spec.horizons
    first = [_grow(training, params, at, log) for at in range(len(horizons))]
    ridge = linear.choose(training, LinearParams(), silent)
    held, wanted = training.validation.x, training.change(training.validation)
    grown, straight = np.stack([trees.predict(held) for trees in first], axis=1), ridge.model.change(held)
    weights = blend(grown, straight, wanted)
    loss = rmse(weights * grown + (1 - weights) * straight, wanted)
    log(params.rounds, {f"blend_rmse_{horizon}": float(loss[at]) for at, horizon in enumerate(horizons)})
    log(params.rounds, {f"trees_share_{horizon}": float(weights[at]) for at, horizon in enumerate(horizons)})
    rows, final = training.both(), []
    for at, trees in enumerate(first):
        rounds = max(1, round(GROWN * trees.booster.num_boosted_rounds()))
        booster = _train(_settings(training, params, at), rows, trees.columns, training.change(rows)[:, at], rounds)
        final.append(Trees(booster, trees.columns))
    return Xgboost(tuple(final), ridge.refit(training), weights)


def blend(first: Floats, second: Floats, wanted: Floats) -> Floats:
    """(H,) weight of `first` against `second`, within 0 .. 1: halfway from least squares to equal weights.

    A few weeks of validation hold few independent days, so least squares alone follows chance, and equal weights are
    hard to beat (Smith and Wallis 2009). Calibration rows, unseen by both, are better forecast so a day ahead.
    """
    apart, short = first - second, wanted - second
    power = np.sum(np.where(np.isnan(wanted), 0, apart) ** 2, axis=0)
    best = np.clip(np.nansum(apart * short, axis=0) / np.maximum(power, 1e-9), 0, 1)
    share: Floats = ((best + 0.5) / 2).astype(np.float32)
    return share


def _columns(names: Sequence[str], calm: bool) -> tuple[int, ...]:
    """A calm model sees the newest values, means and the clock, not each single lag."""
    lagged = re.compile(r"_(lag[1-9]\d*|change\d+)$")
    return tuple(index for index, name in enumerate(names) if not (calm and lagged.search(name)))


def _settings(training: Training, params: XgboostParams, at: int) -> dict[str, Any]:
    calm = training.spec.horizons[at] >= params.calm_from
    settings: dict[str, Any] = {
        "max_depth": params.calm_depth if calm else params.depth,
        "eta": params.rate,
        "subsample": params.rows,
        "colsample_bytree": params.columns,
        "min_child_weight": params.leaf * (5 if calm else 1),
        "reg_lambda": 50 if calm else 1,
        "max_bin": 64,
        "tree_method": "hist",
        "nthread": params.threads,
        "seed": params.seed,
    }
    return settings


def _train(
    settings: dict[str, Any], rows: Rows, columns: tuple[int, ...], wanted: Floats, rounds: int, **extra: Any
) -> xgboost.Booster:
    import xgboost

    known = ~np.isnan(wanted)
    matrix = xgboost.QuantileDMatrix(rows.x[known][:, list(columns)], label=wanted[known], max_bin=64)
    if "held" in extra:
        x, y = extra.pop("held")
        extra["evals"] = [(xgboost.DMatrix(x, label=y), "validation")]
    return xgboost.train(settings, matrix, num_boost_round=rounds, verbose_eval=False, **extra)


def _grow(training: Training, params: XgboostParams, at: int, log: Log) -> Trees:
    """Trees on train rows, cut back to the best round on validation rows."""
    import xgboost

    horizon = training.spec.horizons[at]

    class Report(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch % 10 == 0:
                log(epoch, {f"validation_rmse_{horizon}": float(evals_log["validation"]["rmse"][-1])})
            return False

    columns = _columns(training.names, horizon >= params.calm_from)
    held = training.change(training.validation)[:, at]
    known = ~np.isnan(held)
    booster = _train(
        _settings(training, params, at),
        training.train,
        columns,
        training.change(training.train)[:, at],
        params.rounds,
        held=(training.validation.x[known][:, list(columns)], held[known]),
        callbacks=[Report(), xgboost.callback.EarlyStopping(rounds=params.patience, save_best=True)],
    )
    return Trees(booster, columns)
