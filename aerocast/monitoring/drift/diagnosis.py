"""Turns tests into one diagnosis: a broken sensor explains everything, then growing errors, then other weather."""

from collections.abc import Sequence
from datetime import datetime

from aerocast.common.times import from_numpy
from aerocast.contracts.drift_state import Fault, Verdict
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Times
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.distributions import Shifts
from aerocast.monitoring.drift.errors import ErrorVerdict
from aerocast.monitoring.drift.sensors import SensorTest


def decide(
    faults: Sequence[Fault], errors: ErrorVerdict, shifts: Shifts, recent: Times
) -> tuple[Verdict, datetime | None]:
    """The verdict, and when its cause seems to have begun."""
    if faults:
        return "sensor_fault", min(fault.start for fault in faults)
    if errors.is_drift:
        return "concept_drift", None if errors.onset is None else from_numpy(errors.onset)
    if shifts.fired:
        return "covariate_shift", from_numpy(recent[0])
    return "ok", None


def broken_inputs(feed: Feed, faults: Sequence[Fault], manifest: Manifest, *, closed_too: bool = False) -> list[Fault]:
    """Open faults (with `closed_too`, all) of columns that the model sees: target, inputs and their vectors'."""
    inputs = {manifest.target, *manifest.window.inputs}
    for vector in feed.vectors:
        if {f"{vector.name}_u", f"{vector.name}_v"} & inputs:
            inputs |= {vector.speed, vector.direction}
    return [fault for fault in faults if fault.column in inputs and (closed_too or fault.end is None)]


def merge(station: str, time: Times, tests: Sequence[SensorTest], open_faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Merges the tests' faults with those that were open before: one that is still there keeps its start.

    One that is not there any more ends with the newest step, or where its readings became healthy.
    """
    by_column = {(fault.column, fault.kind): fault for fault in open_faults}
    faults = []
    column_faults = [each for test in tests for each in test.faults]
    for each in sorted(column_faults, key=lambda each: -each.start):
        start = from_numpy(time[each.start])
        end = None if each.end is None else from_numpy(time[each.end])
        old = by_column.get((each.column, each.kind))
        if old is not None and (end is None or end > old.start):
            start = old.start
            del by_column[each.column, each.kind]
        faults.append(Fault(station, each.column, each.kind, start, end, each.detail))
    over = from_numpy(time[-1])
    faults += [Fault(station, f.column, f.kind, f.start, max(over, f.start), f.detail) for f in by_column.values()]
    return tuple(sorted(faults, key=lambda fault: (fault.start, fault.column, fault.kind)))
