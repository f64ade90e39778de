"""How surprising each step of a station is: -log10 of a conformal p-value, so that 3 means once in a thousand steps.

A deviation is ranked among those of the past under the same view (conformal anomaly detection, Laxhammar and Falkman
2010). Beyond the largest of the past a generalised Pareto tail goes on (Siffer and others 2017), heavier than
instruments' noise, so that little more than was ever seen is no alarm. Of a column three deviations count: of a step,
of a value out of season, and of three hours out of season together. Of a station with several columns there is one
more, of all columns together: how far their vector lies from where it usually does (`joint`).
"""

from dataclasses import dataclass

import numpy as np

from aerocast.monitoring.anomalies.joint import distances
from aerocast.monitoring.anomalies.views import FEWEST, Reals, View, deviations, views

LOOK_BACK = 9000  # steps of the past that deviations are ranked among
TAIL = 0.05  # of the past that the tail is fitted to
HEAVY, HEAVIEST = 0.5, 0.9  # shapes of the tail
SECOND = 0.25  # weight of the second deviation beside the largest: one that agrees makes it more
FEW = 10  # deviations that a tail is fitted to, at least
MOST = 12.0


@dataclass(frozen=True, eq=False)
class Surprise:
    """Of each step: of single columns and of how much of the joint one is each column's (T, C), all together (T,).

    `deviation` (T, C) is the signed one out of season, in usual distances. NaN where nothing was measured or too
    little of the past is known.
    """

    columns: Reals
    joint: Reals
    parts: Reals
    deviation: Reals

    def total(self) -> Reals:
        """(T,) the station's: the largest, less what so many tests find by chance; NaN where there is none."""
        each = np.column_stack([self.columns, self.joint])
        tests = np.isfinite(each).sum(axis=1)
        largest = np.where(tests > 0, np.nan_to_num(each).max(axis=1), np.nan)
        total: Reals = np.where(tests > 0, np.maximum(largest - np.log10(np.maximum(tests, 1)), 0), np.nan)
        return total

    def shares(self, row: int) -> Reals:
        """(C,) how much of what happens at a row is each column's; they sum to 1."""
        own = np.nan_to_num(self.columns[row])
        if np.nan_to_num(self.joint[row]) > own.max(initial=0.0):
            own = np.maximum(np.nan_to_num(self.parts[row]), 0)
        shares: Reals = own / own.sum() if own.sum() > 0 else np.full(len(own), 1 / len(own))
        return shares


def surprises(values: Reals, first: int, per_day: int, since: int = 0) -> Surprise:
    """Of values (T, C), NaN where not measured, from row `since` on.

    `first` counts steps, `per_day` of them a day, from 1970 to the first row. What is said of a row depends on rows up
    to it alone.
    """
    rows, columns = values.shape
    both = [views(values[:, at], first, per_day) for at in range(columns)]
    surprise = nothing(values.shape)
    steps = np.arange(rows)
    starts = steps[(steps + first) % per_day == 0]
    for start in starts[starts + per_day > since].tolist():
        _score_day(values, both, first, per_day, start, min(start + per_day, rows), surprise)
    for each in (surprise.columns, surprise.joint, surprise.parts, surprise.deviation):
        each[:since] = np.nan
    return surprise


def nothing(shape: tuple[int, ...]) -> Surprise:
    """Of steps that are not looked at."""
    return Surprise(*(np.full(each, np.nan) for each in (shape, shape[0], shape, shape)))


def _score_day(
    values: Reals, both: list[tuple[View, View]], first: int, per_day: int, start: int, end: int, result: Surprise
) -> None:
    """Writes the rows of one day [start, end) into the result, each deviation ranked among those before."""
    day = slice(start, end)
    seasonal: dict[int, Reals] = {}
    for at, pair in enumerate(both):
        column = values[:, at]
        own = [deviations(column, view, first, per_day, start, end, LOOK_BACK) for view in pair]
        lines = [each for each in own if each is not None]
        if not lines:
            continue
        sizes = [np.abs(each) for each in lines]
        if own[1] is not None:
            sizes.append(np.abs(_over(own[1], max(3, per_day // 8))))
        before = len(lines[0]) - (end - start)
        ranks = np.stack([rank(size[:before], size[before:]) for size in sizes])
        measured = np.isfinite(column[day])
        result.columns[day, at] = np.where(measured, combine(ranks), np.nan)
        result.deviation[day, at] = lines[-1][before:]
        seasonal[at] = lines[-1]
    if len(seasonal) > 1:
        together = np.column_stack(list(seasonal.values()))
        before = len(together) - (end - start)
        distance, parts = distances(together, before)
        result.joint[day] = rank(distance[:before], distance[before:])
        result.joint[day][~np.isfinite(distance[before:])] = np.nan
        result.parts[day, list(seasonal)] = parts


def combine(surprise: Reals) -> Reals:
    """(T,) of several (K, T): mostly the largest, and somewhat the second, which may agree."""
    ordered = np.sort(surprise, axis=0)
    both: Reals = ordered[-1] if len(ordered) == 1 else (1 - SECOND) * ordered[-1] + SECOND * ordered[-2]
    return both


def rank(past: Reals, sizes: Reals) -> Reals:
    """(n,) the surprise of sizes (n,) among those of the past; 0 where one is missing or the past is too short."""
    ordered = np.sort(past[np.isfinite(past)])
    count = len(ordered)
    if count < FEWEST:
        return np.zeros(len(sizes))
    x = np.nan_to_num(sizes, nan=0.0)
    p = (1 + count - np.searchsorted(ordered, x, side="left")) / (count + 1)
    number = max(int(TAIL * count), FEW)
    bound, excess = ordered[-number - 1], ordered[-number:] - ordered[-number - 1]
    shape, scale = _pareto(excess)
    beyond = (1 + shape * (np.maximum(x, ordered[-1]) - bound) / scale) / (1 + shape * excess[-1] / scale)
    surprise: Reals = np.where(np.isfinite(sizes), np.log10(beyond) / shape - np.log10(p), 0.0)
    return np.clip(surprise, 0.0, MOST)


def _pareto(excess: Reals) -> tuple[float, float]:
    """Shape and scale of sorted excesses by probability-weighted moments (Hosking and Wallis 1987)."""
    mean = float(excess.mean())
    weight = 1 - (np.arange(1, len(excess) + 1) - 0.35) / len(excess)
    apart = mean - 2 * float((excess * weight).mean())
    shape = float(np.clip(2 - mean / apart, HEAVY, HEAVIEST)) if apart > 0 else HEAVY
    return shape, max(mean * (1 - shape), 1e-12)


def _over(deviation: Reals, steps: int) -> Reals:
    """(n,) the sum of the last `steps` deviations over the root of how many there are; NaN for too few."""
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.clip(deviation, -1e3, 1e3)))])
    counts = np.concatenate([[0], np.cumsum(np.isfinite(deviation))])
    low = np.maximum(np.arange(len(deviation)) + 1 - steps, 0)
    count = counts[1:] - counts[low]
    sum_: Reals = (sums[1:] - sums[low]) / np.sqrt(np.maximum(count, 1))
    return np.where(count >= max(1, steps // 3), sum_, np.nan)
