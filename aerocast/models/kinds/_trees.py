"""Grows, stops, weighs and exports the boosters behind `xgboost`, one a horizon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.grid import Floats
from aerocast.feed.model_kind import Log

if TYPE_CHECKING:
    import xgboost

    from aerocast.models.kinds._onnx import GraphBuilder
    from aerocast.models.kinds.xgboost import XgboostParameters

EXTRA_ROUNDS = 1.15  # more rows bear more rounds: the final fit has about this many times the rows of the first


@dataclass(frozen=True)
class Trees:
    """One horizon's booster, on the columns that it may see."""

    booster: xgboost.Booster
    columns: tuple[int, ...]

    def predict(self, x: Floats) -> Floats:
        return self.booster.inplace_predict(np.ascontiguousarray(x[:, list(self.columns)]))

    def to_graph(self, graph: GraphBuilder) -> str:
        """Adds the booster's node, as onnxmltools writes it, over its own columns; (n, 1)."""
        from onnx import helper
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        kinds = [("input", FloatTensorType([None, len(self.columns)]))]
        model = convert_xgboost(self.booster, initial_types=kinds, target_opset=15)
        node = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        return graph.op(
            "TreeEnsembleRegressor", graph.columns("features", self.columns), domain="ai.onnx.ml", **attributes
        )


def predict(trees: Sequence[Trees], x: Floats) -> Floats:
    """(n, H) changes, one horizon a booster."""
    return np.stack([each.predict(x) for each in trees], axis=1)


def grow(data: Dataset, params: XgboostParameters, at: int, first: Trees) -> Trees:
    """The final trees of a horizon: as many rounds as the first ones had, for more rows, on all rows."""
    rows, rounds = data.both(), max(1, round(EXTRA_ROUNDS * first.booster.num_boosted_rounds()))
    booster = _train(_settings(data, params, at), rows, first.columns, data.change(rows)[:, at], rounds)
    return Trees(booster, first.columns)


def blend(first: Floats, second: Floats, target: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """(H,) weight of `first` against `second`, within 0 .. 1, halfway from least squares to equal weights; its RMSE.

    A few weeks of validation hold few independent days, so least squares alone follows chance, and equal weights are
    hard to beat (Smith and Wallis 2009). Calibration rows, unseen by both, are better forecast so a day ahead.
    """
    apart, short = first - second, target - second
    power = np.sum(np.where(np.isnan(target), 0, apart) ** 2, axis=0)
    best = np.clip(np.nansum(apart * short, axis=0) / np.maximum(power, 1e-9), 0, 1)
    share: Floats = ((best + 0.5) / 2).astype(np.float32)
    return share, rmse(share * first + (1 - share) * second, target)


def _columns(names: Sequence[str], calm: bool) -> tuple[int, ...]:
    """A calm model sees the newest values, means and the clock, not each single lag."""
    lag = re.compile(r"_(lag[1-9]\d*|change\d+)$")
    return tuple(index for index, name in enumerate(names) if not (calm and lag.search(name)))


def _settings(data: Dataset, params: XgboostParameters, at: int) -> dict[str, Any]:
    calm = data.spec.horizons[at] >= params.calm_from
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
    settings: dict[str, Any], rows: Rows, columns: tuple[int, ...], target: Floats, rounds: int, **extra: Any
) -> xgboost.Booster:
    import xgboost

    mask = ~np.isnan(target)
    matrix = xgboost.QuantileDMatrix(rows.x[mask][:, list(columns)], label=target[mask], max_bin=64)
    if "validation" in extra:
        x, y = extra.pop("validation")
        extra["evals"] = [(xgboost.DMatrix(x, label=y), "validation")]
    return xgboost.train(settings, matrix, num_boost_round=rounds, verbose_eval=False, **extra)


def search(data: Dataset, params: XgboostParameters, at: int, log: Log) -> Trees:
    """Trees on train rows, cut back to the best round on validation rows."""
    import xgboost

    horizon = data.spec.horizons[at]

    class Report(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch % 10 == 0:
                log(epoch, {f"validation_rmse_{horizon}": float(evals_log["validation"]["rmse"][-1])})
            return False

    columns = _columns(data.names, horizon >= params.calm_from)
    target = data.change(data.validation)[:, at]
    mask = ~np.isnan(target)
    booster = _train(
        _settings(data, params, at),
        data.train,
        columns,
        data.change(data.train)[:, at],
        params.rounds,
        validation=(data.validation.x[mask][:, list(columns)], target[mask]),
        callbacks=[Report(), xgboost.callback.EarlyStopping(rounds=params.patience, save_best=True)],
    )
    return Trees(booster, columns)
