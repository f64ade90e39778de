"""The prediction log: the server's answers and posted outcomes, on disk until evaluation reads them.

`<home>/log/<feed>/` holds segments of JSON lines. A server process appends to its own `<name>.open`, which it keeps
locked, and closes it into `<name>.jsonl` when it is old or long enough; a closed segment never changes. The evaluation
asset appends each closed segment to the lake exactly once, by its name, and then deletes it.
The server imports this module: msgspec and the standard library only.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic
from aerocast.storage.home import Home

SYNC_SECONDS = 0.5
MOST_ROWS = 20_000
MOST_BYTES = 1 << 30  # of a feed's closed segments: more waits while nothing is evaluated
OPEN, CLOSED = ".open", ".jsonl"


class LoggedForecast(msgspec.Struct, frozen=True):
    """One horizon of an answer, in the target's unit; `time` (UTC) is None for a sequence without a time."""

    horizon: int
    time: datetime | None
    value: float
    lower: float
    upper: float


class Logged(msgspec.Struct, frozen=True, tag_field="record", tag="prediction"):
    """One answer. `graph` is `station` or `sequence`; a `shadow` one was computed for comparison and never sent; it has
    the `id` of the answer that was.
    """

    id: str
    feed: str
    target: str
    station: str | None
    issued_at: datetime
    origin: datetime | None
    version: str
    kind: str
    graph: str
    shadow: bool
    degraded: bool
    reasons: tuple[str, ...]
    level: float
    forecasts: tuple[LoggedForecast, ...]


class PostedOutcome(msgspec.Struct, frozen=True, tag_field="record", tag="outcome"):
    """One outcome as it was posted: by forecast `id` and `horizon`, or as a pair of numbers."""

    posted_at: datetime
    feed: str
    target: str
    actual: float
    predicted: float | None = None
    id: str | None = None
    horizon: int | None = None
    station: str | None = None


Record = Logged | PostedOutcome
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Records:
    """The content of a closed segment, in the order of writing; `damaged` counts lines that cannot be read."""

    predictions: tuple[Logged, ...]
    outcomes: tuple[PostedOutcome, ...]
    damaged: int


def closed_segments(home: Home, feed: str) -> list[Path]:
    """The closed segments of a feed, oldest first; those that dead writers left open are closed first.

    Raises:
        AeroCastError: the folder cannot be read, or a dead writer's segment cannot be closed.
    """
    folder = log_folder(home, feed)
    try:
        for path in folder.glob(f"*{OPEN}"):
            _close_if_dead(path)
        return sorted(folder.glob(f"*{CLOSED}"))
    except OSError as error:
        raise AeroCastError(f"the prediction log {folder} cannot be read: {error.strerror or error}") from error


def last_write(segment: Path) -> datetime | None:
    """When the last record of a closed segment was written; None if it was removed meanwhile."""
    try:
        return datetime.fromtimestamp(segment.stat().st_mtime, UTC)
    except OSError:
        return None


def read_segment(segment: Path) -> Records:
    """Every record of a closed segment. Raises AeroCastError when the file cannot be read."""
    try:
        lines = segment.read_bytes().splitlines()
    except OSError as error:
        raise AeroCastError(f"the log segment {segment} cannot be read: {error.strerror or error}") from error
    records = [record for record in map(_decode, lines) if record is not None]
    return Records(
        tuple(record for record in records if isinstance(record, Logged)),
        tuple(record for record in records if isinstance(record, PostedOutcome)),
        len(lines) - len(records),
    )


def remove_segment(segment: Path) -> None:
    """Removes a segment that was read, if it exists. Raises AeroCastError if it cannot be removed."""
    try:
        segment.unlink(missing_ok=True)
        atomic.sync(segment.parent)
    except FileNotFoundError:  # the folder went with it
        return
    except OSError as error:
        raise AeroCastError(f"the log segment {segment} cannot be removed: {error.strerror or error}") from error


def log_folder(home: Home, feed: str) -> Path:
    return Path(home) / "log" / feed


@dataclass(slots=True)
class _Segment:
    """One `.open` file; the open descriptor holds its lock. `has_name`: its name, too, is on the disk."""

    path: Path
    descriptor: int
    start: float = field(default_factory=time.monotonic)
    size: int = 0
    rows: int = 0
    dirty: bool = True
    has_name: bool = False


