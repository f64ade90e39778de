"""Cuts the past into folds of a walk-forward backtest (Tashman 2000): each learns from all that lies before it.

Folds are consecutive spans of one length, so no row judges twice. What a fold learns from ends before it by the longest
horizon: a row whose labels would reach into it is purged, as in `aerocast.models.splits`.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Times, WindowSpec
from aerocast.feed.policies import Folds, Split
from aerocast.models.splits import Cut, split_at

SEASONS = ("winter", "spring", "summer", "autumn")
_MONTHS = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0])  # the season of each month, north of the equator


@dataclass(frozen=True)
class Fold:
    """The span that judges is `cut.test` .. `cut.end` (origins); `cut` splits what lies before it."""

    number: int
    cut: Cut

    def past(self, times: Times) -> NDArray[np.bool_]:
        """Origins (n,) that it may learn from."""
        return self.cut.before_test(times)

    def judging(self, times: Times) -> NDArray[np.bool_]:
        """Origins (n,) that judge."""
        mask: NDArray[np.bool_] = (times >= self.cut.test) & (times <= self.cut.end)
        return mask


def folds(split: Split, spec: WindowSpec, times: Times, cuts: Folds) -> list[Fold]:
    """The declared folds of a span of origins (n,), the oldest first.

    Raises:
        AeroCastError: what lies before a fold does not hold every role, or a fold is empty.
    """
    start, end = times.min().astype("datetime64[s]"), times.max().astype("datetime64[s]")
    step = np.timedelta64(spec.cadence, "s")
    steps = (end - start) / step
    shares = np.linspace(cuts.past, 1, cuts.folds + 1)
    edges = [start + np.int64(share * steps) * step for share in shares[:-1]] + [end + step]
    result = []
    for number, (begin, after) in enumerate(pairwise(edges), 1):
        try:
            fold = Fold(number, split_at(split, spec, start, after - step, begin))
        except AeroCastError as error:
            raise AeroCastError(
                f"backtest: fold {number} begins at {begin}; {error}; or raise backtest.past"
            ) from error
        if begin > after - step or not fold.judging(times).any():
            raise AeroCastError(f"{cuts.what}: fold {number} from {begin} has no row; declare fewer {cuts.what}.folds")
        result.append(fold)
    return result


def seasons(times: Times, south: NDArray[np.bool_]) -> NDArray[np.str_]:
    """The season (n,) of the year of each origin, by its month in UTC; half a year later where `south` (n,) is true."""
    months = times.astype("datetime64[M]").astype(np.int64) % 12
    names: NDArray[np.str_] = np.array(SEASONS)[(_MONTHS[months] + 2 * south) % 4]
    return names
