"""Block bootstrap: hours of one week err together, so weeks are drawn, not hours."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Times

DRAWS = 2000
WEEK = np.timedelta64(7, "D")
Numbers = NDArray[np.float64]


def weeks(time: Times) -> NDArray[np.int64]:
    """The week (n,) of each row, counted from the first."""
    index: NDArray[np.int64] = ((time - time.min()) // WEEK).astype(np.int64)
    return index


def interval(
    parts: Numbers, week: NDArray[np.int64], figure: Callable[[Numbers], Numbers], level: float = 0.9, seed: int = 0
) -> tuple[float, float, float]:
    """A figure of sums over rows, with the bounds of its `level` interval.

    `parts` (n, K) are a row's terms of K sums, such as |error| and 1; `figure` takes sums (..., K) to figures (...).
    """
    sums = np.zeros((int(week.max()) + 1, parts.shape[1]))
    np.add.at(sums, week, parts)
    picked = np.random.default_rng(seed).integers(0, len(sums), (DRAWS, len(sums)))
    drawn = figure(sums[picked].sum(axis=1))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(figure(sums.sum(axis=0))), float(low), float(high)


def mae_difference(model: Numbers, peer: Numbers, week: NDArray[np.int64]) -> tuple[float, float, float]:
    """MAE of errors (n,) of a model less a peer's, with its 90 % interval; rows unknown to either do not count."""
    known = np.isfinite(model) & np.isfinite(peer)
    parts = np.column_stack([np.abs(model[known]) - np.abs(peer[known]), np.ones(known.sum())])
    return interval(parts, week[known], lambda sums: sums[..., 0] / sums[..., 1])


def skill(model: Numbers, reference: Numbers, week: NDArray[np.int64]) -> tuple[float, float, float]:
    """1 - RMSE(model) / RMSE(reference) of errors (n,), with its 90 % interval; unknown rows do not count."""
    known = np.isfinite(model) & np.isfinite(reference)
    parts = np.column_stack([model[known] ** 2, reference[known] ** 2])
    return interval(parts, week[known], lambda sums: 1 - np.sqrt(sums[..., 0] / np.maximum(sums[..., 1], 1e-12)))
