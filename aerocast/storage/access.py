"""Whether this process can read, make and write a folder and what is in it, or in one sentence why not.

The server imports this module: the standard library only.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from aerocast.common.errors import AeroCastError
from aerocast.storage import rooms
from aerocast.storage.home import Home, store_of

ROOM = 100  # MB: below it a run would end half way, in whatever library asks for space first


def check_home(home: Home, *, writes: bool) -> None:
    """The home can be read or written, and so can its folder on this machine.

    Raises:
        AeroCastError: otherwise; it names the setting, and the owner of what belongs to somebody else.
    """
    store = store_of(home)
    if store.local and not writes:
        check_readable("AEROCAST_HOME", Path(home))
        return
    check_own_folder(home)
    try:
        store.check(writes=writes)
    except AeroCastError as error:
        raise AeroCastError(f"AEROCAST_HOME: {error}") from error


def check_own_folder(home: Home, *, make: bool = True, room: bool = True) -> None:
    """This machine's folder of the home can be written; as `check_writable`, but a work folder is always made."""
    local = store_of(home).local
    setting = "AEROCAST_HOME" if local else "AEROCAST_WORK"
    check_writable(setting, Path(home), make=make or not local, room=room)


def check_readable(setting: str, folder: Path) -> None:
    """Raises AeroCastError, which names the setting, unless there is a folder that can be read."""
    try:
        if not folder.is_dir():
            state = "is no folder" if folder.exists() else "does not exist"
            raise AeroCastError(f"{setting}: {folder} {state}; run the pipeline first, or name another home")
        os.listdir(folder)
    except OSError as error:  # a folder above it may be closed, too
        raise AeroCastError(f"{setting}: {folder} cannot be read: {_why(folder, error)}") from error


def check_writable(setting: str, folder: Path, *, make: bool = True, room: bool = True) -> None:
    """The folder, made if it may be, takes files, has room for them, and holds none of ours that cannot be replaced.

    Raises:
        AeroCastError: otherwise; it names the setting, and the owner of what belongs to somebody else.
    """
    if not make:
        check_readable(setting, folder)
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"aerocast")
        probe.unlink()
        closed = next(_closed(folder), None)
    except OSError as error:
        raise AeroCastError(f"{setting}: {folder} cannot be written: {_why(folder, error)}") from error
    if closed:
        raise AeroCastError(f"{setting}: {closed} cannot be written: {owner(closed)}")
    free = shutil.disk_usage(folder).free // 2**20
    if room and free < ROOM:
        raise AeroCastError(f"{setting}: the disk of {folder} is full: {free} MB are free, {ROOM} MB are needed")


def owner(path: Path) -> str:
    """Why a file of a folder may be closed to this process: whose it is, and what to do."""
    whose, me = _name(path.stat().st_uid), _name(os.geteuid())
    if whose != me:
        return f"it belongs to {whose}, and this process runs as {me}: run it as {whose}, or `chown -R {me}` the home"
    return "it is read-only: `chmod -R u+w` the home"


def _closed(home: Path) -> Iterator[Path]:
    """What of AeroCast's own in the first two levels cannot be written by this process."""
    for path in home.iterdir():
        if rooms.is_room(path.name):
            if not _is_open(path, os.W_OK | os.X_OK):
                yield path
            elif path.is_dir():
                below = (each for each in path.iterdir() if each.is_dir() or rooms.is_own(f"{path.name}/{each.name}"))
                yield from (each for each in below if not _is_open(each, os.W_OK))
        elif rooms.is_own(path.name) and not _is_open(path, os.W_OK):
            yield path


def _is_open(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _why(folder: Path, error: OSError) -> str:
    """The system's reason, and the owner of the nearest folder that is there."""
    reason = error.strerror or str(error)
    if not isinstance(error, PermissionError):
        return reason
    for place in (folder, *folder.parents):
        try:
            return f"{reason}: {place} belongs to {_name(place.stat().st_uid)}, not to {_name(os.geteuid())}"
        except OSError:
            continue
    return reason


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
