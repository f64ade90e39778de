"""Private parts of Dagster's instance and its storage; to import them costs half of what loading the code location may.

Each function does what no public method of `DagsterInstance` does.
"""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg

# A run that a command executes is given the origin that a launched one has: this is its repository's name.
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME

# `get_backfills` takes such a filter: retention keeps the runs of those that go on.
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus

# In the signatures of a launcher, of which only the class is public.
from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher import LaunchRunContext as LaunchRunContext
from dagster._core.launcher import WorkerStatus as WorkerStatus

# The origin of a run that a command executes, without which the UI does not find its job.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

# In the signature of a coordinator, of which only the class is public.
from dagster._core.run_coordinator import SubmitRunContext as SubmitRunContext

# `purge_ticks` is public and takes such statuses.
from dagster._core.scheduler.instigation import TickStatus

# Which of Dagster's stores the event log is: only in SQL are there check results to list and delete.
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage

# The table of check results, which no public method lists or deletes.
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

# What runs print lies in the home, which a setting without a default in YAML names: the base of `ComputeLogs`.
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager as LocalComputeLogManager

# The same for `Artifacts`.
from dagster._core.storage.root import LocalArtifactStorage as LocalArtifactStorage

# The base of the run storage that notes runs as the UI's pages expect them.
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage as SqliteRunStorage

# The base of `Storage`, which holds that run storage and lies in the home.
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage as DagsterSqliteStorage

# In the signatures of what `dagster.yaml` configures.
from dagster._serdes import ConfigurableClassData as ConfigurableClassData

# Dagster's records are immutable and have no public `replace`.
from dagster_shared.record import copy as copy
from sqlalchemy import select


def job_origin(job: str, location: str) -> RemoteJobOrigin:
    """Where a job of the code location is from, as a run that was launched there has it."""
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), SINGLETON_REPOSITORY_NAME)
    return origin.get_job_origin(job)


def open_backfills(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the backfills that go on."""
    active = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    return {backfill.backfill_id for backfill in instance.get_backfills(BulkActionsFilter(statuses=active))}


def check_keys(instance: dg.DagsterInstance) -> list[dg.AssetCheckKey]:
    """All checks that were ever executed, those of other code locations, too."""
    table, storage = AssetCheckExecutionsTable.c, instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return []
    with storage.index_connection() as connection:
        rows = connection.execute(select(table.asset_key, table.check_name).distinct()).fetchall()
    keys = ((dg.AssetKey.from_db_string(asset), name) for asset, name in rows)
    return [dg.AssetCheckKey(asset, name) for asset, name in keys if asset]


def delete_leftovers(instance: dg.DagsterInstance, run_id: str) -> None:
    """What Dagster leaves of a deleted run: its check results, and the file of its events, which it only empties."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return
    with storage.index_connection() as connection:
        connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
    shard = Path(storage.path_for_shard(run_id))
    for suffix in ("", "-wal", "-shm", "-journal"):
        shard.with_name(shard.name + suffix).unlink(missing_ok=True)


def forget_ticks(instance: dg.DagsterInstance, now: datetime, age: timedelta, failed_age: timedelta) -> None:
    """Deletes ticks older than `age`, failed ones older than `failed_age`, also of sensors that are no longer there."""
    for state in instance.all_instigator_state():
        for status in TickStatus:
            before = now - (failed_age if status is TickStatus.FAILURE else age)
            instance.purge_ticks(state.instigator_origin_id, state.selector_id, before.timestamp(), [status])
