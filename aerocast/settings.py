"""Settings from the environment (`AEROCAST_*`), read once at a process's edge and passed on as values."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`AEROCAST_HOME` holds every table, release and log; `AEROCAST_HASH_SALT` starts a new lineage.

    `CALM_ONLY=1` keeps simulated feeds calm.
    """

    model_config = SettingsConfigDict(env_prefix="AEROCAST_", env_ignore_empty=True)

    home: Path = Field(default=Path(".aerocast"))
    hash_salt: str = ""
    calm_only: bool = Field(default=False, validation_alias="CALM_ONLY")
