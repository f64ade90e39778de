"""Creates, upgrades and repairs MLflow's database in a home, `mlflow.db`.

Nothing in it is ever deleted: a file that cannot be used is renamed.
"""

import os
import sqlite3
import uuid
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic

# Without it MLflow's connections would go on with a file that was put aside.
os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
FILE, ARTIFACTS = "mlflow.db", "mlflow"
_NEW = "mlflow-new-"
_BUSY_SECONDS = 20
# Where MLflow keeps absolute paths, by table and column.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


class TrackingUnavailable(AeroCastError):
    """MLflow cannot be used now; nothing but its own pages depends on it."""


def uri(home: Path) -> str:
    return f"sqlite:///{home / FILE}"


def prepare(home: Path) -> list[str]:
    """Makes sure the database exists, is whole, has this MLflow's schema and this home's paths; what was repaired.

    Raises:
        TrackingUnavailable: it is locked or belongs to somebody else, or the disk refuses.
    """
    notes: list[str] = []
    try:
        with atomic.folder_lock(home, "MLflow's database"):
            if (home / FILE).exists() and (fault := _fault(home)):
                notes.append(f"{FILE} {fault}; it was moved to {_put_aside(home)}, and a new one was created")
            elif not (home / FILE).exists() and any((home / ARTIFACTS).glob("*")):
                notes.append(f"{FILE} was missing: a new one was created, which lists trainings from now on")
            if not (home / FILE).exists():
                _create(home)
            if old_home := _relocate(home):
                notes.append(f"the home was {old_home} before: MLflow's paths were updated")
    except (AeroCastError, OSError, sqlite3.Error) as error:
        raise TrackingUnavailable(f"MLflow's database {home / FILE} cannot be used: {error}") from error
    return notes


def _create(home: Path) -> None:
    """Creates the database under another name and renames it: MLflow cannot open one that is half created."""
    import mlflow

    for leftover in home.glob(f"{_NEW}*"):
        leftover.unlink()
    beside = home / f"{_NEW}{uuid.uuid4().hex}.db"  # MLflow believes for as long as the process lives what a name held
    mlflow.MlflowClient(f"sqlite:///{beside}").search_experiments(max_results=1)
    os.replace(beside, home / FILE)
    atomic.sync(home)


def _fault(home: Path) -> str | None:
    """Why the database cannot be used, after what can be repaired was repaired; None if it can.

    Raises:
        sqlite3.OperationalError: it is locked, or may not be written.
    """
    try:
        with closing(_open(home)) as con:
            if (check := con.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                return f"is damaged ({check.splitlines()[0]})"
            con.execute("BEGIN IMMEDIATE")
            con.rollback()
            revision = next(iter(con.execute("SELECT version_num FROM alembic_version").fetchone() or ()), "")
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return "is not a database of MLflow"
        if isinstance(error, sqlite3.OperationalError):
            raise
        return f"is damaged ({error})"
    return _upgrade(home, str(revision))


def _upgrade(home: Path, revision: str) -> str | None:
    """Brings an older schema up to date and keeps a copy of the old file; why that cannot be done, or None."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils as schema
    from sqlalchemy import create_engine

    scripts = ScriptDirectory.from_config(schema._get_alembic_config(""))  # type: ignore[no-untyped-call]  # no hints
    if revision == scripts.get_current_head():
        return None
    try:
        scripts.get_revision(revision)
    except CommandError:
        return f"has the schema of another MLflow ({revision})"
    copy = home / f"mlflow-{revision}.db"
    with closing(_open(home)) as con, closing(sqlite3.connect(copy)) as beside:
        con.backup(beside)
    engine = create_engine(uri(home))
    try:
        schema._upgrade_db(engine)  # type: ignore[no-untyped-call]  # the library gives it no hints
    except Exception as error:  # a migration's own
        return f"could not be migrated to this MLflow's schema ({str(error).splitlines()[0]})"
    finally:
        engine.dispose()
    return None


def _relocate(home: Path) -> str | None:
    """Rewrites the paths in the database to begin with this home's; the path of the old home, if it was another."""
    here, before = str(home / ARTIFACTS), None
    with closing(_open(home)) as con, con:
        rows = con.execute("SELECT name, artifact_location FROM experiments WHERE artifact_location <> ?", (here,))
        for name, location in rows.fetchall():
            if name != "Default":  # MLflow's own, below the folder of the process that made the database
                before = str(Path(location).parent)
            for table, column in _LOCATIONS:
                con.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (here, len(location) + 1, location, len(location) + 1, f"{location}/"),
                )
    return before


def _put_aside(home: Path) -> str:
    """Renames the database, and what SQLite has beside it; the new name."""
    name = f"mlflow-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.db"
    for end in ("-wal", "-shm", "-journal", ""):
        with suppress(FileNotFoundError):
            os.replace(home / f"{FILE}{end}", home / f"{name}{end}")
    atomic.sync(home)
    return name


def _open(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(home / FILE, timeout=_BUSY_SECONDS)
