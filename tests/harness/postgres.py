"""A PostgreSQL server of the test's own, on a Unix socket in its folder, as a user who may not be root."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.waits import until


def program(name: str) -> str:
    """The path of a program of the server. Skips where it is not installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = shutil.which(name, path=":".join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("postgresql (Debian) is not installed")
    return found


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """SQLAlchemy's address of an empty database, as long as the block lasts."""
    data, owner = folder / "data", _owner()
    folder.mkdir(parents=True, exist_ok=True)
    if owner:  # initdb refuses root, and its user must be able to enter the folder
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        for parent in folder.resolve().parents:
            if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    as_owner: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    initialise = [program("initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"]
    done = subprocess.run(initialise, cwd="/", capture_output=True, text=True, **as_owner)
    assert done.returncode == 0, done.stderr
    command = [program("postgres"), "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **as_owner)
    try:
        until(lambda: _answers(folder, process))
        yield f"postgresql+psycopg://tester@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)  # ends sessions that are left
        process.wait(60)


def _answers(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    import psycopg

    assert process.poll() is None, (folder / "log").read_text()
    try:
        psycopg.connect(host=str(folder), user="tester", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _owner() -> pwd.struct_passwd | None:
    """The user who may run the server, if that is not this one."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("there is no user postgres to run the server as")
