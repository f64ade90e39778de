"""Learns what a healthy sensor does: limits from its own reference, computed once a release."""

from dataclasses import dataclass

import numpy as np

from aerocast.monitoring.drift.profile import Flags, Indices, Profile, Reals

RUN_FLOOR = 6  # identical readings in a row that any sensor may give
RUN_MARGIN = 1.5  # a stuck sensor outlasts the reference's longest run by this factor and RUN_MORE
RUN_MORE = 3
REST_SHARE = 0.02  # share of readings at one value that makes it a natural rest: no rain, a calm, 100 %
REST_MARGIN = 2.5  # a dry or calm spell may last this many times the reference's longest
LIVELY = 0.02  # share of neighbours that differ: below, a column stands still by habit and says nothing by it
GAP_FLOOR = 12  # steps: shorter silences are every feed's, and the server's freshness tells of them
GAP_MARGIN = 1.5  # a silence counts when this much longer than what happens once in GAP_DAYS
GAP_DAYS = 120
SPARSE = 0.25  # a column that misses more (gusts when there are some) is silent as it likes, up to SPARSE_MARGIN times
SPARSE_MARGIN = 3.0
SPIKE_SIZE = 1.25  # times the size that one reading in a thousand has
SPIKE_STEPS = 8.0  # and at least this many usual steps
GROSS = 1.5  # times the largest of the reference
LATTICE = 0.97  # share of unseen readings on known values that makes a column's values a lattice


@dataclass(frozen=True, eq=False)
class Habits:
    """One column's limits, in its canonical unit and in steps of the cadence.

    `rests` are values that it holds for long, `rest_limits` how long; `run_limit` that of any other. `step` is the
    usual change between neighbours, `far` one that 1 in 200 exceeds, `most` the largest. `gap_limit` counts missing
    steps in a row, `missing` the largest share of three days'
    that is missing. A reading that stands out by more than `spike` is one, by more than `gross` surely one; `spikes` is
    the most that three days had.
    """

    readings: int
    rests: Reals
    rest_limits: Reals
    run_limit: float
    step: float
    far: float
    most: float
    gap_limit: float
    missing_share: float
    spike: float
    gross: float
    spikes: int
    lattice: Reals

    def run_limits_at(self, values: Reals) -> Reals:
        """Longest credible run at each of these values."""
        limits = np.full(len(values), self.run_limit)
        for rest, limit in zip(self.rests, self.rest_limits, strict=True):
            limits[values == rest] = limit
        return limits


def habits(profile: Profile, column: str) -> Habits:
    """The column's habits in the reference, cached in the profile."""
    return profile.remember(("habits", column), lambda: _learn_habits(profile.column(column), profile.per_day))


def _learn_habits(values: Reals, per_day: int) -> Habits:
    rests, rest_limits, run_limit = _runs(values)
    readings = values[np.isfinite(values)]
    steps = np.abs(np.diff(values))
    steps = steps[np.isfinite(steps)]
    step, far, most = (float(np.quantile(steps, q)) for q in (0.75, 0.995, 1.0)) if len(steps) else (0.0, 0.0, 0.0)
    sizes = spike_sizes(values)
    spike = max(SPIKE_SIZE * float(np.quantile(sizes, 0.999)), SPIKE_STEPS * step)
    span = np.ones(min(3 * per_day if per_day > 1 else 28, len(sizes)))
    often = np.convolve(sizes > spike, span, "valid") if spike > 0 else np.zeros(1)
    return Habits(
        readings=len(readings),
        rests=rests,
        rest_limits=rest_limits,
        run_limit=run_limit,
        step=step,
        far=far,
        most=most,
        gap_limit=_gap_limit(values, per_day),
        missing_share=float(np.quantile(np.convolve(~np.isfinite(values), span / len(span), "valid"), 0.99)),
        spike=spike,
        gross=max(spike, GROSS * float(sizes.max(initial=0.0))),
        spikes=int(often.max(initial=0)),
        lattice=_lattice(readings),
    )


