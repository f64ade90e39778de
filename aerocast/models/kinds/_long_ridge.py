"""Fits ridge on the target's profile in closed form, from sums over rows: one pass, whatever the number of horizons.

Hoerl and Kennard 1970 for the estimator. A feature's penalty grows with its age and shrinks with the number of seasons
that it averages, so weeks of look-back do no harm where the newest days say it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features import profile
from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.grid import Floats, WindowSpec
from aerocast.feed.model_kind import Log

Doubles = NDArray[np.float64]
Choice = tuple[float, int]  # penalty, and the index of the level (`_levels`)


@dataclass(frozen=True)
class LongRidge:
    """A fitted ridge: (n, H) change from the last value = profile (n, P) @ `weights` + `bias`, missing values being 0.

    `choices` are, of each horizon, the penalty and the level that validation rows chose.
    """

    columns: tuple[int, ...]  # of the profile among the features
    weights: Floats  # (P, H)
    bias: Floats  # (H,)
    choices: tuple[Choice, ...]

    def change(self, x: Floats) -> Floats:
        return _past(x, self.columns) @ self.weights + self.bias

    def refit(self, data: Dataset, rows: Rows) -> LongRidge:
        """The same choices, fitted on other rows; a penalty, a share of the rows, counts as much beside them."""
        sums = _sums(_past(rows.x, self.columns), data.change(rows))
        return _solve(data.spec, self.columns, sums, self.choices)


@dataclass(frozen=True)
class _Sums:
    """Centred sums of one horizon's rows: enough to solve for any penalty and level."""

    gram: Doubles  # (P, P)
    moment: Doubles  # (P,)
    past: Doubles  # (P,) mean
    change: float  # mean

    def solve(self, penalty: Doubles, level: Doubles) -> Doubles:
        """Weights (P,) of the profile: a ridge of the change less its level on the profile less that level."""
        less = np.eye(len(level)) - level  # its product with a profile takes the level from each step
        gram = less @ self.gram @ less.T + np.diag(penalty)
        weights = np.linalg.solve(gram, less @ (self.moment - self.gram @ level))
        return less.T @ weights + level


def choose(data: Dataset, penalties: Sequence[float], log: Log) -> LongRidge:
    """Tries every penalty with every level; the result is fitted on train rows.

    Raises:
        AeroCastError: the feed declares no profile.
    """
    spec = data.spec
    if not spec.profile:
        raise AeroCastError(
            "long_linear: window.profile is 0; it must say how many seasons of the target's past to see"
        )
    columns = tuple(data.names.index(name) for name in profile.names(spec))
    sums = _sums(_past(data.train.x, columns), data.change(data.train))
    actual, losses = data.change(data.validation), []
    trials = [(penalty, level) for level in range(len(_levels(spec))) for penalty in penalties]
    for step, trial in enumerate(trials):
        fitted = _solve(spec, columns, sums, (trial,) * len(sums))
        losses.append(rmse(fitted.change(data.validation.x), actual))
        metrics = {f"validation_rmse_{h}": float(loss) for h, loss in zip(spec.horizons, losses[-1], strict=True)}
        log(step, {"penalty": trial[0], "level": float(trial[1]), **metrics})
    return _solve(spec, columns, sums, tuple(trials[index] for index in np.argmin(np.array(losses), axis=0)))


def _past(x: Floats, columns: tuple[int, ...]) -> Floats:
    """(n, P) the profile; a missing step counts as the newest value."""
    return np.nan_to_num(x[:, list(columns)], nan=0)


def _sums(past: Floats, change: Floats) -> list[_Sums]:
    """Of each horizon, over the rows with a measured change: over all, less those without."""
    gram, total = (past.T @ past).astype(np.float64), past.sum(axis=0, dtype=np.float64)
    sums = []
    for column in change.T:
        missing = np.isnan(column)
        absent, count = past[missing], len(past) - missing.sum()
        mean, changes = (total - absent.sum(axis=0, dtype=np.float64)) / count, np.where(missing, 0, column)
        average = float(changes.sum(dtype=np.float64) / count)
        own = gram - absent.T @ absent - count * np.outer(mean, mean)
        sums.append(_Sums(own, (past.T @ changes).astype(np.float64) - count * average * mean, mean, average))
    return sums


def _levels(spec: WindowSpec) -> list[Doubles]:
    """The levels from which a change may be taken, as weights of the profile: the newest value, or a season's mean."""
    newest = [float(part.start == 0) / spec.season for part in profile.parts(spec)]
    return [np.zeros(len(newest)), np.array(newest)]


def _solve(spec: WindowSpec, columns: tuple[int, ...], sums: Sequence[_Sums], choices: Sequence[Choice]) -> LongRidge:
    parts, levels = profile.parts(spec), _levels(spec)
    age = np.array([(start + end - 1) / 2 + (step + 1) / spec.season for start, end, step in parts])
    width = np.array([end - start for start, end, _ in parts])
    weights = []
    for own, (penalty, level) in zip(sums, choices, strict=True):
        unit = np.trace(own.gram) / len(parts)  # rows times variance, as if the profile were standardised
        weights.append(own.solve(penalty * max(float(unit), 1e-9) * age / width, levels[level]))
    bias = [own.change - own.past @ each for own, each in zip(sums, weights, strict=True)]
    return LongRidge(
        columns, np.stack(weights, axis=1).astype(np.float32), np.array(bias, dtype=np.float32), tuple(choices)
    )
