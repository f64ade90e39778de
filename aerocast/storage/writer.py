"""One home has one writer at a time: a command that changes it holds it, and names itself to who comes second.

In a folder the kernel frees the lock of a dead holder. A home in an object store has a lease besides, a document that
is replaced only by who has read it last, and that ends by itself when its holder does not renew it. What a holder
starts belongs to it. Who only reads asks nobody.
"""

from __future__ import annotations

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
VARIABLE = "AEROCAST_WRITER"  # the holder's token, for what it starts
TERM = timedelta(minutes=2)  # a lease that is not renewed for so long is over; clocks may differ by half of it
PAUSE = 0.5  # seconds between two looks of who waits


class Holder(msgspec.Struct, frozen=True):
    """Who writes; `until` (of a lease) says when it is over unless it is renewed."""

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
    """Somebody else writes to the home."""


@contextmanager
def hold(home: Home, command: str, *, wait: bool = False) -> Iterator[None]:
    """This process, and what it starts, is the home's only writer while the block lasts; its folder is there already.

    With `wait`, it waits for whoever is.

    Raises:
        Busy: somebody else is; the sentence names who.
        AeroCastError: the disk or the object store refuses.
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
    """Beside others like it, but not beside a holder that did not start this process, for which it waits.

    Raises:
        Busy: the holder has not ended in time.
        AeroCastError: the disk refuses.
    """
    with _locked(home, _self(command), fcntl.LOCK_SH, patience.total_seconds()):
        yield


def holder(home: Home) -> Holder | None:
    """Who holds the home in this folder, or held it last; None if that is not known."""
    try:
        return _decoded((Path(home) / LOCK).read_bytes())
    except OSError:
        return None


@contextmanager
def _locked(home: Home, mine: Holder, kind: int, patience: float) -> Iterator[None]:
    def attempt() -> IO[bytes] | None:
        """The locked file; None for what a holder has started, which needs no lock."""
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
    file = _patiently(attempt, patience)
    if file is None:
        yield
        return
    with file:
        with contextlib.suppress(OSError):  # a full disk: who comes second is told less
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
    """The lease, renewed by a thread; a process that has lost it ends, as others may write now."""

    def attempt() -> atomic.Stamp:
        found = store_of(home).read_stamped(LEASE)
        other = _decoded(found[0]) if found else None
        if other and other.until and other.until > datetime.now(UTC):
            raise _busy(home, other)
        return _renewed(home, mine, found[1] if found else None) or attempt()

    stamps, ended = [_patiently(attempt, patience)], threading.Event()

    def renew() -> None:
        good = time.monotonic()
        while not ended.wait(TERM.total_seconds() / 6):
            try:
                lost = (renewed := _renewed(home, mine, stamps[-1])) is None
                if renewed is not None:
                    stamps[:], good = [renewed], time.monotonic()
            except AeroCastError:  # the object store does not answer: for a while that says nothing
                lost = time.monotonic() - good > TERM.total_seconds() / 2
            if lost and not ended.is_set():
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
        with contextlib.suppress(AeroCastError):  # else it ends by itself
            store_of(home).swap(LEASE, _encoded(mine, timedelta(0)), stamps[-1])


def _renewed(home: Home, mine: Holder, seen: atomic.Stamp | None) -> atomic.Stamp | None:
    """The stamp of the lease as this process has it from now on; None if somebody else was first."""
    if not store_of(home).swap(LEASE, _encoded(mine, TERM), seen):
        return None
    found = store_of(home).read_stamped(LEASE)
    other = _decoded(found[0]) if found else None
    return found[1] if found and other and other.token == mine.token else None


def _patiently(attempt: Callable[[], Result], patience: float) -> Result:
    """What the attempt gives once nobody else is in the way. Raises Busy after so many seconds."""
    deadline, known = time.monotonic() + patience, ""
    while True:
        try:
            return attempt()
        except Busy as busy:
            if time.monotonic() >= deadline:
                raise
            if str(busy) != known:
                known = str(busy)
                print(f"waiting: {known}", file=sys.stderr, flush=True)
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
