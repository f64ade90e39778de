"""Measures how much of the errors was foreseeable when the forecasts were made, so that a model could do better.

Bad weather makes errors large, a changed world makes them foreseeable: from the changes that led up to the forecast,
or from the hour. A ridge on those foresees each block of time from the other blocks (leave-block-out cross-validation:
Roberts et al. 2017), so that dependence within a block counts for nothing; without an intercept, for a long spell of
weather looks like a bias to it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aerocast.monitoring.drift.profile import Flags, Indices, Reals

CLIP = 4.0  # standard deviations: one spell of extremes must not speak for a block
RIDGE = 0.1  # penalty as a share of the rows: some ten regressors on a few independent days
BLOCKS = 7
DENSE = 0.5  # share of steps whose change must be known to follow the target's path
DAYS = 5  # whole days at least, before the hour of the day can be told from the days


@dataclass(frozen=True, eq=False)
class Path:
    """The target from step `first` on, up to a constant: `level` (n,) summed from its changes, `known` (n,) where."""

    first: int
    level: Reals
    mask: Flags

    def at(self, steps: Indices) -> Reals:
        """Levels at these steps; NaN outside or unknown."""
        index = steps - self.first
        inside = (index >= 0) & (index < len(self.level))
        return np.where(inside, self.level[np.clip(index, 0, len(self.level) - 1)], np.nan)


def follow_path(steps: Indices, change: Reals) -> Path | None:
    """The path of a target whose `change` over one step is known at these `steps` (rising); None if too few are."""
    if len(steps) < 2:
        return None
    first, size = int(steps[0]) - 1, int(steps[-1] - steps[0]) + 2
    changes, mask = np.zeros(size), np.zeros(size, dtype=bool)
    finite = np.isfinite(change)
    changes[steps[finite] - first] = change[finite]
    mask[steps[finite] - first] = True
    if mask.mean() < DENSE:
        return None
    return Path(first, np.cumsum(changes), mask)


def path_features(path: Path, steps: Indices, horizon: int, day: int) -> Reals:
    """(n, 8) newest changes of the target that were known when the forecasts were made, `horizon` before the steps.

    One by one over four steps and the next two together, over half a day and a day, to the same hour of the day
    before, and the distance from the last day's mean.
    """
    origin = steps - horizon
    level = [path.at(origin - back) for back in (0, 1, 2, 3, 4, 6)]
    newest = level[0]
    total = np.concatenate([[0.0], np.cumsum(path.level)])
    index = np.clip(origin - path.first, 0, len(path.level) - 1)
    before = np.maximum(index - day + 1, 0)
    mean = (total[index + 1] - total[before]) / (index + 1 - before)
    same = path.at(origin - (day - horizon % day))
    return np.column_stack(
        [
            *(newer - older for newer, older in pairwise(level)),
            newest - path.at(origin - max(1, day // 2)),
            newest - path.at(origin - day),
            newest - same,
            newest - mean,
        ]
    )


def clock_waves(seconds: Indices) -> Reals:
    """(n, 4) the hour of the day as two waves, from seconds since 1970."""
    angle = 2 * np.pi * (seconds % 86_400) / 86_400
    return np.column_stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)])


def foreseeable_share(z: Reals, regressors: Reals, block: Indices) -> float:
    """Share of the sum of squares of `z` (n,) that ridge on `known` (n, p) foresees, each block from the others.

    Negative when it makes things worse.
    """
    mask = np.isfinite(regressors)
    count = np.maximum(mask.sum(axis=0), 1)
    middle = np.where(mask, regressors, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(mask, (regressors - middle) ** 2, 0.0).sum(axis=0) / count)
    usable = deviation > 1e-9
    x = np.clip(np.nan_to_num((regressors[:, usable] - middle[usable]) / deviation[usable]), -3, 3)
    gram, moment = x.T @ x, x.T @ z
    penalty = RIDGE * len(z) * np.eye(x.shape[1])
    prediction = np.zeros(len(z))
    for each in np.unique(block):
        own = block == each
        rows = x[own]
        prediction[own] = rows @ np.linalg.solve(gram - rows.T @ rows + penalty, moment - rows.T @ z[own])
    return float(1 - np.sum((z - prediction) ** 2) / max(float(np.sum(z**2)), 1e-12))


def rmse_saving(share: float) -> float:
    """Share of an RMSE that is saved when this share of the squares is foreseen."""
    return float(1 - np.sqrt(1 - min(max(share, 0.0), 0.99)))
