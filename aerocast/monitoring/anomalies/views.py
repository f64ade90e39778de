"""Two views of what a series will be, from its own past: from the step before, and from the days before.

The first notices what is sudden, the second what is out of season. Each is a ridge regression that is fitted at a
day's start on what lies before it. How far a value usually lies from it follows the hour and how unsettled the last
days were, as intervals do (`aerocast.contracts.intervals`).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Rows = NDArray[np.int64]

WEEKS = 4
UNSETTLED = 3  # days from which follows how far values usually lie from a view
FEWEST = 48  # rows of a fit
GROSS = 8.0  # usual errors beyond which an error counts no more
_ODD = (0.005, 0.995)  # quantiles beyond which an outcome does not pull a fit
_ROUNDING = 1e-6  # of the largest value: an error below is none, for grids hold 32-bit numbers
_REACH = 6.0  # standard deviations of a feature beyond which nothing follows it


@dataclass(frozen=True, eq=False)
class View:
    """Of each row what is known before it: `base` (T,), a first guess, and `x` (T, F), what moves it; NaN if unknown.

    `before` (T,) is the last row whose outcome is known then.
    """

    base: Reals
    x: Reals
    before: Rows


def views(values: Reals, first: int, per_day: int) -> tuple[View, View]:
    """The step's and the day's of values (T,), NaN where not measured; `first` counts steps to the first from 1970."""
    rows = np.arange(len(values))
    before = rows - (rows + first) % per_day - 1  # the last row of the day before
    season, days = _days(values, per_day, before)
    newest = _newest(values)
    last, other = _lag(newest, 1), _lag(newest, 2)
    means = [_mean(values, rows - 1, width) - last for width in (3, *_spans(per_day), per_day)]
    steps = np.stack([other - last, *means, season - last, season - _lag(season, 1)], axis=1)
    return View(last, steps, rows - 1), View(season, days, before)


def _spans(per_day: int) -> tuple[int, int]:
    """An hour and three hours, or what comes near."""
    return max(2, per_day // 24), max(3, per_day // 8)


def _days(values: Reals, per_day: int, before: Rows) -> tuple[Reals, Reals]:
    """The mean of seven days at the same time, and how the newest day, the weekday and the level differ from it."""
    lags = np.stack([_lag(values, day * per_day) for day in range(1, 7 * WEEKS + 1)], axis=1)
    level, longer = _mean(values, before, per_day), _mean(values, before, 7 * per_day)
    season = _or(_row_mean(lags[:, :7]), longer)
    weekday = _or(_row_mean(lags[:, 6::7]), season)
    yesterday, week = _or(lags[:, 0], season), _or(lags[:, 6], season)
    x = np.stack([weekday - season, yesterday - season, week - season, level - longer, season - longer], axis=1)
    return season, x


def deviations(values: Reals, view: View, first: int, per_day: int, start: int, end: int, back: int) -> Reals | None:
    """How far values lie from a view, in usual distances, (n,) from row `start - back` (or 0) to before `end`.

    Everything is fitted on the rows before `start`. NaN where not measured; None while too little is known.
    """
    low = max(0, start - back)
    past, day = np.arange(low, start), np.arange(start, end)
    apart = values - view.base
    usable = past[np.isfinite(apart[low:start]) & np.isfinite(view.x[low:start]).all(axis=1)]
    if len(usable) < max(FEWEST, 2 * per_day):
        return None
    x, outcome = view.x[usable], apart[usable]
    usual_outcome = np.clip(outcome, *np.quantile(outcome, _ODD))
    same, new = _ridge(x, usual_outcome, view.x[day], 1 + len(usable) / 100)
    error, at = np.full(end - low, np.nan), np.concatenate([usable, day])
    error[at - low] = apart[at] - np.concatenate([same, new])
    noise = _ROUNDING * float(np.abs(values[usable]).max())
    error[np.abs(error) <= noise] = 0.0
    size = np.abs(error)
    usual = float(np.median(size[usable - low]))
    least = 0.05 * usual + noise + np.finfo(np.float64).tiny
    unsettled = _mean(np.minimum(size, GROSS * usual), view.before[at] - low, UNSETTLED * per_day)
    unsettled = np.where(np.isfinite(unsettled), unsettled, usual)
    drivers = np.column_stack([_waves(per_day)[(at + first) % per_day], np.log(unsettled + least)])
    split = len(usable)
    spread = _ridge(drivers[:split], np.log(size[usable - low] + least), drivers[split:], 5 + split / 20)
    error[at - low] /= np.exp(np.concatenate(spread))
    return error


@cache
def _waves(per_day: int) -> Reals:
    """(per_day, 4) of the day."""
    angle = 2 * np.pi * np.arange(per_day) / per_day
    return np.stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)], axis=1)


def _ridge(x: Reals, y: Reals, new: Reals, penalty: float) -> tuple[Reals, Reals]:
    """What a ridge regression of y (n,) on x (n, F) says of `x` (n,) and of `new` (m,).

    What is missing in `new` counts as usual.
    """
    mean, level = x.mean(axis=0), y.mean()
    apart = x - mean
    gram = apart.T @ apart
    scale = np.sqrt(np.diag(gram) / len(x))
    scale = np.where(scale > _ROUNDING * np.abs(x).max(axis=0), scale, np.inf)
    right = (apart.T @ (y - level)) / scale
    weights = np.linalg.solve(gram / np.outer(scale, scale) + penalty * np.eye(len(scale)), right)
    usual = np.nan_to_num(np.clip((new - mean) / scale, -_REACH, _REACH))
    return apart @ (weights / scale) + level, usual @ weights + level


def _lag(values: Reals, steps: int) -> Reals:
    late = np.full(len(values), np.nan)
    late[steps:] = values[: max(len(values) - steps, 0)]
    return late


def _newest(values: Reals) -> Reals:
    """(T,) the newest value that was measured at or before each row."""
    at = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def _mean(values: Reals, until: Rows, width: int) -> Reals:
    """(n,) the mean of the `width` rows up to and with each of `until`; NaN if none is known."""
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
    counts = np.concatenate([[0], np.cumsum(np.isfinite(values))])
    high = np.clip(until + 1, 0, len(values))
    low = np.clip(until + 1 - width, 0, len(values))
    count = counts[high] - counts[low]
    return np.where(count > 0, (sums[high] - sums[low]) / np.maximum(count, 1), np.nan)


def _row_mean(values: Reals) -> Reals:
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nan_to_num(values).sum(axis=1) / np.maximum(count, 1), np.nan)


def _or(values: Reals, other: Reals) -> Reals:
    return np.where(np.isfinite(values), values, other)
