"""What assets are given: the platform's home (lake, candidates, releases, tracking) and the SQL engine."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.storage.home import Home, home_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.lake import Lake
    from aerocast.storage.settings import Settings

PATIENCE = timedelta(hours=1)  # of a run for a command that holds the home
MEMORY = 3 << 30  # of a step's queries; with the process around them a step stays below 4 GiB


class Platform(dg.ConfigurableResource):  # type: ignore[type-arg]  # dagster's generic is not subscriptable at runtime
    """Where everything is stored; an empty `home` means `AEROCAST_HOME`, read when a run starts.

    Loading the code location is a feature: what costs time to import is imported when a step asks for it.
    """

    home: str = ""

    @property
    def settings(self) -> "Settings":
        """What the environment says, for whoever is given the platform: nothing below it reads the environment."""
        from aerocast.storage.settings import Settings

        return Settings(home=self.home) if self.home else Settings()

    @property
    def root(self) -> Home:
        return home_of(self.settings)

    @property
    def lake(self) -> "Lake":
        """The home's tables."""
        from aerocast.lake import Lake

        return Lake(self.root)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> "Iterator[Platform]":
        """A run writes: it waits for a command that holds the home, unless that has started it (`storage.writer`).

        A person's choice of a release waits for nobody: it is one swap of a pointer.

        Raises:
            AeroCastError: the home is of a newer format, or the command has not ended in time.
        """
        from aerocast.storage import mark, writer
        from aerocast_assets.instance import is_choice

        run = context.run
        if run is None:  # a sensor, which only looks
            yield self
            return
        home = self.root
        Path(home).mkdir(parents=True, exist_ok=True)
        mark.settle(home)
        if is_choice(run):
            yield self
            return
        with writer.join(home, f"Dagster run {run.run_id[:8]}", PATIENCE):
            yield self

    @property
    def hash_salt(self) -> str:
        return self.settings.hash_salt

    def sql(self) -> "AbstractContextManager[DuckDBPyConnection]":
        """A connection to DuckDB in memory: the engine, never the store. What does not fit goes to the system's
        folder for temporary files (`TMPDIR`), apart from other processes' and only while the connection is open."""
        import os
        import tempfile

        from dagster_duckdb import DuckDBResource

        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        config = {
            "temp_directory": f"{tempfile.gettempdir()}/aerocast-{os.getpid()}",
            "memory_limit": f"{min(MEMORY, machine * 3 // 4) >> 20}MiB",
        }
        return DuckDBResource(database=":memory:", connection_config=config).get_connection()


class Refresh(dg.Config):
    """Run config of every computing asset."""

    force: bool = False


class TrainingConfig(Refresh):
    """Run config of what trains: `since` (ISO 8601, UTC if it names no zone) is where a new regime begins."""

    since: str = ""


class ReleaseChoice(TrainingConfig):
    """Run config of a champion: `release` names a version that shall serve.

    It is held then: the loop does not replace it until it is lifted, or for `hold_for` (ISO 8601, such as P7D).
    `lift` ends the hold. With `automatic` the choice is the loop's own: it yields to a hold, and sets none.
    """

    release: str = ""
    hold_for: str = ""
    lift: bool = False
    automatic: bool = False
