"""What forecasts and quantiles cost, row by row, so that any group of rows has its measures by means alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.intervals import Intervals, bounds_of
from aerocast.features.grid import Floats

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Losses:
    """(n, H) of a model's answers, NaN where the outcome or the forecast is missing; target units.

    `error` is forecast minus outcome. `quantile` is twice the mean pinball loss of all quantiles, whose sum over the
    sum of |outcome| is the weighted quantile loss. `inside` is 1 where the interval holds the outcome. `winkler` is
    the interval score (Winkler 1972): the width, and 2 / (1 - level) of how far the outcome lies beyond.
    """

    error: Reals
    quantile: Reals
    inside: Reals
    winkler: Reals

    @classmethod
    def of(cls, forecast: Floats, actual: Floats, intervals: Intervals, x: Floats, names: Sequence[str]) -> Losses:
        """Of forecasts and outcomes (n, H), the feature rows (n, F) called `names`, and the model's intervals."""
        values = intervals.at(forecast, intervals.distances(forecast, x, names)).astype(np.float64)
        first, last = (intervals.levels.index(each) for each in bounds_of(intervals.level))
        low, high = values[:, :, first], values[:, :, last]
        error = forecast.astype(np.float64) - actual
        gap, levels = actual[:, :, None] - values, np.array(intervals.levels)
        pinball = np.maximum(levels * gap, (levels - 1) * gap)
        beyond = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        known = np.isfinite(error)
        inside = np.where(known, (low <= actual) & (actual <= high), np.nan)
        return cls(error, 2 * pinball.mean(axis=2), inside, high - low + 2 / (1 - intervals.level) * beyond)

    @classmethod
    def of_columns(cls, parts: Sequence[Losses]) -> Losses:
        """Each horizon's column of its own part."""
        return cls(
            *(
                np.stack([getattr(part, each.name)[:, at] for at, part in enumerate(parts)], axis=1)
                for each in fields(cls)
            )
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Losses]) -> Losses:
        """The rows of all parts."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


def measures(losses: Losses, actual: NDArray[Any], scale: Reals, rows: NDArray[np.bool_], at: int) -> dict[str, Any]:
    """Measures at the horizon in column `at` over `rows` (n,), each of which has a finite loss.

    `scale` (n, H) is what errors are divided by (Hyndman and Koehler 2006); a measure that cannot be told is None.
    """
    error, outcome = losses.error[rows, at], np.abs(actual[rows, at].astype(np.float64)).sum()
    scaled = np.abs(error) / scale[rows, at]
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "mase": float(np.mean(scaled)) if np.isfinite(scaled).all() else None,
        "wql": float(losses.quantile[rows, at].sum() / outcome) if outcome else None,
        "coverage": float(np.mean(losses.inside[rows, at])),
        "winkler": float(np.mean(losses.winkler[rows, at])),
    }
