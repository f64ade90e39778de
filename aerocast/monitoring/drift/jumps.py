"""Detects a change of unit on single readings: this needs no champion, no grid and no long reference.

Between two neighbouring readings the column moves further than its declaration finds credible, and the reading
converted from another unit moves no further than it may; so do the next ones. 12.2 and then -11.0, five minutes later,
is degF and then degC. The tests on the grid (`conversions`) know a sensor's habits and see finer; this
one sees at once, from the first hours of a feed on.
"""

from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aerocast.common.times import from_numpy
from aerocast.contracts.drift_state import Fault
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.conversions import Affine, mistakes

CONFIRM = 3  # readings on the new level before a change is believed
BRIDGE = 3  # steps of the cadence that two neighbours may lie apart
LEAST = 0.25  # share of `max_step` that is credible between readings however close they lie
BESIDE = 0.1  # of `max_step`: how far a converted reading may lie from its neighbour at once

KIND = "unit_change"


class Series(NamedTuple):
    """A station's readings of one column, oldest first, without holes: `time` (n,) datetime64[us], `value` (n,)."""

    time: NDArray[np.datetime64]
    value: NDArray[np.float64]


def unit_jumps(
    feed: Feed, column: Column, station: str, series: Series, open_fault: Fault | None = None
) -> list[Fault]:
    """Spans in which the column came in another unit, oldest first; the last one may be open.

    `known` is the fault that was open before: if its beginning is out of sight, only its end is looked for.
    Values and limits are in the column's canonical unit. Pure: the same readings have the same answer.
    """
    # A counter's total falls where a meter is exchanged, and means no unit.
    is_apt = column.max_step is not None and not column.circular and column.quantity != "counter"
    if not is_apt or len(series.value) < CONFIRM + 1:
        return [open_fault] if open_fault else []
    faults: list[Fault] = []
    if open_fault is not None and from_numpy(series.time[0]) > open_fault.start:
        units, at = mistakes(column.source_unit, column.unit, column.density), 0
        unit = next((unit for unit in units if f" {unit[0]} " in open_fault.detail), None)
        if unit is None:
            return [open_fault]
        end = _return_row(feed, column, unit, series, at)
        faults.append(Fault(station, column.name, KIND, open_fault.start, _time_of(series, end), open_fault.detail))
        if end is None:
            return faults
        start = end
    else:
        start = 0
    while (change := _first_change(feed, column, series, start)) is not None:
        at, unit = change
        end = _return_row(feed, column, unit, series, at)
        before, after = series.value[at - 1], series.value[at]
        detail = f"{column.name} reads like {unit[0]} since it went from {before:.4g} to {after:.4g} at once"
        faults.append(Fault(station, column.name, KIND, from_numpy(series.time[at]), _time_of(series, end), detail))
        if end is None:
            break
        start = end
    return faults


def _first_change(feed: Feed, column: Column, series: Series, start: int) -> tuple[int, Affine] | None:
    """The first reading from `start` + 1 on that is in another unit, and the unit."""
    value = series.value
    jumps = np.abs(np.diff(value)) > _credible(feed, column, series)
    for at in np.flatnonzero(jumps[start:]) + start + 1:
        for unit in mistakes(column.source_unit, column.unit, column.density):
            if _agree(feed, column, series, int(at), value * unit[1] + unit[2], value):
                return int(at), unit
    return None


def _return_row(feed: Feed, column: Column, unit: Affine, series: Series, at: int) -> int | None:
    """The first reading after `at` in the declared unit again."""
    true = series.value * unit[1] + unit[2]
    jumps = np.abs(np.diff(true)) > _credible(feed, column, series)
    for end in np.flatnonzero(jumps[at:]) + at + 1:
        if _agree(feed, column, series, int(end), series.value, true):
            return int(end)
    return None


def _agree(
    feed: Feed,
    column: Column,
    series: Series,
    at: int,
    right: NDArray[np.float64],
    wrong: NDArray[np.float64],
) -> bool:
    """Whether from `at` on the readings continue what was before if they are read `right`, and not if read `wrong`.

    Before `at` the values are those of `wrong`: the unit that was in force.
    """
    step = column.max_step or 0.0
    apart = (series.time[at : at + CONFIRM] - series.time[at - 1]) / np.timedelta64(1, "us")
    share = apart / (feed.cadence.total_seconds() * 1e6)
    if len(share) < CONFIRM or share[0] > BRIDGE:
        return False
    before = wrong[at - 1]
    beside = step * np.maximum(BESIDE, np.minimum(share, 1) * LEAST)
    is_smooth = np.abs(right[at : at + CONFIRM] - before) <= beside
    is_jump = np.abs(wrong[at : at + CONFIRM] - before) > step * np.clip(share, LEAST, 1)
    return bool(is_smooth.all() and is_jump.all())


def _credible(feed: Feed, column: Column, series: Series) -> NDArray[np.float64]:
    """How far each neighbour may lie from the one before, by the time between them."""
    apart = np.diff(series.time) / np.timedelta64(1, "us") / (feed.cadence.total_seconds() * 1e6)
    return (column.max_step or 0.0) * np.clip(apart, LEAST, 1)


def _time_of(series: Series, row: int | None) -> datetime | None:
    return None if row is None else from_numpy(series.time[row])
