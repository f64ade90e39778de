"""Old runs: Dagster's own retention covers ticks only, and every run keeps a database of its events and its logs."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

KEPT = timedelta(days=30)
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
EVENTS = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION)
PAGE = 500


def retention() -> dg.Definitions:
    """The job `purge_runs`, each night."""
    return dg.Definitions(
        jobs=[purge_runs],
        schedules=[
            dg.ScheduleDefinition(
                name="purge_old_runs",
                job=purge_runs,
                cron_schedule="17 3 * * *",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description=f"Deletes finished runs older than {KEPT.days} days.",
            )
        ],
    )


@dg.op(description=f"Deletes finished runs older than {KEPT.days} days that no asset's state rests on.")
def purge(context: dg.OpExecutionContext) -> None:
    from aerocast_assets.definitions import defs

    checks = defs().resolve_asset_graph().asset_check_keys
    gone = purge_old(context.instance, datetime.now(UTC) - KEPT, checks)
    context.log.info(f"deleted {gone} runs that ended more than {KEPT.days} days ago")


@dg.job(description="Housekeeping of Dagster's own storage; tables, models and releases are not touched.")
def purge_runs() -> None:
    purge()


def purge_old(instance: dg.DagsterInstance, before: datetime, checks: Iterable[dg.AssetCheckKey] = ()) -> int:
    """Deletes finished runs last touched before then, with their events and logs; how many.

    A run that holds the newest state of an asset, a partition or a check stays, however old: without it the asset would
    count as missing, and automation would make it again.
    """
    # Imported here: it brings SQLAlchemy and Alembic, half of what loading the code location may cost.
    from dagster._core.storage.event_log import SqliteEventLogStorage

    records = instance.get_run_records(filters=dg.RunsFilter(statuses=FINISHED, updated_before=before))
    old = {record.dagster_run.run_id for record in records}
    gone = old - _needed(instance, checks) if old else old
    for run_id in sorted(gone):
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        if isinstance(instance.event_log_storage, SqliteEventLogStorage):
            # Dagster empties a run's own database, but leaves the file.
            shard = Path(instance.event_log_storage.path_for_shard(run_id))
            for suffix in ("", "-wal", "-shm", "-journal"):
                shard.with_name(shard.name + suffix).unlink(missing_ok=True)
    return len(gone)


def _needed(instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey]) -> set[str]:
    """Runs of the newest materialisation and observation of every asset and partition, and of every check."""
    storage, needed = instance.event_log_storage, set()
    for record in instance.get_asset_records():
        entry, key = record.asset_entry, record.asset_entry.asset_key
        newest = (entry.last_materialization_record, entry.last_observation_record)
        needed |= {each.run_id for each in newest if each}
        for event in EVENTS:
            ids = sorted(storage.get_latest_storage_id_by_partition(key, event).values())
            for start in range(0, len(ids), PAGE):
                wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + PAGE])
                fetch = instance.fetch_materializations if event is EVENTS[0] else instance.fetch_observations
                needed |= {each.run_id for each in fetch(wanted, limit=PAGE).records}
    executions = storage.get_latest_asset_check_execution_by_key(list(checks))
    return needed | {execution.run_id for execution in executions.values()}
