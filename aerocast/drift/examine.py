"""One examination of a (target, station): every test, and the one diagnosis that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from aerocast.drift.distributions import psi
from aerocast.drift.errors import Outcomes, judge
from aerocast.drift.profile import Profile, measured_values, profile
from aerocast.drift.sensors import Found, flat_line
from aerocast.drift.state import Diagnosis, Evidence, Fault, Verdict
from aerocast.feed import Feed
from aerocast.grid import Grid, Times
from aerocast.manifest import Manifest

__all__ = ["Outcomes", "Profile", "examine", "profile"]

PSI_LIMIT = 6.0


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

    `measured` is the recent grid as measured (no fault quarantined), at least `feed.drift.recent` steps; `reference`
    the station's grid over the champion's training span, or its `profile`, which is cheaper when asked often; `known`
    are faults open before. Pure: the same input has the same answer.
    """
    past = reference if isinstance(reference, Profile) else profile(feed, reference)
    evidence: list[Evidence] = []
    faults = _faults(feed, station, measured, past, known, evidence)
    inputs = set(manifest.window.inputs) | {target}
    broken = [fault for fault in faults if fault.end is None and fault.column in inputs]
    shifted = _shifts(feed, measured, past, manifest, evidence)
    errors = judge(outcomes, manifest, station, feed.drift.recent)
    evidence += errors.evidence
    verdict: Verdict = "ok"
    onset = None
    if broken:
        verdict, onset = "sensor_fault", min(fault.start for fault in broken)
    elif errors.drifted:
        verdict, onset = "concept_drift", instant(errors.onset) if errors.onset is not None else None
    elif shifted:
        verdict = "covariate_shift"
    figures = errors.rmse, errors.expected_rmse, errors.coverage
    found = Diagnosis(target, station, verdict, now, onset, *figures, len(outcomes.time), tuple(evidence))
    return found, faults


def _faults(
    feed: Feed, station: str, measured: Grid, past: Profile, known: Sequence[Fault], evidence: list[Evidence]
) -> tuple[Fault, ...]:
    values = measured_values(measured)
    found: list[Found] = []
    for column in feed.columns:
        if column.name not in measured.columns or column.name not in past.columns:
            continue
        recent = values[:, measured.columns.index(column.name)]
        fault = flat_line(column.name, recent, past.column(column.name))
        if fault is None:
            evidence.append(Evidence("flat_line", column.name, None, None, False, f"{column.name} moves as ever"))
        else:
            found.append(fault)
            evidence.append(Evidence(fault.kind, fault.column, fault.value, fault.threshold, True, fault.detail))
    return tuple(_merged(station, measured.time, found, known))


def _merged(station: str, time: Times, found: Sequence[Found], known: Sequence[Fault]) -> list[Fault]:
    before = {(fault.column, fault.kind): fault for fault in known if fault.station == station and fault.end is None}
    merged = []
    for each in found:
        old = before.pop((each.column, each.kind), None)
        start = old.start if old else instant(time[each.start])
        end = None if each.end is None else instant(time[each.end])
        if end is None or old:
            merged.append(Fault(station, each.column, each.kind, start, end, each.detail))
    over = instant(time[-1])
    merged += [Fault(f.station, f.column, f.kind, f.start, over, f.detail) for f in before.values()]
    return merged


def _shifts(feed: Feed, measured: Grid, past: Profile, manifest: Manifest, evidence: list[Evidence]) -> bool:
    values = measured_values(measured.tail(feed.drift.recent))
    season = past.season(measured.time[-feed.drift.recent :])
    fired = 0
    for name in manifest.window.columns:
        if name not in measured.columns or name not in past.columns:
            continue
        recent, old = values[:, measured.columns.index(name)], past.column(name)[season]
        recent, old = recent[np.isfinite(recent)], old[np.isfinite(old)]
        if len(recent) < 24 or len(old) < 240:
            continue
        value = psi(old, recent)
        fired += value > PSI_LIMIT
        said = f"{name} lately against the same season of the reference"
        evidence.append(Evidence("psi", name, value, PSI_LIMIT, bool(value > PSI_LIMIT), said))
    return fired > 0


def instant(time: np.datetime64) -> datetime:
    """An aware datetime of a numpy one."""
    return datetime.fromtimestamp(int(time.astype("datetime64[s]").astype(np.int64)), UTC)
