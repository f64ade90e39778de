"""Runs every sensor test on every column of a station."""

from collections.abc import Sequence

import numpy as np

from aerocast.common.times import to_numpy
from aerocast.contracts.drift_state import Fault
from aerocast.features.grid import Grid, Times
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.clocks import clock_jump
from aerocast.monitoring.drift.conversions import unit_change
from aerocast.monitoring.drift.habits import habits
from aerocast.monitoring.drift.profile import Profile, Reals, measured_values
from aerocast.monitoring.drift.sensors import SensorTest, drop_out, flat_line, spikes

LEAST = 10  # days that a reference must hold before it says what a sensor's habits are


def sense(feed: Feed, recent: Grid, past: Profile, open_faults: Sequence[Fault]) -> list[SensorTest]:
    """Tests of the feed's columns, in their order, but for their clocks; `known` are the station's open faults."""
    values = measured_values(recent)
    tests: list[SensorTest] = []
    for column in feed.columns:
        if column.lead is not None or column.name not in recent.columns or column.name not in past.columns:
            continue
        own = {fault.kind: fault for fault in open_faults if fault.column == column.name}
        if np.isfinite(past.column(column.name)).sum() < LEAST * past.per_day:
            continue
        series = values[:, recent.columns.index(column.name)]
        tests += _column(column, series, recent.time, past, own)
    return tests


def sense_clocks(
    feed: Feed, recent: Grid, past: Profile, open_faults: Sequence[Fault], *, suspect: bool
) -> list[SensorTest]:
    """Whether the columns' days begin on time; `suspect`: the errors grew beyond what season and weather allow."""
    columns = [
        column.name
        for column in feed.columns
        if not column.circular and column.lead is None and column.name in recent.columns and column.name in past.columns
    ]
    values = measured_values(recent)[:, [recent.columns.index(column) for column in columns]]
    before = next((fault.detail for fault in open_faults if fault.kind == "clock_jump"), None)
    return clock_jump(columns, values, recent.time, past, before, suspect=suspect)


def _column(
    column: Column, recent: Reals, time: Times, past: Profile, open_faults: dict[str, Fault]
) -> list[SensorTest]:
    usual, per_day, name = habits(past, column.name), past.per_day, column.name
    flat = open_faults.get("flat_line")
    since = None if flat is None else int(np.searchsorted(time, to_numpy(flat.start)))
    unit = open_faults.get("unit_change")
    tests = [flat_line(name, recent, usual, since), drop_out(name, recent, usual, per_day)]
    if not column.circular:  # an angle turns round, and so stands out and jumps as it likes
        tests.append(spikes(name, recent, usual, per_day, "spikes" in open_faults))
        tests.append(unit_change(column, recent, usual, unit.detail if unit else None))
    return tests
