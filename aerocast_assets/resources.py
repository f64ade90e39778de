"""What assets are given: the platform's home (lake, candidates, releases, tracking) and the SQL engine."""

from pathlib import Path

import dagster as dg

from aerocast.settings import Settings


class Platform(dg.ConfigurableResource):  # type: ignore[type-arg]  # dagster's generic is not subscriptable at runtime
    """Where everything is stored; an empty `home` means `AEROCAST_HOME`, read when a run starts."""

    home: str = ""

    @property
    def root(self) -> Path:
        return Path(self.home) if self.home else Settings().home.resolve()

    @property
    def hash_salt(self) -> str:
        return Settings().hash_salt


class Refresh(dg.Config):
    """Run config of every computing asset."""

    force: bool = False
