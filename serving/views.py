"""What the server tells about itself: the store as answers of /health, /feeds and /models."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aerocast.alerts.dispatcher import trouble_text
from aerocast.common.times import from_numpy
from aerocast.contracts.manifest import Manifest
from aerocast.contracts.predictions import PredictionLog
from aerocast.releases import release
from serving import schemas
from serving.hot_swap import ServingStore
from serving.inputs import outdated
from serving.loading import Key, Served, Tail
from serving.problems import problem
from serving.slots import ReloadSlot

STUCK_POLLS = 10


def health(
    store: ServingStore,
    log: PredictionLog,
    poll_seconds: float,
    others: Sequence[ReloadSlot[Any]] = (),
    audit_error: str | None = None,
) -> schemas.Health:
    """`ok` only while all that is served is the newest there is, the look-up is alive and the disk takes the logs."""
    errors = [error for error in (log.error, audit_error) if error]
    left_out = [
        schemas.LeftOut(slot.file, slot.error, slot.since, slot.failures)
        for slot in (*store.slots(), *others)
        if slot.error is not None
    ]
    for slot in store.alarms.values():
        troubles = slot.served.troubles if slot.served else {}
        errors += [trouble_text(name, each, datetime.now(UTC)) for name, each in troubles.items()]
    late = store.last_poll and datetime.now(UTC) - store.last_poll
    if late and late > timedelta(seconds=max(10.0, STUCK_POLLS * poll_seconds)):
        errors.append(f"nothing was checked for {late.total_seconds():.0f} s")
    releases = [_release(key, slot, store) for key, slot in sorted(store.releases.items(), key=lambda item: item[0])]
    if not store.index:
        status = "no release" if store.last_poll or errors or left_out else "starting"
    else:
        status = (
            "degraded" if errors or left_out or any(one.status not in ("ok", "retired") for one in releases) else "ok"
        )
    return schemas.Health(
        status, store.started_at, store.last_poll, poll_seconds, log.failures, errors, left_out, releases
    )


def _release(key: Key, slot: ReloadSlot[Served], store: ServingStore) -> schemas.ReleaseHealth:
    served, tail, state = slot.served, store.tails[key[0]], store.drift(key[0])
    retired = store.retirement(*key)
    looked_at = (slot, tail, store.clocks[key[0]], store.drifts[key[0]], store.declared[key[0]], store.challengers[key])
    errors = [one.error for one in looked_at if one.error]
    if served and tail.served and not retired and (why := outdated(served, tail.served)):
        errors.append(why)
    challenger = store.challenger(key)
    newest = tail.served.feed_newest if tail.served else None
    return schemas.ReleaseHealth(
        feed=key[0],
        target=key[1],
        status="retired" if retired else "no release" if served is None else "degraded" if errors else "ok",
        version=served.manifest.version if served else None,
        kind=served.manifest.kind if served else None,
        serving_since=served.since if served else None,
        promoted_at=served.promoted_at if served else None,
        newest_reading=None if newest is None else from_numpy(newest),
        load_failures=slot.failures,
        drift=None if state is None else "hot" if state.of(key[1]).hot else "cool",
        faults=[f"{one.station}.{one.column}: {one.kind}" for one in state.faults if one.end is None] if state else [],
        challenger=challenger.manifest.version if challenger else None,
        hold=served.active_hold if served else None,
        errors=errors,
        retired=retired,
    )


def feeds(store: ServingStore) -> list[schemas.FeedView]:
    """What is served, and then the feeds that were and are not declared any more."""
    views = [_feed(list(targets.values()), store.tail(feed)) for feed, targets in store.index.items()]
    for feed in sorted({feed for feed, _ in store.releases}):
        past = [slot.served for key, slot in store.releases.items() if key[0] == feed and slot.served]
        if past and (why := store.retirement(feed)):
            views.append(_feed(past, store.tail(feed), why))
    return views


def _feed(served: list[Served], tail: Tail | None, retired: str | None = None) -> schemas.FeedView:
    newest = max(served, key=lambda one: one.manifest.lineage.created_at)
    feed, window = newest.feed, newest.manifest.window
    instants = {station: from_numpy(newest) for station, newest in tail.newest.items()} if tail else {}
    return schemas.FeedView(
        name=feed.name,
        description=feed.description,
        stations=[schemas.StationView(s.id, s.name, s.timezone, instants.get(s.id)) for s in feed.stations],
        columns=feed.columns,
        window=schemas.WindowView(window.columns, window.steps, window.look_back, window.cadence),
        targets=[
            schemas.TargetView(one.manifest.target, one.manifest.unit, one.manifest.horizons, one.manifest.version)
            for one in served
            if not retired
        ],
        retired=retired,
    )


def models(store: ServingStore, feed: str | None, target: str | None, limit: int) -> list[schemas.TargetModels]:
    """Current and past releases, newest first, of what was asked for. Reads the disk; 404 for nothing of the kind."""
    keys = [key for key in sorted(store.releases) if feed in (None, key[0]) and target in (None, key[1])]
    if not keys and (feed or target):
        field = "feed" if feed else "target"
        detail, rule = f"Nothing is released for {feed or '*'}/{target or '*'}.", "a feed and target of /health"
        raise problem("unknown-release", detail, status=404, field=field, value=feed or target, rule=rule)
    targets = []
    for key in keys:
        slot, entries = store.releases[key], release.history(store.home, *key, limit=limit)
        current = slot.served.manifest.version if slot.served else None
        past = [schemas.ReleaseView(e.version, e.version == current, e.error, *_facts(e.manifest)) for e in entries]
        hold = slot.served.active_hold if slot.served else None
        targets.append(schemas.TargetModels(*key, current, len(release.versions(store.home, *key)), hold, past))
    return targets


def _facts(manifest: Manifest | None) -> tuple[Any, ...]:
    if manifest is None:
        return ()
    kinds = {horizon: manifest.kind_at(horizon) for horizon in manifest.horizons}
    facts = (manifest.kind, manifest.unit, manifest.horizons, manifest.metrics, manifest.lineage)
    return *facts, kinds, manifest.served_by
