"""What the server serves: releases, tails and the state of the loop in memory, looked up on disk by a poll.

`poll` runs in a thread of its own; requests read the references it swaps and never wait for it. What does not load
leaves the old one serving; the error stays visible until a good one is loaded.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from aerocast.contracts import alarms, anomalies, clock, declared, loop_notes, tail
from aerocast.contracts import drift_state as state
from aerocast.contracts.alarms import AlarmState, Judge
from aerocast.contracts.anomalies import AnomalyState
from aerocast.contracts.clock import Clock
from aerocast.contracts.declared import Declared
from aerocast.contracts.drift_state import DriftState
from aerocast.contracts.loop_notes import DecisionNotes, RetrainNotes
from aerocast.contracts.manifest import FeedSnapshot
from aerocast.releases import release
from aerocast.storage.home import Home
from serving import loading
from serving.loading import Key, ReleaseListing, Served, Tail
from serving.slots import NEVER, ReloadSlot

log = logging.getLogger("aerocast.serving")

Name = TypeVar("Name")
T = TypeVar("T")


class ServingStore:
    """Slots by (feed, target) or by feed. The dictionaries are replaced, never changed: readers may iterate."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.releases: Mapping[Key, ReloadSlot[Served]] = {}
        self.challengers: Mapping[Key, ReloadSlot[Served]] = {}
        self.decisions: Mapping[Key, ReloadSlot[DecisionNotes]] = {}
        self.retrains: Mapping[str, ReloadSlot[RetrainNotes]] = {}
        self.tails: Mapping[str, ReloadSlot[Tail]] = {}
        self.drifts: Mapping[str, ReloadSlot[DriftState]] = {}
        self.anomalies: Mapping[str, ReloadSlot[AnomalyState]] = {}
        self.clocks: Mapping[str, ReloadSlot[Clock]] = {}
        self.declared: Mapping[str, ReloadSlot[Declared]] = {}
        self.alarms: Mapping[Judge, ReloadSlot[AlarmState]] = {
            judge: ReloadSlot(alarms.document(home, judge).name) for judge in alarms.JUDGES
        }
        self.index: Mapping[str, Mapping[str, Served]] = {}
        self.owners: Mapping[str, tuple[str, ...]] = {}
        self.started_at = datetime.now(UTC)
        self.last_poll: datetime | None = None
        self.listing: ReloadSlot[ReleaseListing] = ReloadSlot(release.FOLDER)
        self.unlisted: Mapping[str, ReloadSlot[None]] = {}

    def poll(self) -> None:
        """Look up everything, load what is new; never raises for what lies on disk."""
        for judge in alarms.JUDGES:
            alarm_list = alarms.document(self.home, judge)
            self.alarms[judge].look(alarm_list.stamp, alarm_list.read)
        self.listing.look(time.monotonic, partial(loading.listing, self.home))
        releases = self.listing.served
        if self.listing.error or not releases:
            return
        self.unlisted = {file: self.unlisted.get(file) or ReloadSlot(file) for file in releases.left_out}
        for file, reason in releases.left_out.items():
            self.unlisted[file].look(partial(str, reason), partial(loading.refuse, reason))
        for key in releases.stamps.keys() - self.releases.keys():
            self._add(key)
        for key, slot in self.releases.items():
            if slot.look(partial(releases.stamps.get, key), partial(loading.open_current, self.home, key)):
                self._loaded(key, slot)
        for feed in self.tails:
            self._look_at_feed(feed)
        for key, noted in self.decisions.items():
            document = loop_notes.decisions(self.home, *key)
            noted.look(document.stamp, document.read)
        for key, slot in self.challengers.items():
            self._look_at_challenger(key, slot)
        self.last_poll = datetime.now(UTC)

    def serving(self) -> list[Served]:
        """All releases that answer now, by feed and target."""
        return [served for targets in self.index.values() for served in targets.values()]

    def slots(self) -> list[ReloadSlot[Any]]:
        """All that is looked up on the disk."""
        by_key = (self.releases, self.challengers, self.decisions)
        by_feed = (self.tails, self.drifts, self.anomalies, self.retrains, self.clocks, self.declared)
        return [
            self.listing,
            *self.unlisted.values(),
            *self.alarms.values(),
            *(slot for each in (*by_key, *by_feed) for slot in each.values()),
        ]

    def tail(self, feed: str) -> Tail | None:
        return _of(self.tails, feed)

    def drift(self, feed: str) -> DriftState | None:
        """What the platform believes of the feed; None if it was never examined."""
        return _of(self.drifts, feed)

    def anomaly_state(self, feed: str) -> AnomalyState | None:
        """The feed's newest anomalies; None if the platform never looked for any."""
        return _of(self.anomalies, feed)

    def hot(self, key: Key) -> bool:
        """Whether concept drift is diagnosed for this target."""
        drift = self.drift(key[0])
        return drift is not None and drift.of(key[1]).hot

    def challenger(self, key: Key) -> Served | None:
        """The release that answers beside the one that serves."""
        return _of(self.challengers, key)

    def retirement(self, feed: str, target: str | None = None) -> str | None:
        """Why a feed, or a target, that has a release is not served any more; None if it is, or never was."""
        publication = _of(self.declared, feed)
        return (
            publication.retirement(target)
            if publication and (target is None or (feed, target) in self.releases)
            else None
        )

    def now(self, feed: FeedSnapshot) -> datetime:
        """The feed's present, as `aerocast.contracts.clock.now` has it, without a look at the disk."""
        real = datetime.now(UTC)
        own = _of(self.clocks, feed.name)
        moment = own.at(real) if own else real
        return min(moment, feed.end) if feed.end else moment

    def _add(self, key: Key) -> None:
        """A place for everything about a (feed, target) that was not there before."""
        feed, place = key[0], f"{release.FOLDER}/{'/'.join(key)}"
        if feed not in self.tails:
            self.clocks = {**self.clocks, feed: ReloadSlot(clock.document(self.home, feed).name)}
            self.drifts = {**self.drifts, feed: ReloadSlot(state.document(self.home, feed).name)}
            self.anomalies = {**self.anomalies, feed: ReloadSlot(anomalies.document(self.home, feed).name)}
            self.retrains = {**self.retrains, feed: ReloadSlot(loop_notes.retraining(self.home, feed).name)}
            self.declared = {**self.declared, feed: ReloadSlot(declared.document(self.home, feed).name)}
            self.tails = {**self.tails, feed: ReloadSlot(tail.document_name(feed), last_stamp=NEVER)}
        self.decisions = {**self.decisions, key: ReloadSlot(loop_notes.decisions(self.home, *key).name)}
        self.challengers = {**self.challengers, key: ReloadSlot(f"{place}/{release.CHALLENGER}")}
        # Last: a reader of a release's key finds all the others.
        self.releases = {**self.releases, key: ReloadSlot(f"{place}/{release.POINTER}")}

    def _loaded(self, key: Key, slot: ReloadSlot[Served]) -> None:
        if slot.error is None and slot.served:
            log.info("%s/%s is served by release %s", *key, slot.served.manifest.version)
        elif slot.served is None:
            slot.served = loading.open_previous(self.home, key)
        self._index()

    def _index(self) -> None:
        """Looks up again what serves, and which feeds have a station of each name."""
        self.index, owners = self._indexed(), dict[str, tuple[str, ...]]()
        for feed, targets in self.index.items():
            for station in next(iter(targets.values())).feed.stations:
                owners[station.id] = (*owners.get(station.id, ()), feed)
        self.owners = owners

    def _look_at_feed(self, feed: str) -> None:
        home = self.home
        at, drift, publication = clock.document(home, feed), state.document(home, feed), declared.document(home, feed)
        self.clocks[feed].look(at.stamp, at.read)
        has_changed = self.tails[feed].look(partial(tail.stamp, home, feed), partial(loading.open_tail, home, feed))
        self.drifts[feed].look(drift.stamp, drift.read)
        unusual, retrains = anomalies.document(home, feed), loop_notes.retraining(home, feed)
        self.anomalies[feed].look(unusual.stamp, unusual.read)
        self.retrains[feed].look(retrains.stamp, retrains.read)
        if self.declared[feed].look(publication.stamp, publication.read) or has_changed:
            self._index()

    def _look_at_challenger(self, key: Key, slot: ReloadSlot[Served]) -> None:
        """Loaded only where the feed gives it a share of the requests: it takes as much memory as what serves."""
        served = self.index.get(key[0], {}).get(key[1])
        if served and served.feed.shadow > 0:
            stamp = partial(release.challenger_stamp, self.home, *key)
            slot.look(stamp, partial(loading.open_challenger, self.home, key))
        elif slot.last_stamp:
            slot.clear()

    def _indexed(self) -> Mapping[str, Mapping[str, Served]]:
        """feed -> target -> what serves it; targets in the order of the feed's declaration."""
        index: dict[str, dict[str, Served]] = {}
        for (feed, target), slot in sorted(self.releases.items(), key=lambda item: item[0]):
            if slot.served and not self.retirement(feed, target):
                declared_now = self.declared[feed].served
                current = slot.served.manifest.feed.under(declared_now.policy if declared_now else None)
                newest = self.tails[feed].served
                ids = (*(declared_now.stations if declared_now else ()), *(newest.grids if newest else ()))
                current = current.with_stations(ids)
                places = {place.id: place for place in declared_now.places} if declared_now else {}
                index.setdefault(feed, {})[target] = replace(slot.served, feed=current, places=places)
        for feed, targets in index.items():
            declared_now = self.declared[feed].served
            order = (declared_now and declared_now.targets) or next(iter(targets.values())).feed.targets
            rank = {name: place for place, name in enumerate(order)}
            index[feed] = dict(sorted(targets.items(), key=lambda item: rank.get(item[0], len(order))))
        return index


def _of(slots: Mapping[Name, ReloadSlot[T]], name: Name) -> T | None:
    """What serves of a slot, if there is one."""
    slot = slots.get(name)
    return slot.served if slot else None
