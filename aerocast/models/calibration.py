"""Calibrates quantiles for each horizon (split conformal), on rows that no model was fitted or chosen on.

Errors are divided by a spread that follows the drivers of `aerocast.contracts.intervals` (locally weighted conformal:
Lei et al. 2018), and the quantiles of what remains are taken. They may follow the drivers as well (quantile
regression: Koenker and Bassett 1978; conformalised: Romano et al. 2019), and the bounds may lie halfway to those of
trees (`quantile_trees`): each where blocks of calibration time, left out in turn, say that it pays. Neighbouring hours
and stations err together, so the quantiles are moved outwards until blocks that are left out are covered as stated.
That the future is harder than a week in between, which blocks cannot show, comes as a factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals, bounds_of, driver_table, drivers_of, levels_of, standard
from aerocast.contracts.quantile_trees import QuantileTrees
from aerocast.features.grid import Floats, WindowSpec
from aerocast.models.quantile_trees import conformal as conformal_trees

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed

SHRINK = 0.1  # ridge on the spread's exponents and on the quantiles' slopes, a share of the rows
TAILS = 40  # steps by which the share outside the interval may shrink
FOLDS = 4  # of blocks, which say whether quantiles should follow the drivers
FEWEST = 200  # rows, below which they do not
ROUNDS = 25  # of reweighting in a quantile regression
SHARE = 0.5  # of trees in the bounds: the mean of two intervals errs less than the better one, more often than not
SHARP = 0.05  # of the standard deviation: errors below it weigh alike in a quantile regression

_Reals = NDArray[np.float64]


@dataclass(frozen=True)
class QuantileSpec:
    """What is calibrated: the interval's `level`, `others`, and the bounds that no value may lie beyond."""

    level: float
    others: tuple[float, ...] = ()
    lowest: float | None = None
    highest: float | None = None

    @classmethod
    def of(cls, feed: Feed, target: str) -> QuantileSpec:
        """As the feed declares it."""
        low, high = feed.column(target).bounds
        return cls(feed.promotion.coverage, feed.promotion.quantiles, low, high)

    @property
    def levels(self) -> tuple[float, ...]:
        """(Q,) all quantiles, in order."""
        return levels_of(self.level, self.others)


def calibrate(
    spec: WindowSpec,
    quantiles: QuantileSpec,
    x: Floats,
    names: Sequence[str],
    forecast: Floats,
    actual: Floats,
    blocks: NDArray[Any],
    widen: Sequence[float] | None = None,
    trees: Sequence[QuantileTrees] = (),
) -> Intervals:
    """Intervals from calibration rows: features (n, F), forecasts and outcomes (n, H); `blocks` (n,) labels of time.

    `widen` (H,) are factors for what these rows cannot show, as from `forward.forward_factors`; `trees` (H,), if any,
    have not seen these rows, either.

    Raises:
        AeroCastError: a horizon has fewer rows than the level needs.
    """
    drivers = drivers_of(spec, names)
    table = driver_table(forecast, x, names, drivers)
    finite = np.isfinite(table)
    count = np.maximum(finite.sum(axis=(0, 1)), 1)
    mean = np.where(finite, table, 0).sum(axis=(0, 1)) / count
    scale = np.maximum(np.sqrt(np.where(finite, (table - mean) ** 2, 0).sum(axis=(0, 1)) / count), 1e-6)
    table = standard(table, mean, scale)
    least = np.ceil(round(1 / (1 - quantiles.level), 6))  # 1 / (1 - 0.9) is 10, and a little more in floats
    fits, grown, place_of = [], [], {name: place for place, name in enumerate(names)}
    for at, horizon in enumerate(spec.horizons):
        error = np.asarray(actual[:, at], dtype=np.float64) - forecast[:, at]
        finite = np.isfinite(error)
        if finite.sum() < least:
            raise AeroCastError(f"intervals: {int(finite.sum())} calibration rows at horizon {horizon} are too few")
        factor = widen[at] if widen else 1.0
        own = _Calibration(quantiles, table[finite, at], error[finite], blocks[finite])
        fits.append(own.fit(factor))
        if trees:
            ends = trees[at].ends(x[finite], place_of)
            grown.append(own.trees(trees[at], ends, forecast[finite, at].astype(np.float64), factor))
    return Intervals(
        quantiles.level,
        spec.horizons,
        (),
        drivers,
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(tuple(fit.exponents.tolist()) for fit in fits),
        len(x),
        quantiles.lowest,
        highest=quantiles.highest,
        quantiles=quantiles.levels,
        offsets=tuple(tuple(fit.offsets.tolist()) for fit in fits),
        slopes=tuple(tuple(tuple(row) for row in fit.slopes.tolist()) for fit in fits),
        trees=tuple(grown) if any(grown) else (),
    )


