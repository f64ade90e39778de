"""Feature rows with their outcomes, and the two parts of them that a model learns from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Floats, WindowSpec


@dataclass(frozen=True, slots=True)
class Rows:
    """Feature rows `x` (n, F) and measured levels `y` (n, H) in target units, NaN for missing."""

    x: Floats
    y: Floats

    def take(self, keep: NDArray[Any]) -> "Rows":
        return Rows(self.x[keep], self.y[keep])


@dataclass(frozen=True, slots=True)
class Dataset:
    """The input of a training: `train` fits, `validation` stops and selects; `names` are the F features' names."""

    spec: WindowSpec
    names: tuple[str, ...]
    train: Rows
    validation: Rows

    @property
    def last(self) -> int:
        """Column of the target's newest value."""
        return self.names.index(f"{self.spec.target}_lag0")

    @property
    def unmeasured(self) -> str | None:
        """The part without any measured target at some horizon; None if both parts have one at each."""
        for role, rows in (("training", self.train), ("validation", self.validation)):
            if not np.isfinite(self.change(rows)).any(axis=0).all():
                return role
        return None

    def change(self, rows: Rows) -> Floats:
        """(n, H): the change from the last value, which models predict."""
        return rows.y - rows.x[:, [self.last]]

    def both(self) -> "Rows":
        """Train and validation rows, for the final fit after the selection."""
        x = np.concatenate([self.train.x, self.validation.x])
        return Rows(x, np.concatenate([self.train.y, self.validation.y]))


def rmse(predicted: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
    """(H,) root mean squared errors over the rows with an `actual` value."""
    errors = np.asarray(predicted, dtype=np.float64) - actual
    roots: NDArray[np.float64] = np.sqrt(np.nanmean(errors**2, axis=0))
    return roots


def mae(predicted: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
    """(H,) mean absolute errors over the rows with an `actual` value."""
    means: NDArray[np.float64] = np.nanmean(np.abs(np.asarray(predicted, dtype=np.float64) - actual), axis=0)
    return means
