"""Dagster's own past, kept small: runs, what they printed, check results, ticks and evaluations of conditions.

Dagster's retention covers ticks alone. Each run keeps a database of its events and has them in the shared one, too, so
that a feed that is polled would fill the disk. Of runs that resemble each other few are worth keeping: all of the
newest hours, then one an hour, then one a day, which is what plots over time are drawn from.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from aerocast_assets.automation import runs
from aerocast_assets.keys import RETRAIN_OF

FRESH, HOURLY, OLDEST = timedelta(hours=3), timedelta(days=2), timedelta(days=90)  # all, one an hour, one a day
TICKS, FAILED_TICKS = timedelta(days=7), timedelta(days=30)  # of sensors that may be gone: others have dagster.yaml's
EVALUATIONS = timedelta(hours=6)  # of automation conditions: 45 KB each time one changes its mind
TICK_LOGS_KEPT = timedelta(days=1)
NEWEST = max(runs.LOOKED_AT, runs.FAILURES)  # runs of a job, and of a target's retrains, that sensors look back on
LIMIT = 512 << 20  # bytes of all: beyond it what is oldest goes earlier
MOST = 5000  # runs deleted at once
FREE, WORTH = 0.25, 4 << 20  # share and bytes of a database's unused pages from which it is rewritten
EVENTS = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION)
PAGE = 500


class Pruned(NamedTuple):
    """What went: runs, logs of ticks, databases rewritten; `bytes` is what all of Dagster's takes afterwards."""

    runs: int
    tick_logs: int
    rewritten: int
    bytes: int


def prune(instance: dg.DagsterInstance, now: datetime, limit: int = LIMIT) -> Pruned:
    """One round as of `now`.

    A run stays that holds the newest state of an asset, a partition or a check, that a sensor or a retry looks back on,
    or that belongs to a backfill that goes on: without it Dagster and the loop would decide otherwise.
    """
    from aerocast.operations.retention import bytes_below
    from aerocast_assets._compat.storage import forget_ticks
    from aerocast_assets.instance import folder

    place = folder()
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=list(runs.ENDED)))
    needed = _needed(instance, records)
    free = [record for record in records if record.dagster_run.run_id not in needed and _age(record, now) > FRESH]
    superfluous = _alike(free, now)
    excess = bytes_below(place) - limit - sum(2 * _bytes(place, run) for run in superfluous)
    for record in reversed(free):
        run = record.dagster_run
        if excess > 0 and run.run_id not in superfluous and RETRAIN_OF not in run.tags:
            superfluous.append(run.run_id)
            excess -= 2 * _bytes(place, run.run_id)
    for run_id in superfluous[:MOST]:
        _delete(instance, run_id)
    forget_ticks(instance, now, TICKS, FAILED_TICKS)
    if storage := instance.schedule_storage:
        storage.purge_asset_evaluations((now - EVALUATIONS).timestamp())
    logs = _delete_tick_logs(instance, place, now)
    shared = [path for path in place.rglob("*.db") if path.stem in ("index", "runs", "schedules")]  # by all runs
    return Pruned(len(superfluous[:MOST]), logs, sum(map(_rewrite, shared)), bytes_below(place))


def _age(record: dg.RunRecord, now: datetime) -> timedelta:
    return now - datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)


def _alike(records: Sequence[dg.RunRecord], now: datetime) -> list[str]:
    """Runs that are too old, or of which a newer one of the same hour or day stands for all that are like it."""
    slots, superfluous = set(), []
    for record in records:
        run, age = record.dagster_run, _age(record, now)
        ended = now - age
        slot = (run.job_name, run.status, run.asset_selection, f"{ended:%Y-%m-%d %H}"[: 13 if age < HOURLY else 10])
        if age > OLDEST or (slot in slots and RETRAIN_OF not in run.tags):
            superfluous.append(run.run_id)
        slots.add(slot)
    return superfluous[::-1]


def _needed(instance: dg.DagsterInstance, records: Sequence[dg.RunRecord]) -> set[str]:
    """Runs that something still reads; `records` are all finished ones, the newest first."""
    from aerocast_assets._compat.storage import open_backfills

    going, unfinished = open_backfills(instance), dg.RunsFilter(statuses=list(runs.UNFINISHED))
    needed = {run.root_run_id for run in instance.get_runs(unfinished) if run.root_run_id}
    counts = Counter[tuple[str, str]]()
    for run in (record.dagster_run for record in records):
        groups = [("job", run.job_name), ("target", run.tags.get(RETRAIN_OF, ""))][: 1 + (RETRAIN_OF in run.tags)]
        if run.tags.get("dagster/backfill") in going or any(counts[group] < NEWEST for group in groups):
            needed.add(run.run_id)
        counts.update(groups)
    return needed | set(_newest_states(instance))


def _newest_states(instance: dg.DagsterInstance) -> Iterator[str]:
    """Runs of the newest materialisation and observation of every asset and partition, and of every check."""
    from aerocast_assets._compat.storage import check_keys

    storage = instance.event_log_storage
    for record in instance.get_asset_records():
        entry, key = record.asset_entry, record.asset_entry.asset_key
        newest = (entry.last_materialization_record, entry.last_observation_record)
        yield from (each.run_id for each in newest if each)
        for event in EVENTS:
            ids = sorted(storage.get_latest_storage_id_by_partition(key, event).values())
            for start in range(0, len(ids), PAGE):
                page = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + PAGE])
                fetch = instance.fetch_materializations if event is EVENTS[0] else instance.fetch_observations
                yield from (each.run_id for each in fetch(page, limit=PAGE).records)
    executions = storage.get_latest_asset_check_execution_by_key(check_keys(instance))
    yield from (execution.run_id for execution in executions.values())


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    """The run, its events, its check results, what it printed, and the file of its events."""
    # Imported here: it brings SQLAlchemy and Alembic, half of what loading the code location may cost.
    from aerocast_assets._compat.storage import delete_leftovers

    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    delete_leftovers(instance, run_id)


def _delete_tick_logs(instance: dg.DagsterInstance, place: Path, now: datetime) -> int:
    """What sensors and schedules printed, each tick into files of its own; how many ticks."""
    from aerocast_assets.instance import LOGS, TICK_LOGS

    root, old, keys = place / LOGS, (now - TICK_LOGS_KEPT).timestamp(), set()
    for path in (root / TICK_LOGS).rglob("*.*"):
        if _is_before(path, old):
            key = (*path.relative_to(root).parent.parts, path.stem)
            instance.compute_log_manager.delete_logs(log_key=key)
            keys.add(key)
    return len(keys)


def _is_before(path: Path, old: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime < old
    except FileNotFoundError:  # deleted meanwhile, such as with its other half
        return False


def _rewrite(database: Path) -> bool:
    """Gives unused pages back to the disk if that is worth it; a database that others hold waits for the next night."""
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        free, pages, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count", "page_size")
        )
        if free * size < WORTH or free < FREE * pages:
            return False
        try:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            return False
    return True


def _bytes(place: Path, run_id: str) -> int:
    """Of the file of a run's events; about as much stands in the shared database."""
    shard = place / "history" / "runs" / f"{run_id}.db"
    return shard.stat().st_size if shard.exists() else 0