class PredictionLog:
    """The writer of one process: for each feed one open segment, at most `seconds` old and about `rows` long.

    `append` writes the line at once, so that it outlives the process; a thread flushes it to the disk within
    SYNC_SECONDS and closes segments. A disk that refuses raises nothing: `failures` counts the records that were
    lost, and `error` says why until a write succeeds.
    """

    def __init__(self, home: Home, seconds: float = 10.0, rows: int = MOST_ROWS) -> None:
        self.failures = 0
        self.error: str | None = None
        self._home, self._seconds, self._rows = Path(home), seconds, rows
        self._open: dict[str, _Segment] = {}
        self._full: set[str] = set()  # feeds of which too much waits
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def append(self, record: Record) -> bool:
        """Writes one record, from any thread, in microseconds. False if the disk refused it."""
        line = _ENCODER.encode(record) + b"\n"
        with self._lock:
            try:
                if record.feed in self._full:
                    raise OSError(errno.EDQUOT, f"more than {MOST_BYTES} bytes of {record.feed} wait for evaluation")
                _write(self._open.get(record.feed) or self._begin(record.feed), line)
            except OSError as error:
                self._note_failure(1, error)
                return False
            self.error = None
        return True

    def close(self) -> None:
        """Closes every segment, synced; no record can be appended after it."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._sync_and_close(lambda segment: True)

    def _begin(self, feed: str) -> _Segment:
        folder = log_folder(self._home, feed)
        atomic.make_folder(folder)
        segment = self._open[feed] = _create(folder)
        if self._thread.ident is None:
            self._thread.start()
        return segment

    def _run(self) -> None:
        while not self._stopped.wait(min(SYNC_SECONDS, self._seconds)):
            try:
                self._sync_and_close(self._is_over)
            except Exception as error:  # whatever a disk does, the next segments are closed, too
                with self._lock:
                    self._note_failure(0, error)

    def _is_over(self, segment: _Segment) -> bool:
        return segment.rows >= self._rows or time.monotonic() - segment.start >= self._seconds

    def _sync_and_close(self, is_over: Callable[[_Segment], bool]) -> None:
        """Syncs changed segments and closes those that are over; it waits for the disk without the lock."""
        with self._lock:
            finished = [self._open.pop(feed) for feed, segment in list(self._open.items()) if is_over(segment)]
            dirty = [segment for segment in self._open.values() if segment.dirty]
            for segment in dirty:
                segment.dirty = False
        for segment in dirty:
            try:
                _sync(segment)
            except OSError as error:
                with self._lock:
                    self._note_failure(0, error)
        for segment in finished:
            try:
                _close(segment)
            except OSError as error:
                with self._lock:  # `Path.exists` raises where a folder is closed to us
                    self._note_failure(0 if os.path.exists(segment.path) else segment.rows, error)
        for feed in {segment.path.parent.name for segment in finished} | self._full:
            full = {feed} if _size(log_folder(self._home, feed)) > MOST_BYTES else set[str]()
            with self._lock:
                self._full = self._full - {feed} | full

    def _note_failure(self, records: int, error: Exception) -> None:
        """Notes that `records` are lost; the caller holds the lock."""
        self.failures += records
        self.error = (
            f"the prediction log of {self._home} could not be written: {getattr(error, 'strerror', '') or error}"
        )


def _size(folder: Path) -> int:
    """Bytes of the files that are there; they may be removed meanwhile."""
    size = 0
    with suppress(OSError), os.scandir(folder) as files:
        for each in files:
            with suppress(OSError):
                size += each.stat().st_size
    return size


def _create(folder: Path) -> _Segment:
    """A new segment under its own lock; its name sorts by time and is unique."""
    while True:
        path = folder / f"{time.time_ns():019d}-{os.urandom(4).hex()}{OPEN}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        if _lock(descriptor, path):
            return _Segment(path, descriptor)
        os.close(descriptor)  # a reader closed it as a dead one's before it was locked


def _lock(descriptor: int, path: Path) -> bool:
    """Locks the file; False if another process has it, or its name is another file now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def _write(segment: _Segment, line: bytes) -> None:
    size = os.write(segment.descriptor, line)
    if size < len(line):
        os.ftruncate(segment.descriptor, segment.size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    segment.size += size
    segment.rows += 1
    segment.dirty = True


def _sync(segment: _Segment) -> None:
    os.fsync(segment.descriptor)
    if not segment.has_name:
        atomic.sync(segment.path.parent)
        segment.has_name = True


def _close(segment: _Segment) -> None:
    try:
        _rename(segment.path, segment.descriptor, is_empty=not segment.rows)
    finally:
        os.close(segment.descriptor)


def _rename(path: Path, descriptor: int, *, is_empty: bool) -> None:
    """From `.open` to `.jsonl`, under the lock; removes an empty segment."""
    os.fsync(descriptor)
    if is_empty:
        path.unlink()
    else:
        path.rename(path.with_suffix(CLOSED))
    atomic.sync(path.parent)


def _close_if_dead(path: Path) -> None:
    """Closes the segment of a dead writer, without its last line if that is incomplete."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        if _lock(descriptor, path):
            size = path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(descriptor, size)
            _rename(path, descriptor, is_empty=not size)
    finally:
        os.close(descriptor)


def _decode(line: bytes) -> Record | None:
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
