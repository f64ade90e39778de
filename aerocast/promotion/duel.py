"""Compares the incumbent with the release that would replace it, instant by instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Floats, Times, WindowSpec
from aerocast.promotion.diebold_mariano import Comparison, diebold_mariano
from aerocast.promotion.scoring import losses


@dataclass(frozen=True)
class Duel:
    """Incumbent and challenger at each instant (n,) of the cadence, stations and horizons averaged; NaN is unknown.

    Losses are shares of the composite: the mean of `incumbent` less `challenger` is by how much the composite falls.
    """

    time: Times
    incumbent: NDArray[np.float64]
    challenger: NDArray[np.float64]
    comparison: Comparison


def compare(
    spec: WindowSpec,
    times: Times,
    actual: Floats,
    forecasts: Mapping[str, Floats],
    horizons: Sequence[int],
    pair: tuple[str, str],
) -> Duel:
    """Incumbent and challenger (`pair`, by name) on the rows (n,) and horizons that the scores count."""
    step = np.timedelta64(spec.cadence, "s")
    time = np.arange(times.min(), times.max() + step, step)
    index = ((times - time[0]) // step).astype(np.int64)
    champion, challenger = (_average(loss, index, len(time)) for loss in losses(forecasts, actual, pair))
    return Duel(time, champion, challenger, diebold_mariano(champion, challenger, horizons[-1] - 1))


def _average(loss: NDArray[np.float64], index: NDArray[np.int64], instants: int) -> NDArray[np.float64]:
    """Averages (n, H) losses by instant, scaled so that their mean is the mean over horizons of the mean over rows."""
    mask = np.isfinite(loss)
    share = np.where(mask, loss, 0) / mask.sum(axis=0)
    sums = np.bincount(index, share.mean(axis=1), minlength=instants)
    has_loss = np.bincount(index, mask.any(axis=1), minlength=instants) > 0
    return np.where(has_loss, sums * has_loss.sum(), np.nan)
