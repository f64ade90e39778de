"""Grows, stops, weighs and exports the boosters behind `xgboost`, two a horizon.

The sharp one is deep and sees every feature; the calm one is shallow and sees the newest values, means and the clock,
not each single lag. Validation rows say how many rounds each grows, and whether the history of seasons helps.

Boosters grow side by side, each in a single thread: sums in one order give the same trees however many there are.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.grid import Floats, WindowSpec
from aerocast.features.seasons import history_names
from aerocast.feed.model_kind import Log

if TYPE_CHECKING:
    import xgboost

    from aerocast.models.kinds._onnx import GraphBuilder
    from aerocast.models.kinds.xgboost import XgboostParameters

BINS = 64
CALM_RATE = 2  # shallow trees take as few rounds as deep ones then
PROBE_RATE, PROBE_ROUNDS = 0.2, 60  # of a quick fit that tells whether a block of features helps
MOST = 160  # columns that trees are grown again from: of hundreds, half gain next to nothing, and a round counts all
MOST_CELLS = 10**8  # of all matrices, since each thread has its own
SHRINK = 200.0  # independent rows at which the best weights and equal ones count alike
SINGLE = re.compile(r"_(lag[1-9]\d*|change\d+)$")


class Matrix:
    """Rows as xgboost reads them. Those of some columns are made once for all that a thread grows on them.

    They are binned, by every row whatever it weighs, to grow trees on; not to judge them.
    """

    def __init__(self, data: Dataset, rows: Rows, *, bins: bool = True) -> None:
        self._x, self._change, self._bins = rows.x, data.change(rows), bins
        self._own = threading.local()  # a booster's labels are set on the matrix that others of its thread use, too
        self._first: dict[tuple[int, ...], xgboost.DMatrix] = {}  # of any thread, whose bins the others take

    def of(self, columns: tuple[int, ...], at: int) -> xgboost.DMatrix:
        """These columns with the changes of the horizon at an index; a row without one weighs nothing."""
        if not hasattr(self._own, "matrices"):
            self._own.matrices = {}
        matrices: dict[tuple[int, ...], xgboost.DMatrix] = self._own.matrices
        if columns not in matrices:
            matrices[columns] = self._make(columns)
        change = self._change[:, at]
        matrices[columns].set_info(label=np.nan_to_num(change, nan=0), weight=np.isfinite(change).astype(np.float32))
        return matrices[columns]

    def _make(self, columns: tuple[int, ...]) -> xgboost.DMatrix:
        import xgboost

        x = self._x[:, list(columns)]
        if not self._bins:
            return xgboost.DMatrix(x, nthread=1)
        matrix = xgboost.QuantileDMatrix(x, max_bin=BINS, ref=self._first.get(columns), nthread=1)
        self._first.setdefault(columns, matrix)
        return matrix


@dataclass(frozen=True)
class Trees:
    """A booster of the horizon at this index, on the columns that it may see."""

    booster: xgboost.Booster
    columns: tuple[int, ...]
    at: int
    settings: dict[str, Any]

    def predict(self, x: Floats) -> Floats:
        """(n,) changes."""
        return self.booster.inplace_predict(np.ascontiguousarray(x[:, list(self.columns)]))

    def refit(self, matrix: Matrix, more: float) -> Trees:
        """Grown on other rows, so many times as many, from what gained most; more rows bear more rounds."""
        rounds = max(1, round(self.booster.num_boosted_rounds() * more**0.5))
        columns = tuple(sorted(self.by_gain()[:MOST]))
        share = min(1.0, self.settings["colsample_bytree"] * len(self.columns) / len(columns))  # as many a tree
        settings = self.settings | {"colsample_bytree": share}
        return Trees(_train(settings, matrix.of(columns, self.at), rounds), columns, self.at, settings)

    def by_gain(self) -> tuple[int, ...]:
        """The columns by what their splits gained, the most first."""
        gain: dict[str, Any] = self.booster.get_score(importance_type="total_gain")
        order = sorted(range(len(self.columns)), key=lambda place: (-gain.get(f"f{place}", 0), place))
        return tuple(self.columns[place] for place in order)

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


def grow(data: Dataset, params: XgboostParameters, log: Log) -> tuple[tuple[Trees, ...], tuple[Trees, ...]]:
    """The sharp and the calm trees of each horizon, on train rows, each cut to its best round on validation rows."""
    parts = Matrix(data, data.train), Matrix(data, data.validation, bins=False)
    with _threads(params.threads, data.train.x.size) as pool:
        sharp = _columns(data, parts, params, pool)
        calm = [tuple(column for column in own if not SINGLE.search(data.names[column])) for own in sharp]
        horizons, (every, few) = range(len(sharp)), (_settings(params, calm=calm) for calm in (False, True))
        deep = pool.map(partial(_search, parts, every, params), sharp, horizons)
        shallow = pool.map(partial(_search, parts, few, params), calm, horizons)
        grown = list[Trees]()
        for horizon, (trees, errors) in zip(data.spec.horizons, deep, strict=True):
            grown.append(trees)
            for step, error in errors.items():
                log(step, {f"validation_rmse_{horizon}": error})
        return tuple(grown), tuple(trees for trees, _ in shallow)


def regrow(trees: Sequence[Trees], data: Dataset, rows: Rows, threads: int | None) -> tuple[Trees, ...]:
    """The same choices, grown on other rows."""
    more = len(rows.x) / len(data.train.x)
    with _threads(threads, rows.x.size) as pool:
        return tuple(pool.map(lambda each: each.refit(Matrix(data, rows), more), trees))


@contextmanager
def _threads(count: int | None, cells: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads, or one a core, as far as their matrices of so many cells have room."""
    pool = ThreadPoolExecutor(min(count or os.cpu_count() or 1, max(1, MOST_CELLS // cells)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def blend(parts: Sequence[Floats], target: Floats, spec: WindowSpec) -> tuple[Floats, NDArray[np.float64]]:
    """(K, H) weights of K models' changes (n, H) that sum to 1 and are not negative, and the blend's RMSE (H,).

    Between least squares and equal weights: a few weeks of validation hold few independent rows, for neighbouring
    stations and overlapping spans err together. Least squares alone follows chance then, and equal weights are hard to
    beat (Smith and Wallis 2009).
    """
    from scipy.optimize import nnls

    weights = np.empty((len(parts), target.shape[1]), dtype=np.float32)
    for at, horizon in enumerate(spec.horizons):
        measured = np.isfinite(target[:, at])
        best, _ = nnls(
            np.stack([part[measured, at] for part in parts], axis=1).astype(np.float64), target[measured, at]
        )
        equal = np.full(len(parts), 1 / len(parts))
        best = best / best.sum() if best.sum() > 0 else equal
        share = SHRINK / (SHRINK + measured.sum() / (horizon * max(1, len(spec.places))))
        weights[:, at] = (1 - share) * best + share * equal
    return weights, rmse(mixture(parts, weights), target)


def mixture(parts: Sequence[Floats], weights: Floats) -> Floats:
    """(n, H) weighted sum of the models' changes."""
    total: Floats = np.sum([weight * part for weight, part in zip(weights, parts, strict=True)], axis=0)
    return total


def _columns(
    data: Dataset, parts: tuple[Matrix, Matrix], params: XgboostParameters, pool: ThreadPoolExecutor
) -> list[tuple[int, ...]]:
    """Of each horizon all columns, or those without the history of seasons where a quick fit errs less without."""
    every = tuple(range(len(data.names)))
    history = {*history_names(data.spec)}
    without = tuple(column for column in every if data.names[column] not in history)
    horizons = range(len(data.spec.horizons))
    if len(without) == len(every):
        return [every for _ in horizons]
    settings = _settings(params, calm=False) | {"eta": PROBE_RATE}

    def errors(columns: tuple[int, ...]) -> list[float]:
        return [_fit(parts, settings, columns, at, PROBE_ROUNDS).booster.best_score for at in horizons]

    both = pool.map(errors, (every, without))  # a thread each: to bin columns takes longer than a booster
    return [every if own <= other else without for own, other in zip(*both, strict=True)]


def _settings(params: XgboostParameters, *, calm: bool) -> dict[str, Any]:
    return {
        "max_depth": params.calm_depth if calm else params.depth,
        "eta": params.rate * (CALM_RATE if calm else 1),
        "subsample": params.rows,
        "colsample_bytree": params.columns,
        "min_child_weight": params.leaf * (5 if calm else 1),
        "reg_lambda": 50 if calm else 1,
        "max_bin": BINS,
        "tree_method": "hist",
        "nthread": 1,
        "seed": params.seed,
    }


def _train(settings: dict[str, Any], matrix: xgboost.DMatrix, rounds: int, **extra: Any) -> xgboost.Booster:
    import xgboost

    return xgboost.train(settings, matrix, num_boost_round=rounds, verbose_eval=False, **extra)


def _search(
    parts: tuple[Matrix, Matrix],
    settings: dict[str, Any],
    params: XgboostParameters,
    columns: tuple[int, ...],
    at: int,
) -> tuple[Trees, Mapping[int, float]]:
    """Trees cut to their best round, and the error on validation rows at every tenth."""
    import xgboost

    errors: dict[str, dict[str, list[float]]] = {}
    stop = xgboost.callback.EarlyStopping(rounds=params.patience, save_best=True)
    trees = _fit(parts, settings, columns, at, params.rounds, callbacks=[stop], evals_result=errors)
    return trees, dict(list(enumerate(errors["validation"]["rmse"]))[::10])


def _fit(
    parts: tuple[Matrix, Matrix],
    settings: dict[str, Any],
    columns: tuple[int, ...],
    at: int,
    rounds: int,
    **extra: Any,
) -> Trees:
    """Trees on train rows, and `best_score` on validation rows."""
    import xgboost

    train, validation = (each.of(columns, at) for each in parts)
    extra.setdefault("callbacks", [xgboost.callback.EarlyStopping(rounds=rounds)])
    booster = _train(settings, train, rounds, evals=[(validation, "validation")], **extra)
    return Trees(booster, columns, at, settings)
