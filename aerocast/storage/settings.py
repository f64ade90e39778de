"""Settings from the environment (`AEROCAST_*`), read once where a process starts and passed on as values."""

from datetime import timedelta
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from aerocast.storage.home import WORK


class Settings(BaseSettings):
    """`AEROCAST_HOME` has every table, release and log: a folder, or `s3://bucket/prefix`.

    `AEROCAST_WORK` is the folder for this machine's own state if the home is an object store; `AEROCAST_HASH_SALT`
    starts a new lineage; `AEROCAST_INBOX` is the folder or prefix of files to take in (default: `inbox` in the home);
    `AEROCAST_BROKER` is the broker's address (`nats://host:port` or `kafka://host:port`; empty: none);
    `AEROCAST_CLAIM_PREFIXES` are the folders and `s3://` prefixes, with commas between, that hold objects of claims
    besides the home's own `claims`;
    `AEROCAST_PATIENCE` (ISO 8601) is how long an unreadable claim or file is tried again before it is set aside;
    `AEROCAST_DAGSTER_HOME` is a folder with another `dagster.yaml` than the project's, for the commands.
    `AEROCAST_SERVER` is where people reach the server, whose pictures the UI shows, and `AEROCAST_URL` where the links
    in alerts lead, if that is elsewhere; `AEROCAST_MLFLOW_URL` where they reach MLflow; `AEROCAST_HOSTS` by which names
    besides loopback's, with commas between, people reach what listens there, such as a proxy's. `AEROCAST_OPT_IN` names
    the opt-in feeds that run by themselves (`aerocast_assets/automation/switch.py`). Source kinds and alerts have
    settings of their own, next to their code.
    """

    model_config = SettingsConfigDict(env_prefix="AEROCAST_", env_ignore_empty=True)

    home: str = str(WORK)
    work: Path | None = None
    inbox: str = ""
    broker: str = ""
    claim_prefixes: str = ""
    patience: timedelta = timedelta(days=1)
    server: str = "http://127.0.0.1:8000"
    url: str = ""
    hash_salt: str = ""
    mlflow_url: str = "http://127.0.0.1:5000"
    dagster_home: str = ""
    hosts: str = ""

    @property
    def people_url(self) -> str:
        """Where people reach the server, in what is sent to them."""
        return self.url or self.server

    @property
    def host_names(self) -> frozenset[str]:
        """The names in `hosts`."""
        return frozenset(filter(None, self.hosts.lower().split(",")))
