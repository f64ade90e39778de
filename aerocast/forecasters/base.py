"""One small interface for every model kind, and the registry that imports a kind's library only when it is asked for.

Every kind predicts the CHANGE from the last value, in one model over all stations; `predict` and the ONNX graph give
levels. A graph takes `features` float32 (n, F), NaN for missing, and gives `forecast` float32 (n, H).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aerocast.errors import AeroCastError
from aerocast.forecasters.params import parse
from aerocast.grid import Floats, WindowSpec

if TYPE_CHECKING:
    import onnx

Log = Callable[[int, Mapping[str, float]], None]
KINDS = ("gru", "xgboost", "linear", "persistence", "seasonal_naive")


@dataclass(frozen=True, slots=True)
class Rows:
    """Feature rows `x` (n, F) and measured levels `y` (n, H) in target units, NaN for missing."""

    x: Floats
    y: Floats

    def take(self, keep: NDArray[Any]) -> Rows:
        return Rows(self.x[keep], self.y[keep])


@dataclass(frozen=True, slots=True)
class Training:
    """What a kind learns from: `train` fits, `validation` stops and chooses; `names` are the F features' names."""

    spec: WindowSpec
    names: tuple[str, ...]
    train: Rows
    validation: Rows

    @property
    def last(self) -> int:
        """Column of the target's newest value."""
        return self.names.index(f"{self.spec.target}_lag0")

    def change(self, rows: Rows) -> Floats:
        """(n, H): what is predicted, the change from the last value."""
        change: Floats = rows.y - rows.x[:, [self.last]]
        return change

    def both(self) -> Rows:
        """Train and validation rows: what a final fit uses once validation has chosen."""
        x = np.concatenate([self.train.x, self.validation.x])
        return Rows(x, np.concatenate([self.train.y, self.validation.y]))


class Forecaster(Protocol):
    """A fitted model."""

    kind: str

    def predict(self, x: Floats) -> Floats:
        """Levels (n, H) float32 in target units from features (n, F)."""
        ...

    def to_onnx(self) -> onnx.ModelProto:
        """The same function as a self-contained graph, any number of rows."""
        ...


def silent(_step: int, _metrics: Mapping[str, float]) -> None:
    """Logs nothing."""


def fit(kind: str, training: Training, params: Mapping[str, Any] | None = None, log: Log = silent) -> Forecaster:
    """Train one kind; `log(step, metrics)` is called each epoch or round. Same seed and rows, same model.

    Raises:
        AeroCastError: a wrong parameter, named; or no usable rows to learn from.
    """
    settings = parse(kind, dict(params or {}))
    for role, rows in (("training", training.train), ("validation", training.validation)):
        if not np.isfinite(training.change(rows)).any(axis=0).all():
            raise AeroCastError(f"{kind}: no {role} rows with a measured {training.spec.target} at every horizon")
    fitted: Forecaster = import_module(f"aerocast.forecasters.{kind}").fit(training, settings, log)
    return fitted


def rmse(predicted: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
    """(H,) root mean squared errors over the rows where `actual` is known."""
    errors = np.asarray(predicted, dtype=np.float64) - actual
    roots: NDArray[np.float64] = np.sqrt(np.nanmean(errors**2, axis=0))
    return roots
