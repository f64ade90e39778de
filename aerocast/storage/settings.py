"""Settings from the environment (`AEROCAST_*`), read once at a process's edge and passed on as values."""

from datetime import timedelta
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from aerocast.storage.home import WORK


class Settings(BaseSettings):
    """`AEROCAST_HOME` holds every table, release and log: a folder, or `s3://bucket/prefix`.

    `AEROCAST_WORK` is where this machine keeps its own state when the home is an object store; `AEROCAST_HASH_SALT`
    starts a new lineage;
    `AEROCAST_INBOX` is the folder or prefix of files to take up (default: `inbox` in the home); `AEROCAST_BROKER` is
    the broker's address (`nats://host:port` or `kafka://host:port`; empty: none); `AEROCAST_PATIENCE` (ISO 8601) is how
    long a claim or a file that cannot be read is tried again before it is put aside; `AEROCAST_DAGSTER_HOME` is the
    folder of another `dagster.yaml` than the project's, for the commands. `AEROCAST_SERVER` is where people reach the
    server: pages of the UI show its pictures; `AEROCAST_MLFLOW_URL` where they see MLflow's pages, for links to them.
    `AEROCAST_OPT_IN` names the opt-in feeds that run by themselves (`aerocast_assets/automation/switch.py`).
    A source kind has settings of its own, beside its code.
    """

    model_config = SettingsConfigDict(env_prefix="AEROCAST_", env_ignore_empty=True)

    home: str = str(WORK)
    work: Path | None = None
    inbox: str = ""
    broker: str = ""
    patience: timedelta = timedelta(days=1)
    server: str = "http://127.0.0.1:8000"
    hash_salt: str = ""
    mlflow_url: str = ""
    dagster_home: str = ""