def runs(values: Reals) -> tuple[Indices, Indices, Reals]:
    """Runs of identical measured values: their first and last row and their value; missing rows do not end a run."""
    rows = np.flatnonzero(np.isfinite(values))
    if not len(rows):
        return rows, rows, np.empty(0)
    readings = values[rows]
    first = np.flatnonzero(np.append(True, readings[1:] != readings[:-1]))
    last = np.append(first[1:], len(rows)) - 1
    return rows[first], rows[last], readings[first]


def run_lengths(values: Reals) -> tuple[Indices, Reals]:
    """How many readings each run of identical values has, and its value."""
    readings = values[np.isfinite(values)]
    if not len(readings):
        return np.empty(0, dtype=np.int64), readings
    first = np.flatnonzero(np.append(True, readings[1:] != readings[:-1]))
    return np.diff(np.append(first, len(readings))), readings[first]


def gaps(values: Reals) -> tuple[Indices, Indices]:
    """Runs of missing rows: first, and one past the last."""
    absent = np.concatenate([[False], ~np.isfinite(values), [False]])
    change = np.diff(absent.astype(np.int8))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


def spike_sizes(values: Reals) -> Reals:
    """(n,) how far a reading stands out from both neighbours, on one side of both; 0 where it does not or unknown."""
    rows = np.flatnonzero(np.isfinite(values))
    sizes = np.zeros(len(values))
    if len(rows) < 3:
        return sizes
    readings, middle = values[rows], rows[1:-1]
    before, after = readings[1:-1] - readings[:-2], readings[1:-1] - readings[2:]
    near = (rows[2:] - rows[:-2]) <= 4
    sizes[middle] = np.where((before * after > 0) & near, np.minimum(np.abs(before), np.abs(after)), 0.0)
    return sizes


def _runs(values: Reals) -> tuple[Reals, Reals, float]:
    """Values that are natural rests, how long each may last, and how long any other value may."""
    counts, run_values = run_lengths(values)
    if not len(run_values):
        return np.empty(0), np.empty(0), float(RUN_FLOOR)
    kinds, which = np.unique(run_values, return_inverse=True)
    share = np.bincount(which, counts) / counts.sum()
    longest = np.zeros(len(kinds))
    np.maximum.at(longest, which, counts)
    if len(counts) - 1 < LIVELY * counts.sum():
        return kinds, np.full(len(kinds), np.inf), np.inf
    rest = share >= REST_SHARE
    others = float(longest[~rest].max(initial=1.0))
    limit = max(float(RUN_FLOOR), RUN_MARGIN * others + RUN_MORE)
    return kinds[rest], np.maximum(REST_MARGIN * longest[rest], limit), limit


def _gap_limit(values: Reals, per_day: int) -> float:
    """The longest silence that is usual: what happens less than once in GAP_DAYS does not count."""
    start, stop = gaps(values)
    rank = int(len(values) / per_day / GAP_DAYS)
    silences = np.sort(stop - start)[::-1]
    usual = float(silences[min(rank, len(silences) - 1)]) if len(silences) else 0.0
    if np.mean(~np.isfinite(values)) > SPARSE:
        return max(float(GAP_FLOOR), SPARSE_MARGIN * float(silences[0]))
    return max(float(GAP_FLOOR), GAP_MARGIN * usual + 2)


def _lattice(readings: Reals) -> Reals:
    """The known values of a column that has few: a reading of another month is nearly always one. Empty otherwise."""
    if len(readings) < 500:
        return np.empty(0)
    first, second = np.unique(readings[::2]), readings[1::2]
    if len(first) > len(readings) / 8 or is_on_lattice(first, second).mean() < LATTICE:
        return np.empty(0)
    return np.unique(readings)


def is_on_lattice(lattice: Reals, values: Reals) -> Flags:
    """Which values are on the lattice, up to float32's rounding."""
    index = np.clip(np.searchsorted(lattice, values), 1, len(lattice) - 1) if len(lattice) > 1 else np.zeros(1, int)
    near = np.minimum(np.abs(lattice[index] - values), np.abs(lattice[index - 1] - values))
    mask: Flags = near <= 2e-6 * np.maximum(1.0, np.abs(values))
    return mask
