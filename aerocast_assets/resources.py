"""What assets are given: the platform's home (lake, candidates, releases, tracking) and the SQL engine."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Platform(dg.ConfigurableResource):  # type: ignore[type-arg]  # dagster's generic is not subscriptable at runtime
    """Where everything is stored; an empty `home` means `AEROCAST_HOME`, read when a run starts.

    Loading the code location is a feature: what costs time to import is imported when a step asks for it.
    """

    home: str = ""

    @property
    def root(self) -> Path:
        from aerocast.settings import Settings

        return Path(self.home) if self.home else Settings().home.resolve()

    @property
    def hash_salt(self) -> str:
        from aerocast.settings import Settings

        return Settings().hash_salt

    def sql(self) -> "AbstractContextManager[DuckDBPyConnection]":
        """A connection to DuckDB in memory: the engine, never the store."""
        from dagster_duckdb import DuckDBResource

        return DuckDBResource(database=":memory:").get_connection()


class Refresh(dg.Config):
    """Run config of every computing asset."""

    force: bool = False


class Training(Refresh):
    """Run config of what trains: `since` (ISO 8601, UTC if it names no zone) is where a new regime begins."""

    since: str = ""


class Choice(Training):
    """Run config of a champion: `release` names an old version that shall serve again."""

    release: str = ""
