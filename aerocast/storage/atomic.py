"""Writes files that survive a power cut and are never seen half written: temporary name, fsync, rename, fsync again."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aerocast.common.errors import AeroCastError

Stamp = tuple[int, int, int] | str  # changes with a file: inode, time and size; of an object its ETag
PRIVATE = 0o600  # the mode of what only its owner may read
LARGEST = 1 << 30  # bytes of a file that is read whole


def make_folder(folder: Path) -> None:
    """Creates a folder and its missing parents, each made durable in the one above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None
    sync(folder.parent)


def sync(path: Path) -> None:
    """The content of a file, or the names in a folder, are on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Writes the bytes to disk; the name itself is there only after `sync(path.parent)`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE if private else 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        if private:  # one that was there before keeps its mode
            os.fchmod(descriptor, PRIVATE)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Replaces the content at once; the caller holds the folder's lock, so one temporary name is enough."""
    beside = path.with_name(f".{path.name}.new")
    try:
        write_file(beside, data, private=private)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def read_file(path: Path, most: int = LARGEST) -> bytes:
    """The bytes of a file. Raises OSError, also if it is not a regular file or is larger than `most`."""
    return read_stamped(path, most)[0]


def read_stamped(path: Path, most: int = LARGEST) -> tuple[bytes, Stamp]:
    """As `read_file`, with the stamp of the very version that was read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would wait for one
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, more than {most}", str(path))
        return stream.read(), stamp_of(status)


def stamp(path: Path) -> Stamp | None:
    """Changes whenever the file is replaced; None if it does not exist. One stat, nothing is opened."""
    try:
        return stamp_of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def stamp_of(status: os.stat_result) -> Stamp:
    """As `stamp`, from the status of the file."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def is_hidden(name: str) -> bool:
    """Whether a name, with slashes, is that of a lock, a note or a temporary file, and not of a document."""
    return any(part.startswith(".") for part in name.split("/"))


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, but raises OSError for a folder that cannot be read."""

    def fail(error: OSError) -> None:
        raise error

    return os.walk(folder, onerror=fail)


@contextmanager
def folder_lock(folder: Path, purpose: str) -> Iterator[None]:
    """Allows one writer at a time in this folder, which is created; the kernel frees the lock of a killed process.

    Raises:
        AeroCastError: any OSError in the block (full, read-only, not a folder), as one sentence that names the file.
    """
    try:
        make_folder(folder)
        with open(folder / ".lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        place = error.filename2 or error.filename or folder
        raise AeroCastError(f"{purpose} could not be written to {place}: {error.strerror or error}") from error
