"""One examination of a (target, station): every test, and the one diagnosis that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from aerocast.common.times import LATEST, from_numpy
from aerocast.contracts.drift_state import Diagnosis, Fault
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Grid
from aerocast.feed.model import Feed
from aerocast.monitoring.drift.diagnosis import broken_inputs, decide, merge
from aerocast.monitoring.drift.distributions import compare
from aerocast.monitoring.drift.errors import Outcomes, judge
from aerocast.monitoring.drift.profile import Profile, profile
from aerocast.monitoring.drift.sensing import sense, sense_clocks

__all__ = ["Outcomes", "Profile", "examine", "profile", "reach"]

REACH = 28  # days of measured grid that an examination uses at most
FAMILIAR = 10  # days of the same season in the reference that make it known


def reach(feed: Feed) -> int:
    """How many of the newest steps of a measured grid an examination can use; fewer make it slower to see."""
    return max(feed.drift.recent, round(timedelta(days=REACH) / feed.cadence))


def examine(
    feed: Feed,
    target: str,
    station: str,
    outcomes: Outcomes,
    measured: Grid,
    reference: Grid | Profile,
    manifest: Manifest,
    now: datetime,
    known: Sequence[Fault] = (),
) -> tuple[Diagnosis, tuple[Fault, ...]]:
    """The diagnosis of one target at one station, and the station's sensor faults that are open or have just ended.

    `measured` is the recent grid as measured (no fault quarantined), `reach(feed)` steps or what there is; `reference`
    the station's grid over the champion's training span, or its `profile`, which is cheaper when asked often; `known`
    are faults open before. Pure: the same input has the same answer.
    """
    past = reference if isinstance(reference, Profile) else profile(feed, reference)
    recent = measured.tail(reach(feed))
    open_before = [fault for fault in known if fault.station == station and fault.end is None]
    tested = [*sense(feed, recent, past, open_before), *sense_clocks(feed, recent, past, open_before, suspect=False)]
    usable = _untouched(feed, outcomes, [*merge(station, recent.time, tested, open_before), *known], manifest)
    strange = int(past.season(recent.time[-feed.drift.recent :]).sum()) < FAMILIAR * past.per_day
    errors = judge(usable, manifest, station, feed.drift.recent, strange=strange)
    if errors.drifted and not tested[-1].found:
        tested = [*tested[:-1], *sense_clocks(feed, recent, past, open_before, suspect=True)]
    since = from_numpy(recent.time[-1]) - feed.drift.recent * feed.cadence
    found = merge(station, recent.time, tested, open_before)
    faults = tuple(fault for fault in found if fault.end is None or fault.end >= since or _was(fault, open_before))
    broken = broken_inputs(feed, faults, manifest)
    shifts = compare(feed, recent, past, (target, *(name for name in manifest.window.inputs if name != target)))
    verdict, onset = decide(broken, errors, shifts, recent.time[-feed.drift.recent :])
    evidence = (*(test.evidence for test in tested), *shifts.evidence, *errors.evidence)
    figures = errors.rmse, errors.expected_rmse, errors.coverage
    return Diagnosis(target, station, verdict, now, onset, *figures, len(usable.time), evidence), faults


def _was(fault: Fault, before: Sequence[Fault]) -> bool:
    """Whether it was open before, and so must be told that it is over."""
    return any((fault.column, fault.kind, fault.start) == (old.column, old.kind, old.start) for old in before)


def _untouched(feed: Feed, outcomes: Outcomes, faults: Sequence[Fault], manifest: Manifest) -> Outcomes:
    """Outcomes that no broken reading is part of, nor of what they were forecast from."""
    if not faults or not len(outcomes.time):
        return outcomes
    cadence = int(feed.cadence.total_seconds())
    due = outcomes.time.astype("datetime64[s]").astype(np.int64)
    origin = due - outcomes.horizon * cadence
    trace = manifest.window.look_back * cadence
    keep = np.ones(len(due), dtype=bool)
    for fault in broken_inputs(feed, faults, manifest, ended=True):
        start = int(fault.start.timestamp())
        end = int(fault.end.timestamp()) if fault.end else int(LATEST.timestamp())
        keep &= (due < start) | (origin >= end + trace)
    return outcomes if keep.all() else outcomes.at(keep)
