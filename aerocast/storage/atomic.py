"""Files that survive a power cut and are never seen half written: temporary name, fsync, rename, fsync again."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aerocast.common.errors import AeroCastError

Stamp = tuple[int, int, int] | str  # of a file, or the ETag of an object
LARGEST = 1 << 30  # bytes of a file that is read whole


def make_folder(folder: Path) -> None:
    """The folder and its missing parents, each made durable in the one above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in the folder is on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """What another library has written to the file is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """The bytes are on disk under `path` when this returns; the name itself only after `sync_folder`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Old or new content, never a mixture; the caller holds the folder's lock, so one temporary name is enough."""
    beside = path.with_name(f".{path.name}.new")
    try:
        write_file(beside, data)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_file(path: Path, most: int = LARGEST) -> bytes:
    """The whole of a file. Raises OSError, also for what is no file (a pipe would never end) or larger than `most`."""
    return read_stamped(path, most)[0]


def read_stamped(path: Path, most: int = LARGEST) -> tuple[bytes, Stamp]:
    """As `read_file`, with the stamp of the very file that was read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would wait for one
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, more than {most}", str(path))
        return stream.read(), stamp_of(found)


def stamp(path: Path) -> Stamp | None:
    """What changes whenever the file is replaced; None while there is none. One stat, nothing is opened."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stamp_of(found)


def stamp_of(found: os.stat_result) -> Stamp:
    """The stamp of a file that was looked up already, or is open."""
    return found.st_ino, found.st_mtime_ns, found.st_size


def is_hidden(name: str) -> bool:
    """Whether a name, with slashes, is that of a lock, a note or a file in the making: no document."""
    return any(part.startswith(".") for part in name.split("/"))


@contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """One writer at a time in this folder; the kernel frees the lock of a killed one. Makes the folder.

    Raises:
        AeroCastError: anything the disk refuses in the block (full, read-only, no folder), as one sentence.
    """
    try:
        make_folder(folder)
        with open(folder / ".lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise AeroCastError(f"{purpose} could not be written to {folder}: {error.strerror or error}") from error
