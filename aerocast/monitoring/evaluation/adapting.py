"""Adapts a station's intervals to its live outcomes: coverage by feedback, and a lasting bias.

Adaptive conformal inference (Gibbs and Candes 2021) on a logarithmic scale: each outcome outside its interval widens
the next ones a little, each one inside narrows them by less, so that in the long run as many lie inside as is stated.
The bias is an exponentially weighted mean of errors, less a dead zone of what chance explains.
"""

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.adaptation import Adaptation

# Chosen on the first 500 outcomes of 17 recorded (series, horizon)s, so that Winkler scores do not rise.
RATE = 0.015  # of the factor's logarithm, an outcome
NARROWEST, WIDEST = 0.5, 3.0
HALF_LIFE = 7 * 86_400  # seconds until an error counts half in the bias
FEWEST = 24  # steps of a half-life, at least
DEAD_ZONE = 2.0  # standard errors of the bias that are no bias

_Reals = NDArray[np.float64]


def adapt(
    version: str,
    cadence: int,
    level: float,
    horizons: tuple[int, ...],
    step: NDArray[np.int64],
    errors: _Reals,
    low: _Reals,
    high: _Reals,
) -> Adaptation:
    """The state after all outcomes of one station that are known.

    From origins in steps (n,), oldest first, with `errors`, actual - forecast, and the ends of the release's own
    intervals, less the forecast, all (n, H); NaN where the outcome is not known. `cadence` is in seconds.
    """
    paths = [
        path(cadence, level, horizon, step, errors[:, at], low[:, at], high[:, at])
        for at, horizon in enumerate(horizons)
    ]
    factor, shift = (tuple(float(each[side][-1]) for each in paths) for side in (0, 1))
    return Adaptation(version, factor, shift, int(np.isfinite(errors).any(axis=1).sum()))


def path(
    cadence: int, level: float, horizon: int, step: NDArray[np.int64], error: _Reals, low: _Reals, high: _Reals
) -> tuple[_Reals, _Reals]:
    """Factors and shifts (n + 1,) of one horizon: at each origin from the outcomes known then, and at last from all.

    An outcome is known `horizon` steps after its origin; all else is as for `adapt`, of one horizon (n,).
    """
    count, due, width = len(step), 0, 0.0
    bias = _Bias(0.5 ** (1 / max(FEWEST, HALF_LIFE / cadence)), horizon)
    factors, shifts = np.ones(count + 1), np.zeros(count + 1)
    for at in range(count + 1):
        while due < at and (at == count or step[due] + horizon <= step[at]):
            if np.isfinite(error[due]):
                distance = error[due] - shifts[due]
                outside = not low[due] * factors[due] <= distance <= high[due] * factors[due]
                width = min(max(width + RATE * (outside - (1 - level)), np.log(NARROWEST)), np.log(WIDEST))
                bias.add(error[due], high[due] - low[due])
            due += 1
        factors[at], shifts[at] = np.exp(width), bias.value()
    return factors, shifts


class _Bias:
    """The exponentially weighted mean of errors, as far as it is no chance, and at most half a usual interval."""

    def __init__(self, decay: float, horizon: int) -> None:
        self._decay, self._horizon = decay, horizon
        self._weight = self._mean = self._square = self._width = 0.0

    def add(self, error: float, width: float) -> None:
        self._weight = self._decay * self._weight + 1
        gain = 1 / self._weight
        self._mean += gain * (error - self._mean)
        self._square += gain * (error**2 - self._square)
        self._width += gain * (width - self._width)

    def value(self) -> float:
        """Errors of forecasts that overlap count as one."""
        if not self._weight:
            return 0.0
        spread = max(self._square - self._mean**2, 0.0)
        chance = DEAD_ZONE * np.sqrt(spread / max(self._weight / (2 * self._horizon), 1.0))
        size = min(max(abs(self._mean) - chance, 0.0), self._width / 2)
        return float(np.copysign(size, self._mean))
