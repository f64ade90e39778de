"""From tests to one diagnosis: a broken sensor explains everything, then growing errors, then other weather."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aerocast.common.times import from_numpy
from aerocast.contracts.drift_state import Fault, Verdict
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Times
from aerocast.feed.model import Feed
from aerocast.monitoring.drift.distributions import Shifts
from aerocast.monitoring.drift.errors import ErrorVerdict
from aerocast.monitoring.drift.sensors import Tested


def decide(
    broken: Sequence[Fault], errors: ErrorVerdict, shifts: Shifts, recent: Times
) -> tuple[Verdict, datetime | None]:
    """The verdict, and where what it names seems to have begun."""
    if broken:
        return "sensor_fault", min(fault.start for fault in broken)
    if errors.drifted:
        return "concept_drift", None if errors.onset is None else from_numpy(errors.onset)
    if shifts.fired:
        return "covariate_shift", from_numpy(recent[0])
    return "ok", None


def broken_inputs(feed: Feed, faults: Sequence[Fault], manifest: Manifest, *, ended: bool = False) -> list[Fault]:
    """Open faults (with `ended`, all) of columns that the model sees: its target, its inputs, and their vectors'."""
    seen = {manifest.target, *manifest.window.inputs}
    for vector in feed.vectors:
        if {f"{vector.name}_u", f"{vector.name}_v"} & seen:
            seen |= {vector.speed, vector.direction}
    return [fault for fault in faults if fault.column in seen and (ended or fault.end is None)]


def merge(station: str, time: Times, tested: Sequence[Tested], known: Sequence[Fault]) -> tuple[Fault, ...]:
    """Every fault found, and every one that was open before: a known one that is found again keeps its start.

    A known one that is not found any more ends with the newest step, or where its readings were seen to be well.
    """
    waiting = {(fault.column, fault.kind): fault for fault in known}
    merged = []
    found = [each for test in tested for each in test.found]
    for each in sorted(found, key=lambda each: -each.start):
        start = from_numpy(time[each.start])
        end = None if each.end is None else from_numpy(time[each.end])
        old = waiting.get((each.column, each.kind))
        if old is not None and (end is None or end > old.start):
            start = old.start
            del waiting[each.column, each.kind]
        merged.append(Fault(station, each.column, each.kind, start, end, each.detail))
    over = from_numpy(time[-1])
    merged += [Fault(station, f.column, f.kind, f.start, max(over, f.start), f.detail) for f in waiting.values()]
    return tuple(sorted(merged, key=lambda fault: (fault.start, fault.column, fault.kind)))
