"""Fits ridge on the change in closed form: plain, or with every feature also times the hour's sine and cosine.

The crossed form lets a weight turn with the hour of day. Validation rows choose form and penalty for each horizon.
Hoerl and Kennard 1970 for the estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.grid import Floats, Ints
from aerocast.features.seasons import history_names
from aerocast.feed.model_kind import Log

if TYPE_CHECKING:
    from aerocast.models.kinds._onnx import GraphBuilder

MARGIN = 0.01  # share by which the crossed form must err less
CLIP = 6.0  # standard deviations: a feature far outside what was seen must not be extrapolated


@dataclass(frozen=True)
class Design:
    """Makes a design matrix without NaN: scaled, missing = mean, ages' gaps flagged, `crossing` columns times `by`."""

    mean: Floats
    scale: Floats
    flags: tuple[int, ...]
    crossing: tuple[int, ...]
    by: tuple[int, ...]

    @classmethod
    def of(cls, names: Sequence[str], x: Floats) -> Design:
        # A feature that is missing throughout is 0 everywhere, and so has no weight.
        count = np.maximum((~np.isnan(x)).sum(axis=0), 1)
        mean = np.where(np.isnan(x), 0, x).sum(axis=0, dtype=np.float64) / count
        deviation = np.sqrt(np.where(np.isnan(x), 0, (x - mean) ** 2).sum(axis=0) / count)
        scale = np.where(deviation > 1e-6, deviation, 1.0)
        flags = tuple(index for index, name in enumerate(names) if name.endswith("_age"))
        by = tuple(index for index, name in enumerate(names) if name in ("hour_sin_0", "hour_cos_0"))
        still = ("hour_", "station_", "season")
        crossing = [index for index, name in enumerate(names) if not name.startswith(still) and index not in flags]
        return cls(mean.astype(np.float32), scale.astype(np.float32), flags, tuple(crossing), by)

    @property
    def plain(self) -> int:
        """Leading columns of the matrix that are not products."""
        return len(self.mean) + len(self.flags)

    def matrix(self, x: Floats) -> Floats:
        """(n, plain + products) float32."""
        z = np.clip((x - self.mean) / self.scale, -CLIP, CLIP)
        z = np.where(np.isnan(z), np.float32(0), z)
        parts = [z, np.isnan(x[:, list(self.flags)]).astype(np.float32)]
        parts += [z[:, list(self.crossing)] * z[:, [column]] for column in self.by]
        return np.hstack(parts)

    def to_graph(self, graph: GraphBuilder) -> str:
        z = graph.op("Sub", "features", graph.constant(self.mean))
        z = graph.op("Div", z, graph.constant(self.scale))
        z = graph.op("Clip", z, graph.constant(-CLIP), graph.constant(CLIP))
        z = graph.op("Where", graph.op("IsNaN", z), graph.constant(0.0), z)
        flags = graph.op("Cast", graph.op("IsNaN", graph.columns("features", self.flags)), to=1)
        columns = graph.columns(z, self.crossing)
        products = [graph.op("Mul", columns, graph.columns(z, [column])) for column in self.by]
        return graph.op("Concat", z, flags, *products, axis=1)


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge: what it predicts is the change from the last value.

    `choices` are, of each horizon, the penalty and the columns of the design that validation rows chose.
    """

    design: Design
    weights: Floats  # (columns of the design, H)
    bias: Floats  # (H,)
    choices: tuple[tuple[float, Ints], ...] = ()

    def change(self, x: Floats) -> Floats:
        """(n, H) change from the last value."""
        return self.design.matrix(x) @ self.weights + self.bias

    def refit(self, data: Dataset, rows: Rows) -> Ridge:
        """The same choices, fitted on other rows; a penalty counts as much beside them as it did."""
        matrix, change = self.design.matrix(rows.x), data.change(rows)
        share = len(rows.x) / len(data.train.x)
        choices = tuple((penalty * share, columns) for penalty, columns in self.choices)
        return _solve(self.design, _normals(matrix, change), choices)

    def to_graph(self, graph: GraphBuilder) -> str:
        """Adds its nodes; (n, H) change from the last value."""
        product = graph.op("MatMul", self.design.to_graph(graph), graph.constant(self.weights))
        return graph.op("Add", product, graph.constant(self.bias))


@dataclass(frozen=True)
class _Normal:
    """Sums of one horizon's rows: enough to solve for any penalty and any columns."""

    gram: NDArray[Any]
    moment: NDArray[Any]
    bias: float

    def solve(self, penalty: float, columns: Ints) -> Floats:
        """Weights of all columns, 0 for those that are not among `columns`."""
        gram = self.gram[np.ix_(columns, columns)] + penalty * np.eye(len(columns))
        weights = np.zeros(len(self.moment), dtype=np.float32)
        weights[columns] = np.linalg.solve(gram, self.moment[columns])
        return weights


def _normals(matrix: Floats, change: Floats) -> list[_Normal]:
    """Of each horizon, over the rows with a measured change: the products are made once, less those of rows without."""
    gram, normals = (matrix.T @ matrix).astype(np.float64), list[_Normal]()
    for column in change.T:
        missing = np.isnan(column)
        bias, absent = float(column[~missing].mean()), matrix[missing]
        moment = matrix.T @ np.where(missing, 0, column - bias)
        normals.append(_Normal(gram - absent.T @ absent, moment.astype(np.float64), bias))
    return normals


def choose(data: Dataset, penalties: Sequence[float], log: Log, design: Design | None = None) -> Ridge:
    """Tries every penalty on every form; the result is fitted on train rows, whose own `design` is the default."""
    design = design or Design.of(data.names, data.train.x)
    matrix, validation = design.matrix(data.train.x), design.matrix(data.validation.x)
    target, validation_target = data.change(data.train), data.change(data.validation)
    normals = _normals(matrix, target)
    trials = [(penalty, columns) for columns in _forms(design, data) for penalty in penalties]
    losses = []
    for step, (penalty, columns) in enumerate(trials):
        weights = np.stack([normal.solve(penalty, columns) for normal in normals], axis=1)
        losses.append(rmse(validation @ weights + np.array([normal.bias for normal in normals]), validation_target))
        metrics = {f"validation_rmse_{h}": loss for h, loss in zip(data.spec.horizons, losses[-1], strict=True)}
        log(step, {"penalty": penalty, "columns": float(len(columns)), **metrics})
    # The many weights of the crossed form must win by a margin to be believed.
    handicap = [1.0 if columns[-1] < design.plain else 1 + MARGIN for _, columns in trials]
    best = np.argmin(np.array(losses) * np.array(handicap)[:, None], axis=0)
    return _solve(design, normals, tuple(trials[index] for index in best))


def _forms(design: Design, data: Dataset) -> list[Ints]:
    """Columns of the design: plain and crossed, each with and without the history of seasons where there is one."""
    crossed = np.concatenate([np.arange(design.plain), *[np.array(design.crossing)] * len(design.by)]).astype(np.int64)
    names = [data.names.index(name) for name in history_names(data.spec) if name in data.names]
    history = np.isin(crossed, names)
    every = np.arange(len(crossed))
    forms = [every[: design.plain], every]
    forms += [form[~history[form]] for form in forms] if names else []
    return forms if design.by else forms[::2]


def _solve(design: Design, normals: Sequence[_Normal], choices: tuple[tuple[float, Ints], ...]) -> Ridge:
    weights = [normal.solve(*choice) for normal, choice in zip(normals, choices, strict=True)]
    bias = np.array([normal.bias for normal in normals], dtype=np.float32)
    return Ridge(design, np.stack(weights, axis=1), bias, choices)
