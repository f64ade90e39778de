"""Quantiles of the outcome around a forecast, by horizon; the interval lies between two of them.

The distance from the forecast is in units of a spread, which follows how much the target varied in the last day or
two, the forecast's level and how far it lies from the newest value, and the hour: an error of the same size means less
in unsettled weather and at high load. Where that pays, the distance itself follows them too: near zero, outcomes lie
above a forecast rather than below; and the bounds lie halfway to those of trees. `aerocast.models.calibration` makes
them.
The server imports this module: numpy and msgspec only.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.cold_start import ColdStart
from aerocast.contracts.outages import Outages
from aerocast.contracts.quantile_trees import QuantileTrees
from aerocast.features.grid import Floats, WindowSpec
from aerocast.features.lags import hour_of

SPREADS = (24, 48)  # hours
LEVEL, CHANGE = "forecast", "forecast-"  # drivers that are no features; what is behind the second is one
REACH = 3.0  # standard deviations of a driver beyond which nothing follows it any further
_DIGITS = 6  # (1 - 0.9) / 2 is 0.05, and a little less in floats


def bounds_of(level: float) -> tuple[float, float]:
    """The quantiles between which the interval of a level lies."""
    return round((1 - level) / 2, _DIGITS), round((1 + level) / 2, _DIGITS)


def levels_of(level: float, quantiles: Sequence[float]) -> tuple[float, ...]:
    """The quantiles in order, with those that bound the interval among them."""
    return tuple(sorted({*bounds_of(level), *(round(each, _DIGITS) for each in quantiles)}))


class Intervals(msgspec.Struct, frozen=True):
    """Per horizon and quantile: `offsets` (H, Q), the distance from the forecast where all is usual (target units).

    `slopes` (H, Q, K), if any, are how much farther it is for each of the K `drivers`, and `exponents` (H, K) how much
    the spread follows them. A driver is a feature, the forecast, or its distance from a feature; each is standardised
    with `mean` and `scale`, within REACH, and counts as usual where it is missing (see `_driver`). `trees` (H,), if
    any, move the interval's bounds, and the quantiles between them with those. No quantile lies below `lowest` or above
    `highest`; `cold_start` is how much wider intervals are for a station that was not learned, `late` (H,) where
    something that is known ahead is late, and `outages` while the target is silent. An older release has `half` (H,),
    the half width of an interval alone.
    """

    level: float
    horizons: tuple[int, ...]
    half: tuple[float, ...]
    drivers: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    exponents: tuple[tuple[float, ...], ...]
    rows: int
    lowest: float | None = None
    cold_start: ColdStart | None = None
    late: tuple[float, ...] = ()
    highest: float | None = None
    quantiles: tuple[float, ...] = ()
    offsets: tuple[tuple[float, ...], ...] = ()
    slopes: tuple[tuple[tuple[float, ...], ...], ...] = ()
    outages: Outages | None = None
    trees: tuple[QuantileTrees | None, ...] = ()

    @property
    def levels(self) -> tuple[float, ...]:
        """(Q,) the quantiles that it knows, in order."""
        return self.quantiles or bounds_of(self.level)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that the quantiles follow."""
        features = [name.removeprefix(CHANGE) for name in self.drivers if name != LEVEL]
        grown = [name for each in self.trees if each for name in (each.newest, *each.features)]
        return tuple(dict.fromkeys([*features, *grown]))

    def usual(self) -> NDArray[np.float64]:
        """(H, Q) distances from the forecast where all is usual."""
        half = np.array(self.half, dtype=np.float64)
        return np.array(self.offsets, dtype=np.float64) if self.quantiles else np.stack([-half, half], axis=1)

    def distances(self, forecast: Floats, x: Floats, names: Sequence[str]) -> Floats:
        """(n, H, Q) of each quantile from forecasts (n, H), from feature rows (n, F) called `names`; target units."""
        table = driver_table(forecast, x, names, self.drivers)
        drivers = standard(table, np.array(self.mean), np.array(self.scale))
        exponents = np.array(self.exponents, dtype=np.float64).reshape(len(self.horizons), -1)
        spread = np.exp(np.einsum("nhk,hk->nh", drivers, exponents))[:, :, None]
        usual: NDArray[np.float64] = np.broadcast_to(self.usual(), (*forecast.shape, len(self.levels)))
        if self.slopes:
            usual = usual + np.einsum("nhk,hqk->nhq", drivers, np.array(self.slopes))
        distances = np.sort(spread * usual, axis=2)
        if any(self.trees):
            distances = self._with_trees(distances, forecast, x, names)
        single: Floats = distances.astype(np.float32)
        return single

    def _with_trees(
        self, distances: NDArray[np.float64], forecast: Floats, x: Floats, names: Sequence[str]
    ) -> NDArray[np.float64]:
        """(n, H, Q) distances moved towards those of trees: the bounds by their share, what lies between by less."""
        place_of = {name: place for place, name in enumerate(names)}
        levels, bounds = np.array(self.levels), bounds_of(self.level)
        ends = [self.levels.index(each) for each in bounds]
        nearness = [np.clip((0.5 - levels) / (0.5 - bound), 0, 1) for bound in bounds]
        sums = distances.copy()
        for at, trees in enumerate(self.trees):
            if trees:
                apart = trees.share * (trees.distances(forecast[:, at], x, place_of) - distances[:, at, ends])
                sums[:, at] += np.nan_to_num(apart) @ np.stack(nearness)
        return np.sort(sums, axis=2)

    def excess(self, forecast: Floats, actual: Floats, x: Floats, names: Sequence[str]) -> Floats:
        """(n, H) distances of outcomes from their forecasts, in those of the interval's bound on the same side."""
        low, high = self._bounds(self.distances(forecast, x, names))
        error = actual - forecast
        excess: Floats = np.where(error < 0, error / np.minimum(low, -1e-9), error / np.maximum(high, 1e-9))
        return excess

    def apply(
        self, forecast: Floats, x: Floats, names: Sequence[str], wider: Floats | float = 1.0
    ) -> tuple[Floats, Floats]:
        """Lower and upper bounds (n, H) around `forecast` (n, H), `wider` by a factor or factors (n, H)."""
        return self.around(forecast, self.distances(forecast, x, names), wider)

    def around(self, forecast: Floats, distances: Floats, wider: Floats | float = 1.0) -> tuple[Floats, Floats]:
        """Lower and upper bounds (n, H) from `distances` (n, H, Q); the forecast lies between them."""
        low, high = self._bounds(distances)
        low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
        return self._clip(forecast + low * wider), self._clip(forecast + high * wider)

    def at(self, forecast: Floats, distances: Floats, wider: Floats | float = 1.0) -> Floats:
        """Values (n, H, Q) of the quantiles; those of the interval are its bounds."""
        factors = np.broadcast_to(np.asarray(wider, dtype=np.float32), forecast.shape)[:, :, None]
        values = self._clip(forecast[:, :, None] + distances * factors)
        first, last = (self.levels.index(each) for each in bounds_of(self.level))
        lower, upper = self.around(forecast, distances, wider)
        values[:, :, : first + 1] = np.minimum(values[:, :, : first + 1], lower[:, :, None])
        values[:, :, last:] = np.maximum(values[:, :, last:], upper[:, :, None])
        return values

    def _bounds(self, distances: Floats) -> tuple[Floats, Floats]:
        first, last = (self.levels.index(each) for each in bounds_of(self.level))
        return distances[:, :, first], distances[:, :, last]

    def _clip(self, values: Floats) -> Floats:
        if self.lowest is None and self.highest is None:
            return values
        within: Floats = np.clip(values, self.lowest, self.highest)
        return within