@dataclass(frozen=True)
class _Horizon:
    """One horizon's exponents (K,), offsets (Q,) and slopes (Q, K), as `Intervals` has them."""

    exponents: _Reals
    offsets: _Reals
    slopes: _Reals

    def ends(self, drivers: _Reals, at: Sequence[int]) -> _Reals:
        """(n, len(at)) distances of the quantiles at these places, from standardised drivers (n, K)."""
        usual: _Reals = self.offsets[at] + drivers @ self.slopes[at].T
        return np.exp(drivers @ self.exponents)[:, None] * usual


@dataclass(frozen=True)
class _Calibration:
    """The calibration rows of one horizon: standardised drivers (n, K), errors actual - forecast (n,), blocks (n,)."""

    quantiles: QuantileSpec
    drivers: _Reals
    error: _Reals
    blocks: NDArray[Any]

    def take(self, rows: NDArray[np.bool_]) -> _Calibration:
        """Some of the rows."""
        return replace(self, drivers=self.drivers[rows], error=self.error[rows], blocks=self.blocks[rows])

    def fit(self, widen: float = 1.0) -> _Horizon:
        quantiles, drivers = self.quantiles, self.drivers
        exponents = _exponents(drivers, self.error)
        spread = np.exp(drivers @ exponents)
        scaled = self.error / spread
        slopes = np.zeros((len(quantiles.levels), drivers.shape[1]))
        if _follows(bounds_of(quantiles.level), drivers, scaled, spread, self.blocks):
            slopes = _regression(drivers, scaled, quantiles.levels)[:, 1:]
        rest = scaled[:, None] - drivers @ slopes.T
        return _Horizon(exponents, widen * _offsets(quantiles, rest, self.blocks), widen * slopes)

    def trees(self, grown: QuantileTrees, ends: _Reals, forecast: _Reals, widen: float) -> QuantileTrees | None:
        """Trees with these `ends` (n, 2), conformalised; None where bounds halfway to them do not lose less."""
        actual, level, bounds = forecast + self.error, self.quantiles.level, bounds_of(self.quantiles.level)
        labels, block = np.unique(self.blocks, return_inverse=True)
        if len(labels) < FOLDS or len(actual) < FEWEST:
            return None
        plain, alone, halfway = replace(self, quantiles=QuantileSpec(level)), 0.0, 0.0
        for fold in range(FOLDS):
            test, rest = block % FOLDS == fold, block % FOLDS != fold
            own = plain.take(rest).fit().ends(self.drivers[test], [0, 1])
            theirs = conformal_trees(grown, ends[rest], actual[rest], level).around(forecast[test], ends[test])
            rows = np.isfinite(theirs).all(axis=1)
            error, own, theirs = self.error[test][rows], own[rows], theirs[rows]
            alone += _loss(error, own, bounds)
            halfway += _loss(error, (1 - SHARE) * own + SHARE * theirs, bounds)
        if halfway >= alone:
            return None
        whole = conformal_trees(grown, ends, actual, level)
        return msgspec.structs.replace(whole, wider=float(widen), share=SHARE)


def conformal(scores: Floats, level: float) -> _Reals:
    """(H,) conformal quantiles of scores (n, H), NaN where an outcome or a forecast is missing; 1 where all are."""
    counts = np.isfinite(scores).sum(axis=0)
    shares = np.minimum(1.0, level * (counts + 1) / np.maximum(counts, 1))
    finite = [column[np.isfinite(column)] for column in scores.T]
    return np.array([np.quantile(own, share) if len(own) else 1.0 for own, share in zip(finite, shares, strict=True)])


