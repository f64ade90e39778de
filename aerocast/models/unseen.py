"""Calibrates a training on rows that its fits had not seen: intervals of what is judged, and of what serves then.

What is judged has calibration rows alone, scattered over the past. What serves has the rows that judged as well: they
lie after all that was learned, as the future does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals, bounds_of
from aerocast.contracts.quantile_trees import QuantileTrees
from aerocast.features.dataset import Dataset, Rows, mae, rmse
from aerocast.features.grid import Floats, Ints
from aerocast.features.sequences import none_whole, sequence_names, shortest_rows
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import Untrainable
from aerocast.models import cold_start
from aerocast.models.calibration import QuantileSpec, calibrate
from aerocast.models.fallback import Fallback, late_factors
from aerocast.models.fit import Fit
from aerocast.models.forward import forward_factors
from aerocast.models.quantile_trees import grow
from aerocast.models.splits import Cut, Role
from aerocast.tables.training import Samples


@dataclass(frozen=True)
class Unseen:
    """Rows that a fit had not seen: features (n, F), forecasts and outcomes (n, H), blocks of time, stations (n,)."""

    x: Floats
    levels: Floats
    y: Floats
    block: Ints
    station: NDArray[np.str_]

    @classmethod
    def of(cls, fit: Fit, samples: Samples, block: np.timedelta64) -> Unseen:
        """The samples as the fit answers them: for sequences cut to the hardest request."""
        x, y, station = samples.rows.x, samples.rows.y, samples.station
        blocks = samples.time.astype("datetime64[s]").astype(np.int64) // int(block / np.timedelta64(1, "s"))
        if fit.model.learns_sequences:
            whole, x = shortest_rows(fit.data.spec, samples.names, x)
            y, blocks, station = y[whole], blocks[whole], station[whole]
        return cls(x, fit.levels(x), y, blocks, station)

    def harder(self, factors: Sequence[float] | None) -> Unseen:
        """The same with outcomes so many times (H,) as far from their forecasts."""
        if factors is None:
            return self
        return replace(self, y=self.levels + np.array(factors, dtype=np.float32) * (self.y - self.levels))

    def and_also(self, other: Unseen) -> Unseen:
        """The rows of both."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Unseen(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Calibration:
    """Calibrates what is judged, and what serves in its place.

    The first of two `fits` had not seen the calibration rows; the second, which is judged, has learned them. `trees`
    have seen what the first has.
    """

    feed: Feed
    fits: tuple[Fit, Fit]
    samples: Samples
    role: NDArray[np.str_]
    plan: Cut
    own: Unseen
    widen: tuple[float, ...] | None
    trees: tuple[QuantileTrees, ...]

    @classmethod
    def of(
        cls, feed: Feed, fits: tuple[Fit, Fit], samples: Samples, role: NDArray[np.str_], plan: Cut, rows: str
    ) -> Calibration:
        """Of the samples whose digest is `rows`. Raises Untrainable or AeroCastError: there are no calibration rows."""
        fit, forecaster = fits[0], fits[0].model
        own = Unseen.of(fit, samples.take(role == Role.CALIBRATION), plan.block)
        if forecaster.learns_sequences and not np.isfinite(own.y).any(axis=0).all():
            raise Untrainable(none_whole(fit.data.spec, "calibration"))
        if not len(own.x):
            raise AeroCastError(
                f"{forecaster.kind}: no calibration rows: the blocks reserved for them contain no whole window"
            )
        widen = None if forecaster.is_baseline else _widening_once(feed, fit.data, samples, role, plan, rows)
        return cls(feed, fits, samples, role, plan, own, widen, grow(fit, bounds_of(feed.promotion.coverage)))

    def intervals(self) -> tuple[Intervals, dict[str, float]]:
        """Intervals of what is judged, from the calibration rows alone, and its errors there.

        What is judged has learned these rows. It may rely more on the stations that it knows, so both fits say what a
        new station needs.
        """
        (fit, _), own = self.fits, self.own
        spec, forecaster = fit.data.spec, fit.model
        names = tuple(sequence_names(spec)) if forecaster.learns_sequences else self.samples.names
        errors = {
            f"calibration_{name}_{horizon}": float(error)
            for name, measure in (("rmse", rmse), ("mae", mae))
            for horizon, error in zip(spec.horizons, measure(own.levels, own.y), strict=True)
        }
        intervals = self._calibrate(own, self.widen)
        if not forecaster.serves or forecaster.is_baseline or forecaster.learns_sequences:
            return intervals, errors
        first, last = (each.levels for each in self.fits)
        late = late_factors(spec, names, own.x, own.y, first, intervals) if isinstance(forecaster, Fallback) else ()
        cold = cold_start.measure(spec, names, own.x, own.y, own.station, (first, last), intervals)
        return msgspec.structs.replace(intervals, cold_start=cold, late=late), errors

    def newest(self, before: Intervals) -> Intervals:
        """Intervals of what serves: the rows that judged lie after all that was learned, as the future does."""
        test = Unseen.of(self.fits[1], self.samples.take(self.role == Role.TEST), self.plan.block)
        intervals = self._calibrate(self.own.harder(self.widen).and_also(test), None)
        cold = before.cold_start
        if cold:
            stations = tuple(np.union1d(cold.stations, np.unique(test.station)).tolist())
            cold = msgspec.structs.replace(cold, stations=stations)
        return msgspec.structs.replace(intervals, cold_start=cold, late=before.late)

    def _calibrate(self, rows: Unseen, widen: Sequence[float] | None) -> Intervals:
        spec = self.fits[0].data.spec
        names = tuple(sequence_names(spec)) if self.fits[0].model.learns_sequences else self.samples.names
        quantiles = QuantileSpec.of(self.feed, spec.target)
        return calibrate(spec, quantiles, rows.x, names, rows.levels, rows.y, rows.block, widen, self.trees)


_widenings: dict[Any, tuple[float, ...]] = {}  # the newest alone: kinds of one target are trained one after the other


def _widening_once(
    feed: Feed, data: Dataset, samples: Samples, role: NDArray[np.str_], plan: Cut, rows: str
) -> tuple[float, ...]:
    """As `widening`, which says the same to every kind that sees the samples whose digest is `rows`."""
    key = (rows, data.spec, plan, feed.split.test, feed.promotion.coverage)
    if key not in _widenings:
        factors = widening(feed, data, samples, role, plan)
        _widenings.clear()
        _widenings[key] = factors
    return _widenings[key]


def widening(feed: Feed, data: Dataset, samples: Samples, role: NDArray[np.str_], plan: Cut) -> tuple[float, ...]:
    """The factors by which intervals must be wider for weeks after the training span.

    Of a new regime, its own rows say so, if it is long enough; what lies before would say how much worse a change is.
    """
    before = samples.take(np.isin(role, [Role.TRAIN, Role.VALIDATION, Role.CALIBRATION]))
    past = Dataset(data.spec, data.names, before.rows, Rows(before.rows.x[:0], before.rows.y[:0]))
    blocks = feed.split.model_copy(update={"block": timedelta(seconds=int(plan.block / np.timedelta64(1, "s")))})
    return forward_factors(past, before.time, blocks, feed.promotion.coverage)
