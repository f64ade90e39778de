"""Calibrates prediction intervals for each horizon (split conformal), on rows that no model was fitted or chosen on.

The score is |error| / spread, where spread follows how much the target varied in the last day or two: an error of the
same size means less in unsettled weather (locally weighted conformal: Lei et al. 2018). Neighbouring hours and stations
err together, so the quantile's level is raised until blocks of calibration time, left out in turn, are covered as
stated. That the future is harder than a week in between, which blocks cannot show, comes as a factor.
The server imports this module: numpy and msgspec only.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Floats, WindowSpec

SPREADS = ("std24", "std48")
SHRINK = 0.1  # ridge on the spread's exponents, a share of the rows
REACH = 3.0  # standard deviations of recent variability beyond which spread grows no further
LEVELS = 40


class Intervals(msgspec.Struct, frozen=True):
    """Per horizon: `half` = half width at usual variability (target units); `exponents` (H, K) of the K `drivers`.

    A driver is a feature, as (log(1 + value) - mean) / scale, within REACH; missing counts as usual.
    """

    level: float
    horizons: tuple[int, ...]
    half: tuple[float, ...]
    drivers: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    exponents: tuple[tuple[float, ...], ...]
    rows: int

    def widths(self, x: Floats, names: Sequence[str]) -> Floats:
        """Half widths (n, H) in target units for feature rows (n, F) called `names`."""
        drivers = _drivers(x, names, self.drivers, np.array(self.mean), np.array(self.scale))
        spread = np.exp(drivers @ np.array(self.exponents, dtype=np.float64).reshape(len(self.horizons), -1).T)
        return (np.array(self.half) * spread).astype(np.float32)

    def apply(self, forecast: Floats, x: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
        """Lower and upper bounds (n, H) around `forecast` (n, H)."""
        widths = self.widths(x, names)
        return forecast - widths, forecast + widths


def calibrate(
    spec: WindowSpec,
    x: Floats,
    names: Sequence[str],
    forecast: Floats,
    actual: Floats,
    blocks: NDArray[Any],
    level: float,
    widen: Sequence[float] | None = None,
) -> Intervals:
    """Intervals from calibration rows: features (n, F), forecasts and outcomes (n, H); `blocks` (n,) labels of time.

    `widen` (H,) are factors for what these rows cannot show, as from `forward.forward_factors`.

    Raises:
        AeroCastError: a horizon has fewer rows than the level needs.
    """
    drivers = tuple(name for name in (f"{spec.target}_{spread}" for spread in SPREADS) if name in names)
    logs = _logs(x, names, drivers)
    finite = np.isfinite(logs)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, logs, 0).sum(axis=0) / count
    scale = np.maximum(np.sqrt(np.where(finite, (logs - mean) ** 2, 0).sum(axis=0) / count), 1e-6)
    table = _drivers(x, names, drivers, mean, scale)
    half, exponents = [], []
    for at, horizon in enumerate(spec.horizons):
        error = np.abs(np.asarray(forecast[:, at], dtype=np.float64) - actual[:, at])
        finite_error = np.isfinite(error)
        if finite_error.sum() < np.ceil(round(1 / (1 - level), 6)):  # 1 / (1 - 0.9) is 10, and a little more in floats
            raise AeroCastError(
                f"intervals: {int(finite_error.sum())} calibration rows at horizon {horizon} are too few"
            )
        exponent = _exponents(table[finite_error], error[finite_error])
        factor = 1.0 if widen is None else widen[at]
        scores = error[finite_error] / np.exp(table[finite_error] @ exponent)
        half.append(factor * _half(scores, blocks[finite_error], level))
        exponents.append(tuple(float(value) for value in exponent))
    return Intervals(
        level,
        spec.horizons,
        tuple(half),
        drivers,
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(exponents),
        len(x),
    )


def coverage(intervals: Intervals, x: Floats, names: Sequence[str], forecast: Floats, actual: Floats) -> list[float]:
    """Share of measured outcomes inside their interval, per horizon."""
    low, high = intervals.apply(forecast, x, names)
    inside, measured = (low <= actual) & (actual <= high), np.isfinite(actual)
    return [float(value) for value in (inside & measured).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)]


def _logs(x: Floats, names: Sequence[str], drivers: Sequence[str]) -> NDArray[np.float64]:
    columns = x[:, [list(names).index(name) for name in drivers]]
    return np.log1p(columns.astype(np.float64))


def _drivers(
    x: Floats, names: Sequence[str], drivers: Sequence[str], mean: NDArray[Any], scale: NDArray[Any]
) -> NDArray[np.float64]:
    """(n, K) standardised drivers; 0 where missing."""
    standard = np.clip((_logs(x, names, drivers) - mean) / scale, -REACH, REACH)
    return np.where(np.isnan(standard), 0.0, standard)


def _exponents(table: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge of log |error| on the drivers."""
    logs = np.log(error + 0.05 * error.mean() + 1e-9)
    gram = table.T @ table + SHRINK * len(table) * np.eye(table.shape[1])
    return np.linalg.solve(gram, table.T @ (logs - logs.mean()))


def _half(scores: NDArray[np.float64], blocks: NDArray[Any], level: float) -> float:
    """The smallest quantile of the scores, at or above the conformal one, that covers left-out blocks as stated."""
    count = len(scores)
    start = min(1.0, level * (count + 1) / count)
    labels = np.unique(blocks)
    if len(labels) < 3:
        return float(np.quantile(scores, start))
    for quantile in np.linspace(start, 1.0, LEVELS, endpoint=False):
        inside = [scores[blocks == label] <= np.quantile(scores[blocks != label], quantile) for label in labels]
        if np.concatenate(inside).mean() >= level:
            break
    return float(np.quantile(scores, quantile))