def _exponents(table: _Reals, error: _Reals) -> _Reals:
    """Ridge of log |error| on the drivers."""
    sizes = np.abs(error)
    logs = np.log(sizes + 0.05 * sizes.mean() + 1e-9)
    gram = table.T @ table + SHRINK * len(table) * np.eye(table.shape[1])
    return np.linalg.solve(gram, table.T @ (logs - logs.mean()))


def _follows(bounds: Sequence[float], drivers: _Reals, scaled: _Reals, spread: _Reals, blocks: NDArray[Any]) -> bool:
    """Whether bounds that follow the drivers lose less on blocks that are left out."""
    labels, block = np.unique(blocks, return_inverse=True)
    if len(labels) < FOLDS or len(scaled) < FEWEST or not drivers.shape[1]:
        return False
    fixed = following = 0.0
    for fold in range(FOLDS):
        test = block % FOLDS == fold
        constant = np.quantile(scaled[~test], bounds)[None]
        weights = _regression(drivers[~test], scaled[~test], bounds)
        fixed += _loss(scaled[test], constant, bounds, spread[test])
        following += _loss(scaled[test], _with_ones(drivers[test]) @ weights.T, bounds, spread[test])
    return following < fixed


def _loss(scaled: _Reals, values: _Reals, levels: Sequence[float], spread: _Reals | None = None) -> float:
    """Quantile loss of `values` (n, Q), in target units."""
    spread = np.ones(len(scaled)) if spread is None else spread
    error = scaled[:, None] - values
    return float((np.maximum(error * levels, error * (np.array(levels) - 1)) * spread[:, None]).sum())


def _regression(drivers: _Reals, y: _Reals, levels: Sequence[float]) -> _Reals:
    """(Q, 1 + K) linear quantile regression, by reweighted least squares, with ridge on the slopes."""
    x, sharp = _with_ones(drivers), SHARP * float(np.std(y)) + 1e-9
    weights = np.zeros((len(levels), x.shape[1]))
    for at, level in enumerate(levels):
        own = weights[at]
        own[0] = np.quantile(y, level)
        pull = SHRINK * len(y) / (2 * sharp + np.mean(np.abs(y - own[0])))
        penalty = np.diag([0.0, *[pull] * drivers.shape[1]])
        for _ in range(ROUNDS):
            error = y - x @ own
            weighted = x.T * (np.where(error > 0, level, 1 - level) / np.maximum(np.abs(error), sharp))
            own = np.linalg.solve(weighted @ x + penalty, weighted @ y)
        weights[at] = own
    return weights


def _with_ones(drivers: _Reals) -> _Reals:
    return np.hstack([np.ones((len(drivers), 1)), drivers])


def _offsets(quantiles: QuantileSpec, scores: _Reals, blocks: NDArray[Any]) -> _Reals:
    """(Q,) quantiles of scores (n, Q), at least conformal, and far enough apart to cover blocks that are left out."""
    labels = np.unique(blocks)
    first, last = (quantiles.levels.index(each) for each in bounds_of(quantiles.level))
    for share in np.linspace(1.0, 0.0, TAILS if len(labels) > 2 else 1, endpoint=False):
        shares = [_moved(level, share, len(scores)) for level in quantiles.levels]
        inside = np.zeros(len(scores), dtype=bool)
        for label in labels if len(labels) > 2 else ():
            own, rest = blocks == label, blocks != label
            low = np.quantile(scores[rest, first], shares[first])
            high = np.quantile(scores[rest, last], shares[last])
            inside[own] = (low <= scores[own, first]) & (scores[own, last] <= high)
        if inside.mean() >= quantiles.level:
            break
    return np.array([np.quantile(scores[:, at], each) for at, each in enumerate(shares)])


def _moved(level: float, share: float, count: int) -> float:
    """The quantile of `count` scores that stands for a level, with so large a share of what lies beyond it."""
    outside = share * min(level, 1 - level)
    inside = min(1.0, (1 - outside) * (count + 1) / count)
    return level if level == 0.5 else 1 - inside if level < 0.5 else inside
