"""Dagster's own storage for `dagster.yaml`: always in this machine's folder of the home, which may be an object store.

Each class stands for Dagster's local one and takes no configuration: `AEROCAST_HOME` and `AEROCAST_WORK` say where.
"""

from pathlib import Path
from typing import Any, Self

from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from aerocast.home import home_of
from aerocast.settings import Settings


def _folder() -> str:
    return str(Path(home_of(Settings())))


class Storage(DagsterSqliteStorage):
    """Runs, events and schedules in `history/` and `schedules/`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: object) -> Self:
        return cls.from_local(_folder(), inst_data)


class Artifacts(LocalArtifactStorage):
    """Files of runs in `storage/`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> Self:
        return cls(_folder(), inst_data)


class ComputeLogs(LocalComputeLogManager):
    """What steps print, in `storage/`."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: object) -> Self:
        return cls(_folder(), inst_data=inst_data)
