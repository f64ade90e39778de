"""Examines a (target, station): runs every test, and makes the one diagnosis that follows from them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from aerocast.common.times import LATEST, from_numpy
from aerocast.contracts.drift_state import Diagnosis, Fault
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.diagnosis import broken_inputs, decide, merge
from aerocast.monitoring.drift.distributions import compare
from aerocast.monitoring.drift.errors import Outcomes, error_verdict
from aerocast.monitoring.drift.profile import Profile, profile
from aerocast.monitoring.drift.sensing import sense, sense_clocks

__all__ = ["Outcomes", "Profile", "examine", "profile", "steps_needed"]

REACH = 28  # days of measured grid that an examination uses at most
FAMILIAR = 10  # days of the same season in the reference that make it known


def steps_needed(feed: Feed) -> int:
    """How many of the newest steps of a measured grid an examination uses; fewer make it slower to detect drift."""
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
    open_faults: Sequence[Fault] = (),
) -> tuple[Diagnosis, tuple[Fault, ...]]:
    """The diagnosis of one target at one station, and the station's sensor faults that are open or have just ended.

    `measured` is the recent grid as measured (no fault quarantined), `reach(feed)` steps or what there is; `reference`
    the station's grid over the champion's training span, or its `profile`, which is cheaper when asked often; `known`
    are faults open before. Pure: the same input has the same answer.
    """
    past = reference if isinstance(reference, Profile) else profile(feed, reference)
    recent = measured.tail(steps_needed(feed))
    open_before = [fault for fault in open_faults if fault.station == station and fault.end is None]
    tests = [*sense(feed, recent, past, open_before), *sense_clocks(feed, recent, past, open_before, suspect=False)]
    current = merge(station, recent.time, tests, open_before)
    usable = _healthy_outcomes(feed, outcomes, [*current, *open_faults], manifest)
    strange = int(past.season(recent.time[-feed.drift.recent :]).sum()) < FAMILIAR * past.per_day
    errors = error_verdict(usable, manifest, station, feed.drift.recent, strange=strange)
    if errors.is_drift and not tests[-1].faults:
        tests = [*tests[:-1], *sense_clocks(feed, recent, past, open_before, suspect=True)]
    since = from_numpy(recent.time[-1]) - feed.drift.recent * feed.cadence
    current = merge(station, recent.time, tests, open_before)
    # The end of one that was open must be reported.
    open_keys = {(each.column, each.kind, each.start) for each in open_before}
    faults = tuple(
        each
        for each in current
        if each.end is None or each.end >= since or (each.column, each.kind, each.start) in open_keys
    )
    input_faults = broken_inputs(feed, faults, manifest)
    shifts = compare(feed, recent, past, (target, *(name for name in manifest.window.inputs if name != target)))
    verdict, onset = decide(input_faults, errors, shifts, recent.time[-feed.drift.recent :])
    evidence = (*(test.evidence for test in tests), *shifts.evidence, *errors.evidence)
    figures = errors.rmse, errors.expected_rmse, errors.coverage
    return Diagnosis(target, station, verdict, now, onset, *figures, len(usable.time), evidence), faults


def _healthy_outcomes(feed: Feed, outcomes: Outcomes, faults: Sequence[Fault], manifest: Manifest) -> Outcomes:
    """Outcomes that involve no broken reading, neither as the outcome nor as the forecast's input."""
    if not faults or not len(outcomes.time):
        return outcomes
    cadence = int(feed.cadence.total_seconds())
    target_time = outcomes.time.astype("datetime64[s]").astype(np.int64)
    origin = target_time - outcomes.horizon * cadence
    trace = manifest.window.look_back * cadence
    keep = np.ones(len(target_time), dtype=bool)
    for fault in broken_inputs(feed, faults, manifest, closed_too=True):
        start = int(fault.start.timestamp())
        end = int(fault.end.timestamp()) if fault.end else int(LATEST.timestamp())
        keep &= (target_time < start) | (origin >= end + trace)
    return outcomes if keep.all() else outcomes.at(keep)
