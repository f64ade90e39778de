"""Grows the trees of an interval's two bounds, and conformalises them (Romano et al. 2019).

They learn quantiles of the change itself, from every row that the model learned, of the features that decide most for
the model. Calibration rows, which they have not seen, then say how far the bounds must be moved to cover as stated.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.quantile_trees import Ensemble, QuantileTrees, span
from aerocast.features.grid import Floats
from aerocast.models.fit import Fit

DEPTH, ROUNDS, RATE = 4, 100, 0.08
COLUMNS = 32  # that decide most: bounds need fewer than forecasts
MOST_ROWS = 20_000  # spread over all there are
FEWEST_ROWS = 500  # in which a twentieth is still something


def grow(fit: Fit, bounds: tuple[float, float]) -> tuple[QuantileTrees, ...]:
    """Trees (H,) of the two quantiles `bounds`, from the rows of a fit and what decides most for its model.

    The same rows give the same trees. Empty where the kind cannot tell, or a horizon has too few rows to learn from.
    """
    data = fit.data
    columns = [fit.model.decisive(at)[:COLUMNS] for at in range(len(data.spec.horizons))]
    if not all(columns):
        return ()
    rows = data.both()
    rows = rows.take(np.linspace(0, len(rows.x) - 1, min(len(rows.x), MOST_ROWS)).astype(np.int64))
    change = data.change(rows)
    if np.isfinite(change).sum(axis=0).min() < FEWEST_ROWS:
        return ()

    def both(at: int) -> QuantileTrees:
        own, has_change = [*columns[at]], np.isfinite(change[:, at])
        x, y = rows.x[has_change][:, own], change[has_change, at].astype(np.float64)
        names = tuple(data.names[column] for column in own)
        low, high = (_ensemble(x, y, level) for level in bounds)
        return QuantileTrees(names, data.names[data.last], low, high)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return tuple(pool.map(both, range(len(columns))))


def conformal(
    trees: QuantileTrees, ends: NDArray[np.float64], actual: NDArray[np.float64], level: float
) -> QuantileTrees:
    """Trees whose `ends` (n, 2), moved by a share of their distance, hold outcomes (n,) with probability `level`."""
    outside = np.maximum(ends[:, 0] - actual, actual - ends[:, 1]) / span(ends)
    outside = outside[np.isfinite(outside)]
    if not len(outside):
        return trees
    stretch = np.quantile(outside, min(1.0, level * (len(outside) + 1) / len(outside)))
    return msgspec.structs.replace(trees, stretch=float(stretch))


def _ensemble(x: Floats, y: NDArray[np.float64], level: float) -> Ensemble:
    import xgboost

    start = float(np.quantile(y, level))
    settings = {
        "objective": "reg:quantileerror",
        "quantile_alpha": level,
        "base_score": 0.0,
        "max_depth": DEPTH,
        "eta": RATE,
        "subsample": 0.7,
        "colsample_bytree": 0.6,
        "min_child_weight": 20,
        "max_bin": 64,
        "tree_method": "hist",
        "nthread": 1,
        "seed": 0,
    }
    booster = xgboost.train(settings, xgboost.QuantileDMatrix(x, y - start, max_bin=64, nthread=1), ROUNDS)
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    trees = [_complete(tree) for tree in model["trees"]]
    kinds = ("<i2", "<f4", "u1", "<f4")
    columns, thresholds, missing, leaves = (
        np.array(part, kind).tobytes() for part, kind in zip(zip(*trees, strict=True), kinds, strict=True)
    )
    return Ensemble(start, DEPTH, columns, thresholds, missing, leaves)


def _complete(tree: dict[str, Any]) -> tuple[list[int], list[float], list[int], list[float]]:
    """Columns, thresholds and missing_left of the inner nodes, and the leaves, of a tree that is DEPTH deep everywhere.

    Below a leaf that lies higher every way leads to its value.
    """
    inner = 2**DEPTH - 1
    lower, upper = tree["left_children"], tree["right_children"]
    at = [0]
    for node in range(inner):
        own = at[node]
        at += [own, own] if lower[own] < 0 else [lower[own], upper[own]]
    splits = [lower[own] >= 0 for own in at[:inner]]
    columns = [tree["split_indices"][own] if split else 0 for own, split in zip(at, splits, strict=False)]
    missing = [int(tree["default_left"][own]) if split else 1 for own, split in zip(at, splits, strict=False)]
    values = [tree["split_conditions"][own] for own in at]
    return columns, values[:inner], missing, values[inner:]
