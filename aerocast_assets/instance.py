"""Parts of Dagster's instance for `dagster.yaml`: all of it is in this machine's folder of the home.

Plain YAML cannot say so: it takes a folder from one variable, which must be set, while the home has a default and may
be an object store with `AEROCAST_WORK` beside it. Each class stands for Dagster's local one and takes no configuration.
Runs, launcher and coordinator also behave differently; see there.
"""

import socket
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun, DagsterRunStatus, DefaultRunLauncher, QueuedRunCoordinator

from aerocast.storage import mark
from aerocast.storage.home import home_of
from aerocast.storage.settings import Settings
from aerocast_assets import liveness
from aerocast_assets._compat import storage as private

LOCATION = "aerocast"  # the code location's name in workspace.yaml
NAME, LOGS, TICK_LOGS = "dagster", "storage", "__repository__"  # folder in the home; in it what runs and ticks print


def folder() -> Path:
    """Where all of Dagster's things lie, `<home>/dagster`. Raises AeroCastError if the home is of a newer format."""
    home = Path(home_of(Settings()))
    mark.read_mark(home)
    return home / NAME


class _Runs(private.SqliteRunStorage):
    """Runs as the UI's pages expect them.

    Partitions are what a run's tags say, for each asset and check its own: Dagster also notes those of the plan's last
    asset, and then plans checks without partitions once a partition. A run that a command executes itself belongs to
    its job in the code location, as if it had been launched there, but nobody tries it again behind a person's back.
    """

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        run = private.copy(dagster_run, partitions_subset=None)
        if run.remote_job_origin is None and liveness.COMMAND_TAG in run.tags:
            origin = private.job_origin(run.job_name, LOCATION)
            run = private.copy(run, remote_job_origin=origin, tags={"dagster/max_retries": "0", **run.tags})
        return super().add_run(run)


class _Unconfigured:
    """What takes nothing from `dagster.yaml`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}


class Storage(_Unconfigured, private.DagsterSqliteStorage):
    """Runs, events and schedules in `history/` and `schedules/`."""

    def __init__(self, base_dir: str, inst_data: private.ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = _Runs.from_local(str(Path(base_dir) / "history"))

    @classmethod
    def from_config_value(cls, inst_data: private.ConfigurableClassData, config_value: object) -> Self:
        return cls.from_local(str(folder()), inst_data)


class Artifacts(_Unconfigured, private.LocalArtifactStorage):
    """Files of runs in `storage/`."""

    @classmethod
    def from_config_value(cls, inst_data: private.ConfigurableClassData | None, config_value: object) -> Self:
        return cls(str(folder()), inst_data)


class ComputeLogs(_Unconfigured, private.LocalComputeLogManager):
    """What runs and ticks print, in `storage/`."""

    @classmethod
    def from_config_value(cls, inst_data: private.ConfigurableClassData | None, config_value: object) -> Self:
        return cls(str(folder() / LOGS), inst_data=inst_data)


class Launcher(DefaultRunLauncher):
    """Dagster's launcher, which also tells the daemon's run monitoring when the process of a run is gone."""

    def launch_run(self, context: private.LaunchRunContext) -> None:
        self._instance.add_run_tags(context.dagster_run.run_id, {liveness.HOST_TAG: socket.gethostname()})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> private.CheckRunHealthResult:
        if not liveness.is_dead(run):
            return private.CheckRunHealthResult(private.WorkerStatus.RUNNING)
        return private.CheckRunHealthResult(private.WorkerStatus.FAILED, "the process that ran it was killed")


class Coordinator(QueuedRunCoordinator):
    """Dagster's queue, past which a person's choice of a release goes: it takes seconds, and trainings take long."""

    def submit_run(self, context: private.SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        if run.status is not DagsterRunStatus.NOT_STARTED or not is_choice(run):
            return super().submit_run(context)
        return self._instance.launch_run(run.run_id, context.workspace)


def is_choice(run: DagsterRun) -> bool:
    """Whether a person chooses a release with this run, or lifts the hold on one (see `aerocast_assets.resources`)."""
    ops: Any = run.run_config.get("ops") or {}
    configs = [op.get("config") or {} for op in ops.values()]
    return any((config.get("release") or config.get("lift")) and not config.get("automatic") for config in configs)
