"""Allows one writer at a time in a home; a second one waits or is told who the first one is.

In a folder the kernel frees the lock of a dead holder. A home in an object store also has a lease, a document that is
replaced by compare-and-swap and that expires unless its holder renews it. The processes that a holder starts write as
part of it. Readers need no lock.
"""

import contextlib
import fcntl
import getpass
import math
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic
from aerocast.storage.documents import decode
from aerocast.storage.home import Home, store_of

LOCK, LEASE = ".writer", "writer.json"
Result = TypeVar("Result")
VARIABLE = "AEROCAST_WRITER"  # the holder's token, for the processes that it starts
TERM = timedelta(minutes=2)  # how long a lease is valid without renewal; clocks may differ by half of it
PAUSE = 0.5  # seconds between two attempts while waiting


class Holder(msgspec.Struct, frozen=True):
    """The process that writes; a lease ends at `until` unless it is renewed."""

    command: str
    pid: int
    host: str
    user: str
    since: datetime
    token: str
    until: datetime | None = None

    def __str__(self) -> str:
        since = f"{self.since.astimezone():%Y-%m-%d %H:%M:%S}"
        return f"`{self.command}` (process {self.pid} of {self.user} on {self.host}, since {since})"


class Busy(AeroCastError):
    """Another process writes to the home."""


@contextmanager
def hold(home: Home, command: str, *, wait: bool = False) -> Iterator[None]:
    """Makes this process, and those that it starts, the only writer of an existing home during the block.

    With `wait` it waits for the present holder.

    Raises:
        Busy: another process holds the home; the sentence names it.
        AeroCastError: the disk or the object store fails.
    """
    mine = _self(command)
    with ExitStack() as stack:
        patience = math.inf if wait else 0
        stack.enter_context(_locked(home, mine, fcntl.LOCK_EX, patience))
        if not store_of(home).local:
            stack.enter_context(_leased(home, mine, patience))
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = mine.token
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before


@contextmanager
def join(home: Home, command: str, patience: timedelta) -> Iterator[None]:
    """Allows this process to write together with others that join, but not with a holder that did not start it.

    Raises:
        Busy: the holder has not ended in time.
        AeroCastError: the disk fails.
    """
    with _locked(home, _self(command), fcntl.LOCK_SH, patience.total_seconds()):
        yield


def holder(home: Home) -> Holder | None:
    """The present or last holder of the home in this folder; None if unknown."""
    try:
        return _decoded((Path(home) / LOCK).read_bytes())
    except OSError:
        return None


@contextmanager
def _locked(home: Home, mine: Holder, kind: int, patience: float) -> Iterator[None]:
    def attempt() -> IO[bytes] | None:
        """The locked file; None for a process that the holder has started, which needs no lock."""
        file = _open(path)
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:  # `clean` removes the file of a home
                return file
        except BlockingIOError:
            other = holder(home)
            if kind == fcntl.LOCK_SH and other and other.token == os.environ.get(VARIABLE):
                file.close()
                return None
            file.close()
            raise _busy(home, other) from None
        file.close()
        return attempt()

    path = Path(home) / LOCK
    file = _retry(attempt, patience)
    if file is None:
        yield
        return
    with file:
        with contextlib.suppress(OSError):  # a full disk: the second process is told less
            os.pwrite(file.fileno(), data := msgspec.json.encode(mine), 0)
            os.ftruncate(file.fileno(), len(data))
        yield


def _open(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    except OSError as error:
        raise AeroCastError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def _leased(home: Home, mine: Holder, patience: float) -> Iterator[None]:
    """Holds the lease, which a thread renews; a process that loses it ends, because others may write then."""

    def attempt() -> atomic.Stamp:
        other, stamp = _read_lease(home)
        if other and other.until and other.until > datetime.now(UTC):
            raise _busy(home, other)
        return _renew(home, mine, stamp) or attempt()

    stamps, ended = [_retry(attempt, patience)], threading.Event()

    def renew() -> None:
        good = time.monotonic()
        while not ended.wait(TERM.total_seconds() / 6):
            try:
                stamp = _renew(home, mine, stamps[-1])
                is_lost = stamp is None
                if stamp is not None:
                    stamps[:], good = [stamp], time.monotonic()
            except AeroCastError:  # the object store does not answer, which is tolerated for a while
                is_lost = time.monotonic() - good > TERM.total_seconds() / 2
            if is_lost and not ended.is_set():
                print(f"error: {home} is no longer held by this process: stopped", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=renew, daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(AeroCastError):  # otherwise it expires
            store_of(home).swap(LEASE, _encoded(mine, timedelta(0)), stamps[-1])


def _read_lease(home: Home) -> tuple[Holder | None, atomic.Stamp | None]:
    stamped = store_of(home).read_stamped(LEASE)
    return (_decoded(stamped[0]), stamped[1]) if stamped else (None, None)


def _renew(home: Home, mine: Holder, expected: atomic.Stamp | None) -> atomic.Stamp | None:
    """Writes the lease and returns its new stamp; None if another process was first."""
    if not store_of(home).swap(LEASE, _encoded(mine, TERM), expected):
        return None
    other, stamp = _read_lease(home)
    return stamp if other and other.token == mine.token else None


def _retry(attempt: Callable[[], Result], patience: float) -> Result:
    """The result of the first attempt that is not Busy. Raises Busy after `patience` seconds."""
    deadline, message = time.monotonic() + patience, ""
    while True:
        try:
            return attempt()
        except Busy as busy:
            if time.monotonic() >= deadline:
                raise
            if str(busy) != message:
                message = str(busy)
                print(f"waiting: {message}", file=sys.stderr, flush=True)
        time.sleep(PAUSE)


def _encoded(mine: Holder, term: timedelta) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(mine, until=datetime.now(UTC) + term))


def _decoded(data: bytes) -> Holder | None:
    try:
        return decode(data, Holder, LOCK)
    except AeroCastError:
        return None


def _self(command: str) -> Holder:
    return Holder(command, os.getpid(), socket.gethostname(), _user(), datetime.now(UTC), uuid.uuid4().hex)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.geteuid()}"


def _busy(home: Home, other: Holder | None) -> Busy:
    return Busy(f"{home} is in use by {other or 'another process'}: a home has one writer at a time")
