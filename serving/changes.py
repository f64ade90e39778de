"""What has changed between two looks at the home, as notices: the difference of what the store knows then and now.

Called in the thread that looks, after the look. What was there at the first look of a feed is no news.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

from aerocast.contracts import alarms
from aerocast.contracts.alarms import AlarmState
from aerocast.contracts.anomalies import Anomaly, AnomalyState
from aerocast.contracts.drift_state import DriftState, Fault
from aerocast.contracts.loop_notes import DecisionNotes, RetrainNotes
from serving.alert_notices import alert_notices
from serving.hot_swap import ServingStore
from serving.loading import Key, Served
from serving.loop_notices import decision_notices, retrain_notices
from serving.meetings import Meetings
from serving.notices import (
    AnomalyNotice,
    DriftNotice,
    ForecastNotice,
    Notice,
    OutcomeNotice,
    PromotionNotice,
)
from serving.observations import Observations
from serving.slots import ReloadSlot


class Changes:
    """The state at the last look, of one server."""

    def __init__(self, store: ServingStore, observations: Observations) -> None:
        self.store, self.observations = store, observations
        self._is_first = True
        self._feeds: set[str] = set()
        self._drifts: dict[str, DriftState | None] = {}
        self._anomalies: dict[str, AnomalyState | None] = {}
        self._retrains: dict[str, RetrainNotes | None] = {}
        self._decisions: dict[Key, DecisionNotes | None] = {}
        self._releases: dict[Key, tuple[Served | None, str | None]] = {}
        self._alarms: dict[str, AlarmState | None] = {}
        self._accepted = Counter[str]()
        self._meetings = Meetings()

    def look(self, notes: Iterable[Notice]) -> list[Notice]:
        """What happened since the last look: `notes` of this process, then what has changed in the home."""
        at, store = datetime.now(UTC), self.store
        news = list(notes)
        if store.last_poll is None:
            return news
        for note in news:
            if isinstance(note, ForecastNotice):
                self._meetings.add(note)
        for feed, slot in store.tails.items():
            if slot.served:
                news += self._meetings.of_tail(at, feed, slot.served)
        news += self._accepted_readings(at)
        for key, release in store.releases.items():
            news += self._release(at, key, release)
            decisions = store.decisions[key].served
            if not self._is_first:
                news += decision_notices(at, self._decisions.get(key), decisions, store.started_at)
            self._decisions[key] = decisions
        for feed in store.tails:
            is_new = feed not in self._feeds
            drift, unusual, retrains = store.drift(feed), store.anomaly_state(feed), store.retrains[feed].served
            if not is_new:
                news += drift_notices(at, self._drifts[feed], drift)
                news += anomaly_notices(at, self._anomalies[feed], unusual)
                news += retrain_notices(at, self._retrains[feed], retrains)
            self._drifts[feed], self._anomalies[feed], self._retrains[feed] = drift, unusual, retrains
        for judge in alarms.JUDGES:
            noted = store.alarms[judge].served
            if not self._is_first:
                news += alert_notices(at, judge, self._alarms.get(judge), noted)
            self._alarms[judge] = noted
        self._feeds = set(store.tails)
        self._is_first = False
        return news

    def _accepted_readings(self, at: datetime) -> Iterator[Notice]:
        for feed, count in list(self.observations.accepted.items()):
            if count > self._accepted[feed]:
                yield OutcomeNotice(at=at, feed=feed, source="observations", readings=count - self._accepted[feed])
            self._accepted[feed] = count

    def _release(self, at: datetime, key: Key, slot: ReloadSlot[Served]) -> Iterator[Notice]:
        """What this server answers with, and what it cannot load."""
        served, error = slot.served, slot.error
        before, complaint = self._releases.get(key, (None, None))
        self._releases[key] = served, error
        if self._is_first:
            return
        version = served.manifest.version if served else None
        old = before.manifest.version if before else None
        if error and error != complaint:
            yield PromotionNotice(
                at=at, feed=key[0], target=key[1], change="unusable", version=version, reason=error, incumbent=old
            )
        if served and version != old:
            manifest = served.manifest
            overall = manifest.metrics.overall
            yield PromotionNotice(
                at=at,
                feed=key[0],
                target=key[1],
                change="serving",
                version=version,
                reason=manifest.lineage.reason,
                decided_at=served.promoted_at,
                model=manifest.kind,
                incumbent=old,
                composite=overall.composite,
                skill=overall.skill,
                run_id=manifest.lineage.run_id,
            )


def drift_notices(at: datetime, before: DriftState | None, now: DriftState | None) -> Iterator[DriftNotice]:
    """How what is believed of a feed differs; before the first examination all was well."""
    if now is None or now is before:
        return
    for heat in now.heat:
        old = before.of(heat.target) if before else None
        was_hot = bool(old and old.hot)
        if heat.hot and (not was_hot or (old and heat.edges > old.edges)):
            yield _heat(at, now, "hot", heat.target)
        elif was_hot and not heat.hot:
            yield _heat(at, now, "cool", heat.target)
    verdicts = {(each.target, each.station): each.verdict for each in before.diagnoses} if before else {}
    for each in now.diagnoses:
        old_verdict = verdicts.get((each.target, each.station), "ok")
        if each.verdict != old_verdict:
            yield DriftNotice(
                at=at,
                feed=now.feed,
                change="verdict",
                judged_at=each.judged_at,
                target=each.target,
                station=each.station,
                verdict=each.verdict,
                before=old_verdict,
                onset=each.onset,
                rmse=each.rmse,
                expected_rmse=each.expected_rmse,
                detail="; ".join(one.detail for one in each.evidence if one.fired),
            )
    lasting = {_name(each): each for each in before.faults if each.end is None} if before else {}
    for fault in now.faults:
        if fault.end is None and _name(fault) not in lasting:
            yield _fault(at, now, "fault_began", fault)
    still = {_name(each) for each in now.faults if each.end is None}
    for name, fault in lasting.items():
        if name not in still:
            yield _fault(at, now, "fault_ended", fault)


def _name(fault: Fault) -> tuple[str, str, str, datetime]:
    return fault.station, fault.column, fault.kind, fault.start


def _heat(at: datetime, state: DriftState, change: Literal["hot", "cool"], target: str) -> DriftNotice:
    heat = state.of(target)
    return DriftNotice(
        at=at,
        feed=state.feed,
        change=change,
        judged_at=heat.judged_at or state.judged_at,
        target=target,
        onset=heat.onset,
        rmse=heat.rmse,
    )


def _fault(at: datetime, state: DriftState, change: Literal["fault_began", "fault_ended"], fault: Fault) -> DriftNotice:
    return DriftNotice(
        at=at,
        feed=state.feed,
        change=change,
        judged_at=state.judged_at,
        station=fault.station,
        onset=fault.start,
        column=fault.column,
        detail=fault.detail,
    )


def anomaly_notices(at: datetime, before: AnomalyState | None, now: AnomalyState | None) -> Iterator[AnomalyNotice]:
    """Events that began or are over; at the first look of the platform's only those that last."""
    if now is None or now is before:
        return
    past = {event.key: event for event in before.events} if before else {}
    for event in now.events:
        old = past.get(event.key)
        if event.end is None and (old is None or old.end is not None):
            yield _anomaly(at, now.feed, "opened", event)
        elif event.end is not None and (old.end is None if old else before is not None):
            yield _anomaly(at, now.feed, "closed", event)


def _anomaly(at: datetime, feed: str, change: Literal["opened", "closed"], event: Anomaly) -> AnomalyNotice:
    return AnomalyNotice(
        at=at,
        feed=feed,
        station=event.station,
        change=change,
        start=event.start,
        end=event.end,
        severity=event.severity,
        cause=event.cause,
        columns=event.columns,
        detail=event.detail,
    )
