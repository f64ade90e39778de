"""Tests whether a challenger is better or was lucky: the one-sided Diebold-Mariano test on two series of losses.

Diebold and Mariano 1995 ask whether the mean of the loss differential is above zero, given that errors h steps ahead
are correlated over h - 1 steps. Here its variance is Bartlett's estimate (Newey and West 1987), never negative, over
twice as many lags or 1.3 sqrt(n) (Lazarus et al. 2018), for real losses follow the day and the weather, too. The
statistic is shrunk for small samples (Harvey, Leybourne and Newbold 1997), and Student's t has as many degrees of
freedom as that estimate is worth (Priestley 1981, 6.2.4). So a null is rejected about as often as it says, or less
often where few days speak (the tests measure it).
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError

FEWEST = 8  # losses of both, below which nothing is proven


class Comparison(msgspec.Struct, frozen=True):
    """`mean_gain` is the mean of champion's less challenger's loss over `n` instants; `p_value` the chance of as much
    if the challenger were no better. `statistic` is None where there is none: `reason` says why, or is empty.
    """

    p_value: float
    statistic: float | None
    n: int
    mean_gain: float
    lag: int
    reason: str = ""


def diebold_mariano(loss_champion: NDArray[Any], loss_challenger: NDArray[Any], lag: int) -> Comparison:
    """Compares losses (n,) at regular instants, oldest first, NaN where one is unknown; smaller is better.

    `lag` is how many steps errors stay correlated by their making: the longest horizon - 1. Losses of several stations
    at one instant are to be averaged before, for they say much the same. Too few known losses prove nothing: p is 1.

    Raises:
        AeroCastError: shapes differ, or the lag is negative.
    """
    from scipy import stats

    champion, challenger = (np.asarray(loss, dtype=np.float64) for loss in (loss_champion, loss_challenger))
    if champion.shape != challenger.shape or champion.ndim != 1 or lag < 0:
        shapes = f"{champion.shape} and {challenger.shape}"
        raise AeroCastError(f"diebold_mariano: two series of one length and a lag from 0 on, not {shapes}, lag {lag}")
    gain = champion - challenger
    mask = np.isfinite(gain)
    n = int(mask.sum())
    if n < max(FEWEST, 2 * (lag + 1)):
        mean = float(gain[mask].mean()) if n else 0.0
        why = f"{n} instants are too few to judge forecasts {lag + 1} steps ahead"
        return Comparison(1.0, None, n, mean, lag, why)
    mean = float(gain[mask].mean())
    lags = min(max(2 * lag, int(1.3 * np.sqrt(n))), max(lag, n // 3))
    variance = _bartlett(np.where(mask, gain - mean, 0.0), n, lags)
    # What rounding leaves of a constant is no variance.
    if variance <= 1e-24 * float(np.max(np.abs(gain[mask]))) ** 2:
        why = "the losses differ by a constant" if mean else "both have the same losses"
        return Comparison(0.0 if mean > 0 else 1.0, None, n, mean, lags, why)
    shrunk = np.sqrt((n - lags) * (n - lags - 1) / n**2)
    statistic = float(shrunk * mean / np.sqrt(variance / n))
    chance = float(stats.t.sf(statistic, min(n - 1, 1.5 * n / (lags + 1))))
    return Comparison(chance, statistic, n, mean, lags)


def _bartlett(deviations: NDArray[np.float64], n: int, lags: int) -> float:
    """Long-run variance; an unknown instant (0) adds to no product, so the estimate stays positive (Parzen 1963).

    All products at once, by a Fourier transform twice as long, in which none wraps around.
    """
    power = np.abs(np.fft.rfft(deviations, 2 * len(deviations))) ** 2
    products = np.fft.irfft(power)[: lags + 1] / n
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    return float(products[0] + 2 * weights @ products[1:])
