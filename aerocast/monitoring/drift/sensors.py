"""Tests whether a sensor can be trusted: its newest readings against those of the same sensor in its reference.

A fault is open from its first wrong reading until readings are healthy again. Times are rows of the examined grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aerocast.contracts.drift_state import Evidence
from aerocast.monitoring.drift.habits import Habits, gaps, run_lengths, runs, spike_sizes
from aerocast.monitoring.drift.profile import Reals

SPIKES_LEAST = 3  # fewer stand out by chance
GROSS_LEAST = 2  # of those that stand out further than any in the reference
SPIKES_MORE = 2  # beyond the most that three days of the reference had
SPIKES_DAYS = 3
SPIKES_CALM = 60  # steps without a spike after which the sensor is well again
DROP_SHARE = 0.35  # of the newest readings missing beyond what is usual
DROP_LEAST = 0.6
DROP_WELL = 0.25  # of the newest steps missing: well again


@dataclass(frozen=True)
class ColumnFault:
    """A fault in one column: rows [start, end) of the examined grid; `end` None while it lasts."""

    column: str
    kind: str
    start: int
    end: int | None
    detail: str


@dataclass(frozen=True)
class SensorTest:
    """One test of one column: its evidence, and the faults, oldest first."""

    evidence: Evidence
    faults: tuple[ColumnFault, ...] = ()


def flat_line(column: str, recent: Reals, habits: Habits, open_since: int | None = None) -> SensorTest:
    """Runs of one value longer than the reference ever had there; `open_since` is the row of a known, open one."""
    first, last, values = runs(recent)
    if not len(first):
        return SensorTest(Evidence("flat_line", column, None, None, False, f"{column} has no reading"))
    counts, _ = run_lengths(recent)
    limits = habits.run_limits_at(values)
    wrong = counts > limits
    if open_since is not None and last[-1] >= open_since >= first[-1]:
        wrong[-1] = True
    faults = []
    for at in np.flatnonzero(wrong):
        detail = f"{column} stands at {values[at]:g} for {counts[at]} readings; the reference allows {limits[at]:.0f}"
        end = None if at == len(first) - 1 else int(first[at + 1])
        start = int(first[at])
        rows = np.flatnonzero(np.isfinite(recent[start : last[at] + 1]))
        faults.append(ColumnFault(column, "flat_line", start + int(rows[min(1, len(rows) - 1)]), end, detail))
    worst = int(np.argmax(counts / limits))
    detail = f"longest run of one value: {counts[worst]} readings of {values[worst]:g}"
    value, limit = float(counts[worst]), float(limits[worst]) if np.isfinite(limits[worst]) else None
    return SensorTest(
        Evidence("flat_line", column, value, limit, any(each.end is None for each in faults), detail), tuple(faults)
    )


def spikes(column: str, recent: Reals, habits: Habits, per_day: int, was_open: bool = False) -> SensorTest:
    """Isolated readings that stand out further and more often than the reference's; `known`: open before."""
    window = SPIKES_DAYS * per_day if per_day > 1 else 28
    limit = max(SPIKES_LEAST, habits.spikes + SPIKES_MORE)
    sizes = spike_sizes(recent) if habits.spike > 0 else np.zeros(len(recent))
    hits = np.flatnonzero(sizes > habits.spike)
    # A gross one weighs so much that GROSS_LEAST of them reach the limit.
    weight = np.where(sizes > habits.gross, limit / GROSS_LEAST, 1.0) * (sizes > habits.spike)
    often = np.convolve(weight, np.ones(min(window, len(weight))))[: len(weight)] if len(weight) else weight
    most = float(often.max(initial=0.0))
    summary = f"readings within {window} steps that stand out by more than {habits.spike:.3g} weigh {most:.0f}"
    faults = []
    for group in np.split(hits, np.flatnonzero(np.diff(hits) > SPIKES_CALM) + 1) if len(hits) else []:
        lasts = bool(len(recent) - group[-1] <= SPIKES_CALM)
        newest = group[group >= len(recent) - SPIKES_CALM]
        if often[group[0] : group[-1] + 1].max() < limit and not (
            was_open and weight[newest].sum() >= limit / GROSS_LEAST
        ):
            continue
        detail = f"{column}: {len(group)} isolated readings stand out by more than {habits.spike:.3g}"
        faults.append(ColumnFault(column, "spikes", int(group[0]), None if lasts else int(group[-1]) + 1, detail))
    return SensorTest(
        Evidence("spikes", column, most, float(limit), any(each.end is None for each in faults), summary), tuple(faults)
    )


def drop_out(column: str, recent: Reals, habits: Habits, per_day: int) -> SensorTest:
    """Silence longer than usual, or far more readings missing than usual."""
    start, stop = gaps(recent)
    faults = []
    for first, last in zip(start.tolist(), stop.tolist(), strict=True):
        if last - first >= habits.gap_limit:
            detail = f"{column}: nothing for {last - first} steps; the reference's silences end within"
            end = None if last == len(recent) else last
            faults.append(ColumnFault(column, "drop_out", first, end, f"{detail} {habits.gap_limit:.0f}"))
    window = min(len(recent), SPIKES_DAYS * per_day if per_day > 1 else 28)
    absent = ~np.isfinite(recent[-window:])
    share, limit = float(absent.mean()), max(DROP_LEAST, habits.missing_share + DROP_SHARE)
    newest = absent[-max(1, window // 3) :].mean()
    if not _lasts(faults) and share > limit and newest > DROP_WELL:
        first = len(recent) - window + int(np.argmax(absent))
        detail = f"{column}: {share:.0%} of {window} readings are missing"
        faults.append(ColumnFault(column, "drop_out", first, None, detail))
    longest = float((stop - start).max(initial=0))
    detail = f"longest silence {longest:.0f} steps; {share:.0%} of the newest {window} readings missing"
    return SensorTest(Evidence("drop_out", column, longest, habits.gap_limit, _lasts(faults), detail), tuple(faults))


def _lasts(faults: Sequence[ColumnFault]) -> bool:
    return any(each.end is None for each in faults)
