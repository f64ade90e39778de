"""What assets are given: the platform's home (lake, candidates, releases, tracking) and the SQL engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from aerocast.storage.home import Home, home_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.lake import Lake
    from aerocast.storage.settings import Settings

PATIENCE = timedelta(hours=1)  # of a run for a command that holds the home
MEMORY = 3 << 30  # of a step's queries; with the process around them a step stays below 4 GiB


class Platform(dg.ConfigurableResource):  # type: ignore[type-arg]  # dagster's generic is not subscriptable at runtime
    """Where everything is stored, and the SQL engine."""

    # What costs time to import is imported when a step asks for it: loading the code location costs little.

    home: str = Field(default="", description="Folder or s3:// URL; empty: AEROCAST_HOME, read when a run starts")

    @property
    def settings(self) -> "Settings":
        """What the environment says, for those who are given the platform: nothing below it reads the environment."""
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
        mark.ensure_mark(home)
        if is_choice(run):
            yield self
            return
        with writer.join(home, f"Dagster run {run.run_id[:8]}", PATIENCE):
            yield self

    @property
    def hash_salt(self) -> str:
        return self.settings.hash_salt

    @contextmanager
    def sql(self) -> "Iterator[DuckDBPyConnection]":
        """A connection to DuckDB in memory: the engine, never the store. What does not fit goes to the system's
        folder for temporary files (`TMPDIR`), apart from other processes' and only while the connection is open.

        Raises:
            AeroCastError: in the block, a table's file cannot be read.
        """
        import os

        from dagster_duckdb import DuckDBResource

        from aerocast.lake.refusals import damage_explained

        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        config = {
            "temp_directory": _spill_folder(),
            "memory_limit": f"{min(MEMORY, machine * 3 // 4) >> 20}MiB",
        }
        with damage_explained(), DuckDBResource(database=":memory:", connection_config=config).get_connection() as con:
            yield con


@cache
def _spill_folder() -> str:
    """This process's own folder for what does not fit into memory, which nobody else can have made before."""
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="aerocast-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Refresh(dg.Config):
    """Run config of every computing asset."""

    force: bool = Field(default=False, description="Compute also what has not changed")


class TrainingConfig(Refresh):
    """Run config of what trains."""

    since: str = Field(
        default="",
        description="Beginning of a new regime: ISO 8601, UTC without a zone; what is earlier judges nothing",
    )


class ReleaseChoice(TrainingConfig):
    """Run config of a champion, by which a person chooses what serves."""

    release: str = Field(default="", description="Version that serves, and is held: no retrain replaces it")
    hold_for: str = Field(
        default="", description="How long it is held: ISO 8601, such as P7D; empty: until it is lifted"
    )
    lift: bool = Field(default=False, description="End the hold")
    as_judged: bool = Field(
        default=False,
        description="What the trial of `release` judged serves, without what was learned after it",
    )
    first_aid: str = Field(
        default="",
        description="Reweight what serves on outcomes since this instant (ISO 8601), judge that, and train nothing",
    )
    automatic: bool = Field(
        default=False, description="The choice is not a person's: it yields to a hold, and sets none"
    )