def coverage(intervals: Intervals, x: Floats, names: Sequence[str], forecast: Floats, actual: Floats) -> list[float]:
    """Share of measured outcomes inside their interval, per horizon."""
    low, high = intervals.apply(forecast, x, names)
    inside, measured = (low <= actual) & (actual <= high), np.isfinite(actual)
    return [float(value) for value in (inside & measured).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)]


def drivers_of(spec: WindowSpec, names: Sequence[str]) -> tuple[str, ...]:
    """The drivers that rows with these features have."""
    spreads = [f"{spec.target}_std{hours * hour_of(spec)}" for hours in SPREADS]
    newest = f"{spec.target}_lag0"
    features = [name for name in (*spreads, "hour_sin_0", "hour_cos_0") if name in names]
    return (*features, LEVEL, CHANGE + newest) if newest in names else tuple(features)


def driver_table(forecast: Floats, x: Floats, names: Sequence[str], drivers: Sequence[str]) -> NDArray[np.float64]:
    """(n, H, K) drivers of forecasts (n, H)."""
    table = np.empty((*forecast.shape, len(drivers)))
    for at, name in enumerate(drivers):
        table[:, :, at] = _driver(name, forecast, x, names)
    return table


def _driver(name: str, forecast: Floats, x: Floats, names: Sequence[str]) -> NDArray[np.float64]:
    """(n, H) or (n, 1) of one driver: waves of the hour as they are, all else on a scale of logarithms."""
    if name == LEVEL:
        return np.arcsinh(forecast.astype(np.float64))
    values = x[:, [list(names).index(name.removeprefix(CHANGE))]].astype(np.float64)
    if name.startswith(CHANGE):
        return np.arcsinh(np.abs(forecast - values))
    return values if name.startswith("hour_") else np.log1p(values)


def standard(table: NDArray[np.float64], mean: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.float64]:
    """(n, H, K) standardised drivers; 0 where missing."""
    values = np.clip((table - mean) / scale, -REACH, REACH)
    return np.where(np.isnan(values), 0.0, values)
