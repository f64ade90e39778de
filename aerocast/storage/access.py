"""Checks that this process can read, create and write a home, and says in one sentence why it cannot.

The server imports this module: the standard library only.
"""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from aerocast.common.errors import AeroCastError
from aerocast.storage import rooms
from aerocast.storage.home import Home, store_of

LEAST_FREE = 100  # MB: with less a run would fail half way, in whatever library asks for space first


def check_home(home: Home, *, writes: bool) -> None:
    """Checks that the home, and its folder on this machine, can be read, and written if `writes`.

    Raises:
        AeroCastError: otherwise; it names the setting, and the owner of what belongs to somebody else.
    """
    store = store_of(home)
    if store.local and not writes:
        check_readable("AEROCAST_HOME", Path(home))
        return
    check_own_folder(home)
    try:
        store.probe(writes=writes)
    except AeroCastError as error:
        raise AeroCastError(f"AEROCAST_HOME: {error}") from error


def check_own_folder(home: Home, *, create: bool = True, space: bool = True) -> None:
    """As `check_writable`, for this machine's folder of the home; a work folder is created in any case."""
    local = store_of(home).local
    setting = "AEROCAST_HOME" if local else "AEROCAST_WORK"
    check_writable(setting, Path(home), create=create or not local, space=space)


def check_readable(setting: str, folder: Path) -> None:
    """Raises AeroCastError, which names the setting, unless the folder exists and can be read."""
    try:
        if not folder.is_dir():
            state = "is not a folder" if folder.exists() else "does not exist"
            raise AeroCastError(f"{setting}: {folder} {state}; run the pipeline first, or choose another home")
        os.listdir(folder)
    except OSError as error:  # a folder above it may be closed, too
        raise AeroCastError(f"{setting}: {folder} cannot be read: {_why(folder, error)}") from error


def check_writable(setting: str, folder: Path, *, create: bool = True, space: bool = True) -> None:
    """Checks that the folder takes files, has space for them, and that all of AeroCast's own in it can be replaced.

    A missing folder is created, unless `create` is false.

    Raises:
        AeroCastError: otherwise; it names the setting, and the owner of what belongs to somebody else.
    """
    if not create:
        check_readable(setting, folder)
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"aerocast")
        probe.unlink()
        locked = next(_unwritable(folder), None)
    except OSError as error:
        raise AeroCastError(f"{setting}: {folder} cannot be written: {_why(folder, error)}") from error
    if locked:
        raise AeroCastError(f"{setting}: {locked} cannot be written: {owner(locked)}")
    free = shutil.disk_usage(folder).free // 2**20
    if space and free < LEAST_FREE:
        raise AeroCastError(f"{setting}: the disk of {folder} is full: {free} MB are free, {LEAST_FREE} MB are needed")


def owner(path: Path) -> str:
    """Why this process may not write a file: who owns it, and what to do."""
    owner, me = _name(path.stat().st_uid), _name(os.geteuid())
    if owner != me:
        return f"it belongs to {owner}, and this process runs as {me}: run it as {owner}, or `chown -R {me}` the home"
    return "it is read-only: `chmod -R u+w` the home"


def _unwritable(home: Path) -> Iterator[Path]:
    """AeroCast's own files and folders in the first two levels that this process cannot write."""
    for path in home.iterdir():
        if rooms.is_room(path.name):
            if not _is_permitted(path, os.W_OK | os.X_OK):
                yield path
            elif path.is_dir():
                below = (each for each in path.iterdir() if each.is_dir() or rooms.is_own(f"{path.name}/{each.name}"))
                yield from (each for each in below if not _is_permitted(each, os.W_OK))
        elif rooms.is_own(path.name) and not _is_permitted(path, os.W_OK):
            yield path


def _is_permitted(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _why(folder: Path, error: OSError) -> str:
    """The system's reason, and the owner of the nearest folder that exists."""
    reason = error.strerror or str(error)
    if not isinstance(error, PermissionError):
        return reason
    for each in (folder, *folder.parents):
        try:
            return f"{reason}: {each} belongs to {_name(each.stat().st_uid)}, not to {_name(os.geteuid())}"
        except OSError:
            continue
    return reason


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
