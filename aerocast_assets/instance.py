"""Parts of Dagster's instance for `dagster.yaml`. Its storage is always in this machine's folder of the home, which may
be an object store: each class stands for Dagster's local one and takes no configuration, for `AEROCAST_HOME` and
`AEROCAST_WORK` say where.
"""

import socket
import uuid
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRunStatus
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._serdes import ConfigurableClassData
from dagster_shared.record import copy

from aerocast.storage import atomic, mark
from aerocast.storage.home import home_of
from aerocast.storage.settings import Settings
from aerocast_assets import liveness

LOCATION = "aerocast"  # the code location's name in workspace.yaml
NAME, LOGS, TICK_LOGS = (
    "dagster",
    "storage",
    "__repository__",
)  # the folder in the home; in it what runs and ticks print


def folder() -> Path:
    """Where all of Dagster's things lie, `<home>/dagster`; those of an older home are moved there.

    Raises:
        AeroCastError: the disk refuses it, or the home is of a newer format.
    """
    home = Path(home_of(Settings()))
    mark.check(home)
    own = home / NAME
    if (home / "history").is_dir():
        with atomic.locked(own, "the move of Dagster's folders"):
            _move(home, own)
    return own


def _move(home: Path, own: Path) -> None:
    """What runs and ticks printed first, databases last: a move that was killed goes on at the next start."""
    (own / LOGS).mkdir(exist_ok=True)
    stored = home / LOGS
    logs = [path for path in home.iterdir() if path.name == TICK_LOGS or _is_run(path.name)]
    for path in (*logs, *(stored.iterdir() if stored.is_dir() else ())):
        if not (own / LOGS / path.name).exists():
            path.rename(own / LOGS / path.name)
    if stored.is_dir():
        stored.rmdir()
    for name in ("schedules", "history"):
        if (home / name).is_dir():
            (home / name).rename(own / name)


def _is_run(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


class _Runs(SqliteRunStorage):
    """Runs as the UI's pages expect them.

    Partitions are what a run's tags say, for each asset and check its own: Dagster also notes those of the plan's last
    asset, and then plans checks without partitions once a partition. A run that a command executes itself belongs to
    its job in the code location, as if it had been launched there, but nobody tries it again behind a person's back.
    """

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        run = copy(dagster_run, partitions_subset=None)
        if run.remote_job_origin is None and liveness.COMMAND_TAG in run.tags:
            origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), SINGLETON_REPOSITORY_NAME)
            tags = {MAX_RETRIES_TAG: "0", **run.tags}
            run = copy(run, remote_job_origin=origin.get_job_origin(run.job_name), tags=tags)
        return super().add_run(run)


class Storage(DagsterSqliteStorage):
    """Runs, events and schedules in `history/` and `schedules/`."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = _Runs.from_local(str(Path(base_dir) / "history"))

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: object) -> Self:
        return cls.from_local(str(folder()), inst_data)


class Artifacts(LocalArtifactStorage):
    """Files of runs in `storage/`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> Self:
        return cls(str(folder()), inst_data)


class ComputeLogs(LocalComputeLogManager):
    """What runs and ticks print, in `storage/`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> Self:
        return cls(str(folder() / LOGS), inst_data=inst_data)


class Launcher(DefaultRunLauncher):
    """Dagster's launcher, which also tells the daemon's run monitoring when the process of a run is gone."""

    def launch_run(self, context: LaunchRunContext) -> None:
        self._instance.add_run_tags(context.dagster_run.run_id, {liveness.HOST_TAG: socket.gethostname()})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        if not liveness.is_dead(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the process that ran it was killed")


class Coordinator(QueuedRunCoordinator):
    """Dagster's queue, past which a person's choice of a release goes: it takes seconds, and trainings take long."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        if run.status is not DagsterRunStatus.NOT_STARTED or not is_choice(run):
            return super().submit_run(context)
        return self._instance.launch_run(run.run_id, context.workspace)


def is_choice(run: DagsterRun) -> bool:
    """Whether a person chooses a release with this run, or lifts the hold on one (see `aerocast_assets.resources`)."""
    ops: Any = run.run_config.get("ops") or {}
    configs = [op.get("config") or {} for op in ops.values()]
    return any((config.get("release") or config.get("lift")) and not config.get("automatic") for config in configs)
