"""Fits ridge on the change in closed form: plain, or with every feature also times the hour's sine and cosine.

The crossed form lets a weight turn with the hour of day. Validation rows choose form and penalty for each horizon; the
chosen one is then fitted on train and validation rows. Hoerl and Kennard 1970 for the estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.grid import Floats
from aerocast.feed.model_kind import Log

if TYPE_CHECKING:
    from aerocast.models.kinds._onnx import GraphBuilder

MARGIN = 0.01  # share by which the many weights of the crossed form must win to be believed
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
    """A fitted ridge: what it predicts is the change from the last value."""

    design: Design
    weights: Floats  # (columns of the design, H)
    bias: Floats  # (H,)

    def change(self, x: Floats) -> Floats:
        """(n, H) change from the last value."""
        return self.design.matrix(x) @ self.weights + self.bias

    def to_graph(self, graph: GraphBuilder) -> str:
        """Adds its nodes; (n, H) change from the last value."""
        product = graph.op("MatMul", self.design.to_graph(graph), graph.constant(self.weights))
        return graph.op("Add", product, graph.constant(self.bias))


@dataclass(frozen=True)
class _Normal:
    """Sums of one horizon's rows: enough to solve for any penalty and any leading block of columns."""

    gram: NDArray[Any]
    moment: NDArray[Any]
    bias: float

    @classmethod
    def of(cls, matrix: Floats, change: Floats) -> _Normal:
        mask = ~np.isnan(change)
        rows, target = matrix[mask], change[mask]
        bias = float(target.mean())
        return cls((rows.T @ rows).astype(np.float64), (rows.T @ (target - bias)).astype(np.float64), bias)

    def solve(self, penalty: float, columns: int, size: int) -> Floats:
        gram = self.gram[:columns, :columns] + penalty * np.eye(columns)
        weights = np.zeros(size, dtype=np.float32)
        weights[:columns] = np.linalg.solve(gram, self.moment[:columns])
        return weights


@dataclass(frozen=True)
class RidgeChoice:
    """What validation rows chose: each horizon's (penalty, columns of the design), and the model of train rows."""

    settings: tuple[tuple[float, int], ...]
    model: Ridge

    def refit(self, data: Dataset) -> Ridge:
        """The chosen model, fitted on train and validation rows."""
        return _solve(data, self.model.design, data.both(), self.settings)


def choose(data: Dataset, penalties: Sequence[float], log: Log) -> RidgeChoice:
    """Tries every penalty on both forms."""
    design = Design.of(data.names, data.train.x)
    matrix, validation = design.matrix(data.train.x), design.matrix(data.validation.x)
    target, validation_target = data.change(data.train), data.change(data.validation)
    normals = [_Normal.of(matrix, target[:, at]) for at in range(target.shape[1])]
    forms = sorted({design.plain, matrix.shape[1]})
    trials = [(penalty, columns) for columns in forms for penalty in penalties]
    losses = []
    for step, (penalty, columns) in enumerate(trials):
        weights = np.stack([normal.solve(penalty, columns, matrix.shape[1]) for normal in normals], axis=1)
        losses.append(rmse(validation @ weights + np.array([normal.bias for normal in normals]), validation_target))
        metrics = {f"validation_rmse_{h}": loss for h, loss in zip(data.spec.horizons, losses[-1], strict=True)}
        log(step, {"penalty": penalty, "columns": float(columns), **metrics})
    widths = [columns for _, columns in trials]
    best = [trials[_simplest(np.array(losses)[:, at], widths)] for at in range(len(normals))]
    return RidgeChoice(tuple(best), _solve(data, design, data.train, best))


def _simplest(losses: NDArray[Any], columns: list[int]) -> int:
    """The best try, but the plain form unless the crossed one is better by MARGIN."""
    handicap = np.where(np.array(columns) == min(columns), 1.0, 1 + MARGIN)
    return int(np.argmin(losses * handicap))


def _solve(data: Dataset, design: Design, rows: Rows, settings: Sequence[tuple[float, int]]) -> Ridge:
    matrix, change = design.matrix(rows.x), data.change(rows)
    normals = [_Normal.of(matrix, change[:, at]) for at in range(change.shape[1])]
    pairs = zip(normals, settings, strict=True)
    weights = [normal.solve(penalty, columns, matrix.shape[1]) for normal, (penalty, columns) in pairs]
    bias = np.array([normal.bias for normal in normals], dtype=np.float32)
    return Ridge(design, np.stack(weights, axis=1), bias)
