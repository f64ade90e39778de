"""Measures how far off a model is for a station that it has not learned, so that its intervals can be wider by that.

Two things make such a station harder. The graph does not know which station it is, nor what lies before its first
reading: it is run over calibration rows from which both were taken, and what its intervals would then have to be is
measured. And it has learned from these very stations: a ridge is fitted without one station after the other, and its
errors there are compared with those of a ridge that knows all (leave-one-group-out cross-validation).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.cold_start import ColdStart, History
from aerocast.contracts.intervals import Intervals
from aerocast.features import ahead, calendar, sky
from aerocast.features.grid import Floats, WindowSpec
from aerocast.features.lags import span_ends, spans_of
from aerocast.models.calibration import conformal
from aerocast.models.kinds._ridge import Design

PENALTY = 0.03  # ridge, a share of the rows
MOST_ROWS, MOST_STATIONS = 10_000, 12  # that the ridge is fitted on, and that are left out


def measure(
    spec: WindowSpec,
    names: Sequence[str],
    x: Floats,
    y: Floats,
    stations: NDArray[np.str_],
    forecasters: Sequence[Callable[[Floats], Floats]],
    intervals: Intervals,
) -> ColdStart | None:
    """Factors from calibration rows `x` (n, F) called `names`, their outcomes `y` (n, H) and their `stations` (n,).

    Each of the `forecasters` gives levels (n, H) of such rows; the one that needs more counts. None for fewer than two
    stations: nothing can be left out of one.
    """
    own = np.unique(stations)
    if len(own) < 2:
        return None
    apart = _left_out(spec, names, x, y, stations, intervals.level)

    def scores_of(levels: Floats, rows: Floats) -> Floats:
        return intervals.excess(levels, y, rows, names)

    def factors(history: History) -> tuple[float, ...]:
        rows = as_new_station(spec, names, x, history)
        own = np.max([conformal(scores_of(each(rows), rows), intervals.level) for each in forecasters], axis=0)
        return tuple(max(1.0, each) * more for each, more in zip(own.tolist(), apart, strict=True))

    return ColdStart(tuple(own.tolist()), factors("none"), factors("short"), factors("whole"))


def as_new_station(spec: WindowSpec, names: Sequence[str], x: Floats, history: History) -> Floats:
    """Feature rows (n, F) as those of a station that is not known, with as much history as is said."""
    at = {name: index for index, name in enumerate(names)}
    rows = x.copy()
    rows[:, [index for name, index in at.items() if name.startswith("station_")]] = np.nan
    if history == "whole":
        return rows
    newest = [f"{column}_lag0" for column in spec.inputs]
    near = [f"near_{name}" for name in newest]
    # What is known ahead is not the station's past; where it is late, intervals widen for that as well.
    outside = {*sky.names(spec), *calendar.names(spec), *ahead.names(spec)}
    stays = {*outside, *newest, *near, *(f"{column}_age" for column in spec.inputs)}
    rows[:, [index for name, index in at.items() if name not in stays]] = np.nan
    for column, own in zip(spec.inputs, newest, strict=True):
        for name in _constant(spec, column) & at.keys():
            rows[:, at[name]] = np.where(np.isnan(rows[:, at[own]]), np.nan, 0)
    if history == "none":
        for own, other in zip(newest, near, strict=True):
            if other in at:
                rows[:, at[own]] += rows[:, at[other]]
                rows[:, at[other]] = np.where(np.isnan(rows[:, at[own]]), np.nan, 0)
    return rows


def _constant(spec: WindowSpec, column: str) -> set[str]:
    """The features that are 0 where only the newest step of a column is known: it does not differ from itself."""
    means = {f"{column}_mean{start}to{end}" for start, end in spans_of(spec) if not start}
    ranges = {f"{column}_{stat}{end}" for end in span_ends(spec) for stat in ("std", "min", "max")}
    return means | (ranges if column == spec.target else set())


def _left_out(
    spec: WindowSpec, names: Sequence[str], x: Floats, y: Floats, stations: NDArray[np.str_], level: float
) -> list[float]:
    """(H,) how much larger a ridge's errors are at stations that it has not learned, at least 1."""
    chance = np.random.default_rng(0)
    change = y - x[:, [list(names).index(f"{spec.target}_lag0")]]
    rows = np.flatnonzero(np.isfinite(change).all(axis=1))
    rows = np.sort(chance.permutation(rows)[:MOST_ROWS])
    own = np.unique(stations[rows])
    if len(own) < 2:
        return [1.0] * y.shape[1]
    blank = as_new_station(spec, names, x[rows], "whole")
    design = Design.of(names, blank)
    matrix = design.matrix(blank)[:, : design.plain]
    matrix = np.hstack([matrix, np.ones((len(matrix), 1), dtype=np.float32)])
    tests = [stations[rows] == each for each in np.sort(chance.permutation(own)[:MOST_STATIONS])]
    whole = _Sums.of(matrix, change[rows])
    apart = [whole.without(_Sums.of(matrix[test], change[rows][test])) for test in tests]
    errors = [
        np.concatenate([sums.errors(matrix[test], change[rows][test]) for sums, test in zip(fits, tests, strict=True)])
        for fits in (apart, [whole] * len(tests))
    ]
    left_out, learned = (np.quantile(each, level, axis=0) for each in errors)
    return [max(1.0, float(each)) for each in left_out / np.maximum(learned, 1e-9)]


@dataclass(frozen=True)
class _Sums:
    """What a ridge is solved from: sums over its rows, from which those of some rows can be taken."""

    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, matrix: Floats, change: Floats) -> "_Sums":
        return cls((matrix.T @ matrix).astype(np.float64), (matrix.T @ change).astype(np.float64), len(matrix))

    def without(self, other: "_Sums") -> "_Sums":
        return _Sums(self.gram - other.gram, self.moment - other.moment, self.count - other.count)

    def errors(self, matrix: Floats, change: Floats) -> NDArray[np.float64]:
        """|error| (n, H) of the ridge on other rows."""
        weights = np.linalg.solve(self.gram + PENALTY * self.count * np.eye(len(self.gram)), self.moment)
        misses: NDArray[np.float64] = np.abs(change - matrix @ weights)
        return misses
