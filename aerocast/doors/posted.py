"""What was posted to the server and is not in raw yet: one SQLite file a feed, `<work>/observations/<feed>.sqlite`.

A post is acknowledged when it is on the disk: one thread commits whatever waits at the moment, so that many clients
share one fsync. The platform takes posts away in parts whose bounds are kept here, so that a part that was killed
half-way comes back just as it was. Several processes may write and read one file.
The server imports this module: msgspec and the standard library only.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import msgspec

from aerocast import durable
from aerocast.errors import AeroCastError
from aerocast.home import Home

FOLDER = "observations"
KEEP_KEYS_SECONDS = 25 * 3600
PART_ROWS, PART_BYTES = 200_000, 64 << 20
_VERSION = 1
_BUSY_SECONDS = 15
_PRUNE_SECONDS = 60
_PRUNE_ROWS = 20_000
_FORGET = 5_000
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SCHEMA = f"""
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL,
    last INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE posts (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, rows INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE keys (
    key TEXT PRIMARY KEY, digest BLOB NOT NULL, id INTEGER NOT NULL, rows INTEGER NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (at);
CREATE TABLE parts (last INTEGER PRIMARY KEY);
CREATE TABLE refused (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, rows INTEGER NOT NULL, body BLOB NOT NULL,
    reason TEXT NOT NULL);
PRAGMA user_version = {_VERSION};
"""
log = logging.getLogger("aerocast.doors")


class Why(Enum):
    """Why a post was not taken: too much waits, the disk is full, its key names another body, the file is unusable."""

    FULL = "full"
    DISK = "disk"
    KEY = "key"
    UNUSABLE = "unusable"


class Refused(AeroCastError):
    """A post that was not taken; nothing of it is kept."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Receipt(msgspec.Struct, frozen=True):
    """A post that is on the disk, under `id`; a `duplicate` was there before, under its key."""

    id: str
    accepted: int
    duplicate: bool


class Post(NamedTuple):
    """A body as it was sent, of so many readings; `kind` is `json`, `ndjson` or `arrow`."""

    id: int
    kind: str
    rows: int
    body: bytes


class Counts(NamedTuple):
    """Readings that wait, and posts that were put aside."""

    waiting: int
    refused: int


class Part(NamedTuple):
    """The posts up to the `position`, oldest first, that no earlier part holds; always the same ones.

    `file` is the file's own name: random, given when it was made, never used again.
    """

    file: str
    position: int
    posts: list[Post]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait for the platform on the disk, and for the disk in memory."""

    rows: int = 5_000_000
    bytes: int = 1 << 30
    pending: int = 20_000
    pending_bytes: int = 64 << 20


class _Offer(NamedTuple):
    """`answer` waits for the disk: in a thread, or in the event loop `loop`."""

    key: str | None
    digest: bytes
    kind: str
    rows: int
    body: bytes
    answer: Future[Receipt] | asyncio.Future[Receipt]
    loop: asyncio.AbstractEventLoop | None


class Posted:
    """The posts of one feed. Nothing is opened or made before the first post, or while there is no file."""

    def __init__(self, home: Home, feed: str, limits: Limits | None = None) -> None:
        self.path = Path(home) / FOLDER / f"{feed}.sqlite"
        self._feed, self._limits = feed, limits or Limits()
        self._offers: queue.SimpleQueue[_Offer | None] = queue.SimpleQueue()
        self._pending = self._pending_bytes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, key: str | None, body: bytes, kind: str, rows: int) -> Receipt:
        """Keeps a body of `rows` readings; it is on the disk when this returns.

        A `key` that was used within a day stands for what it stood for then: the same body is not kept twice, another
        one is refused. Without a key each body counts.

        Raises:
            Refused: nothing of it is kept.
        """
        answer: Future[Receipt] = Future()
        self._offer(_Offer(key, _digest(key, body, kind), kind, rows, body, answer, None))
        return answer.result()

    async def keep(self, key: str | None, body: bytes, kind: str, rows: int) -> Receipt:
        """As `put`, without a thread that waits. Who is cancelled does not take back what was sent."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Receipt] = loop.create_future()
        self._offer(_Offer(key, _digest(key, body, kind), kind, rows, body, answer, loop))
        return await answer

    def _offer(self, offer: _Offer) -> None:
        size = len(offer.body)
        with self._lock:
            if self._closed:
                raise Refused(Why.UNUSABLE, "the server is being stopped")
            if self._pending >= self._limits.pending or self._pending_bytes + size > self._limits.pending_bytes:
                raise Refused(Why.FULL, f"{self._pending} posts of {self._feed} wait for the disk already")
            self._pending += 1
            self._pending_bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name=f"posted-{self._feed}", daemon=True)
                self._thread.start()
            self._offers.put(offer)

    def close(self) -> None:
        """What was offered is answered when this returns; nothing more is taken."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread:
            self._offers.put(None)
            thread.join()

    def waiting(self) -> int:
        """How many readings the platform has not taken. Raises AeroCastError when the file cannot be read."""
        return self.counts().waiting

    def counts(self) -> Counts:
        """What is in the file. Raises AeroCastError when it cannot be read."""
        with self._reading() as con:
            if con is None:
                return Counts(0, 0)
            return Counts(*con.execute("SELECT rows, (SELECT count(*) FROM refused) FROM state").fetchone())

    def stamp(self) -> tuple[int, ...] | None:
        """What changes when the file does; None within a second of a write, for clocks of disks are coarse."""
        seen = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(FileNotFoundError):
                seen.append(os.stat(path))
        if any(time.time() - each.st_mtime < 1 for each in seen):
            return None
        return tuple(number for each in seen for number in (each.st_ino, each.st_mtime_ns, each.st_size))

    def refused(self) -> list[tuple[int, str]]:
        """The posts that were put aside, with their reasons. Raises AeroCastError when the file cannot be read."""
        with self._reading() as con:
            return con.execute("SELECT id, reason FROM refused ORDER BY id").fetchall() if con else []

    def parts(self, rows: int = PART_ROWS, size: int = PART_BYTES) -> Iterator[Part]:
        """What is there now, in parts of about so many readings and bytes; first those that were handed out before.

        The bounds of a part are on the disk before it is handed out. Raises AeroCastError when the file cannot be read.
        """
        first, end, after = None, None, 0
        while True:
            with self._reading() as con:
                if con is None:
                    return
                file, last = con.execute("SELECT name, last FROM state").fetchone()
                if end is None:
                    first, end = file, last
                if file != first:  # made anew meanwhile: it begins with the next look
                    return
                position = self._next_part(con, after, end, rows, size)
                if position is None:
                    return
                chosen = "SELECT id, kind, rows, body FROM posts WHERE id > ? AND id <= ? ORDER BY id"
                posts = [Post(*row) for row in con.execute(chosen, (after, position)).fetchall()]
            yield Part(file, position, posts)
            after = position

    def forget(self, file: str, position: int) -> None:
        """The posts of this file up to the position are in raw. Their keys stay.

        Raises:
            AeroCastError: the disk refuses, or the file is another one now.
        """
        left = True
        while left:  # a little at a time: whoever posts waits for it
            with self._changing(file) as con:
                found = con.execute("SELECT id FROM posts WHERE id <= ? LIMIT ?", (position, _FORGET)).fetchall()
                left = len(found) == _FORGET
                if found:
                    self._drop(con, "id <= ?", found[-1])
                if not left:
                    con.execute("DELETE FROM parts WHERE last <= ?", (position,))

    def put_aside(self, file: str, post: Post, reason: str) -> None:
        """This post cannot be taken; it stays in the file, with the reason. Raises AeroCastError as `forget`."""
        copy = "INSERT OR IGNORE INTO refused SELECT id, at, kind, rows, body, ? FROM posts WHERE id = ?"
        with self._changing(file) as con:
            con.execute(copy, (reason, post.id))
            self._drop(con, "id = ?", (post.id,))

    @staticmethod
    def _next_part(con: sqlite3.Connection, after: int, end: int, rows: int, size: int) -> int | None:
        """The end of the next part: one that was handed out before, or a new one, on the disk now."""
        known = con.execute("SELECT min(last) FROM parts WHERE last > ?", (after,)).fetchone()[0]
        if known is not None:
            return int(known)
        position, held, held_bytes = None, 0, 0
        waiting = con.execute(
            "SELECT id, rows, length(body) FROM posts WHERE id > ? AND id <= ? ORDER BY id", (after, end)
        )
        for one, its_rows, its_bytes in waiting:
            held, held_bytes = held + its_rows, held_bytes + its_bytes
            if position is not None and (held > rows or held_bytes > size):
                break
            position = one
        waiting.close()  # it would hold the state of before the next lines
        if position is None:
            return None
        con.execute("BEGIN IMMEDIATE")
        # Another process may have cut a part meanwhile: the first one counts.
        first = con.execute("SELECT min(last) FROM parts WHERE last > ?", (after,)).fetchone()[0]
        if first is None:
            con.execute("INSERT INTO parts VALUES (?)", (position,))
        con.execute("COMMIT")
        return int(position if first is None else first)

    @staticmethod
    def _drop(con: sqlite3.Connection, which: str, values: tuple[int, ...]) -> None:
        gone = con.execute(f"SELECT total(rows), total(length(body)) FROM posts WHERE {which}", values).fetchone()
        con.execute(f"DELETE FROM posts WHERE {which}", values)
        con.execute("UPDATE state SET rows = rows - ?, bytes = bytes - ?", tuple(int(value) for value in gone))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection of this call alone; None while there is no file."""
        con = None
        try:
            con = _open(self.path) if self.path.exists() else None
            yield con
        except (sqlite3.Error, OSError) as error:
            raise AeroCastError(_told(self.path, error)) from error
        finally:
            if con:
                con.close()

    @contextmanager
    def _changing(self, file: str) -> Iterator[sqlite3.Connection]:
        """One transaction on the file of that name, not on one that was made in its place."""
        with self._reading() as con:
            if con:
                con.execute("BEGIN IMMEDIATE")
            if con is None or con.execute("SELECT name FROM state").fetchone()[0] != file:
                raise AeroCastError(f"{self.path} was removed while it was read, and what was posted with it")
            yield con
            con.execute("COMMIT")

    def _write(self) -> None:
        """The thread: commits what waits, again and again, until it is told to end."""
        writer = _Writer(self.path, self._limits)
        ended = False
        while not ended:
            group, ended = self._gather()
            if group:
                answers = writer.commit(group)
                with self._lock:
                    self._pending -= len(group)
                    self._pending_bytes -= sum(len(offer.body) for offer in group)
                _tell(group, answers)
        writer.close()

    def _gather(self) -> tuple[list[_Offer], bool]:
        """Everything that waits, at least one; True if it is the last."""
        group: list[_Offer] = []
        found = self._offers.get()
        while found is not None:
            group.append(found)
            try:
                found = self._offers.get_nowait()
            except queue.Empty:
                return group, False
        return group, True


Answer = Receipt | Refused


class _Writer:
    """The one connection that a process writes posts through; it belongs to one thread."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._con: sqlite3.Connection | None = None
        self._file = 0
        self._pruned = 0.0

    def commit(self, group: Sequence[_Offer]) -> Sequence[Answer]:
        """An answer for each, in order. Receipts are given for what is on the disk, in the file of that name."""
        try:
            while True:
                answers = self._try(self._connected(), group)
                if self._is_there():
                    return answers
                self.close()  # the file was removed meanwhile, and what was written with it
        except (sqlite3.Error, OSError, AeroCastError) as error:
            self.close()
            text = _told(self._path, error)
            log.error("%s", text)
            return [Refused(Why.DISK if _is_full(error) else Why.UNUSABLE, text)] * len(group)
        except Exception:  # a fault of ours: the thread, and all who wait for it, outlive it
            self.close()
            log.exception("%s: a group of posts could not be kept", self._path)
            return [
                Refused(Why.UNUSABLE, f"{self._path}: the post could not be kept; the server's log says why")
            ] * len(group)

    def close(self) -> None:
        con, self._con = self._con, None
        if con:
            try:
                con.close()  # rolls back what is open
            except sqlite3.Error as error:
                log.error("%s", _told(self._path, error))

    def _connected(self) -> sqlite3.Connection:
        if self._con and not self._is_there():
            self.close()
        if self._con is None:
            if not self._path.exists():
                _make(self._path)
            self._file = os.stat(self._path).st_ino
            self._con = _open(self._path)
        return self._con

    def _is_there(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._file
        except FileNotFoundError:
            return False

    def _try(self, con: sqlite3.Connection, group: Sequence[_Offer]) -> list[Answer]:
        now = time.time()
        con.execute("BEGIN IMMEDIATE")
        name, last, rows, size = con.execute("SELECT name, last, rows, bytes FROM state").fetchone()
        answers: list[Answer] = []
        new: list[tuple[int, float, str, int, bytes]] = []
        for offer in group:
            answer = self._known(con, name, offer)
            if answer is None and (
                rows + offer.rows > self._limits.rows or size + len(offer.body) > self._limits.bytes
            ):
                answer = Refused(Why.FULL, f"{rows} readings wait for the platform already; it takes them by and by")
            if answer is None:
                last, rows, size = last + 1, rows + offer.rows, size + len(offer.body)
                new.append((last, now, offer.kind, offer.rows, offer.body))
                if offer.key is not None:
                    con.execute(
                        "INSERT INTO keys VALUES (?, ?, ?, ?, ?)", (offer.key, offer.digest, last, offer.rows, now)
                    )
                answer = Receipt(f"{name}/{last}", offer.rows, False)
            answers.append(answer)
        con.executemany("INSERT INTO posts VALUES (?, ?, ?, ?, ?)", new)
        con.execute("UPDATE state SET last = ?, rows = ?, bytes = ?", (last, rows, size))
        self._prune(con, now)
        con.execute("COMMIT")
        return answers

    @staticmethod
    def _known(con: sqlite3.Connection, name: str, offer: _Offer) -> Answer | None:
        """The answer that the offer's key was given before, also within the group."""
        if offer.key is None:
            return None
        found = con.execute("SELECT digest, id, rows FROM keys WHERE key = ?", (offer.key,)).fetchone()
        if found is None:
            return None
        digest, one, rows = found
        if digest != offer.digest:
            return Refused(Why.KEY, f"the key {offer.key[:80]!r} was used for another body")
        return Receipt(f"{name}/{one}", rows, True)

    def _prune(self, con: sqlite3.Connection, now: float) -> None:
        if now - self._pruned < _PRUNE_SECONDS:
            return
        self._pruned = now
        old = "SELECT key FROM keys WHERE at < ? ORDER BY at LIMIT ?"
        con.execute(f"DELETE FROM keys WHERE key IN ({old})", (now - KEEP_KEYS_SECONDS, _PRUNE_ROWS))


def _digest(key: str | None, body: bytes, kind: str) -> bytes:
    return hashlib.sha256(kind.encode() + b"\0" + body).digest() if key is not None else b""


def _tell(group: Sequence[_Offer], answers: Sequence[Answer]) -> None:
    """Gives everybody the answer; an event loop is woken once for all who wait in it."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Offer, Answer]]] = {}
    for offer, answer in zip(group, answers, strict=True):
        if offer.loop is None:
            _settle([(offer, answer)])
        else:
            loops.setdefault(offer.loop, []).append((offer, answer))
    for loop, told in loops.items():
        with suppress(RuntimeError):  # it was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(_settle, told)


def _settle(told: Sequence[tuple[_Offer, Answer]]) -> None:
    for offer, answer in told:
        if offer.answer.done():  # cancelled
            continue
        if isinstance(answer, Receipt):
            offer.answer.set_result(answer)
        else:
            offer.answer.set_exception(answer)


def _make(path: Path) -> None:
    """A new file under its name, whole, unless another process was faster."""
    with durable.locked(path.parent, "what was posted"):
        if path.exists():
            return
        for left in path.parent.glob(f"{path.name}-*"):
            left.unlink()  # the log of a file that was removed would be taken for the new one's
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        con = sqlite3.connect(beside, isolation_level=None)
        try:
            con.execute("PRAGMA journal_mode = WAL")
            con.execute("PRAGMA synchronous = FULL")
            con.executescript(_SCHEMA)
            con.execute("INSERT INTO state VALUES (1, ?, 0, 0, 0)", (secrets.token_hex(8),))
        finally:
            con.close()  # writes everything into the one file
        os.rename(beside, path)
        durable.sync_folder(path.parent)


def _open(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there. Raises AeroCastError if it is no such file."""
    con = sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        con.execute("PRAGMA synchronous = FULL")
        con.execute("PRAGMA wal_autocheckpoint = 4000")
        version = con.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise AeroCastError(f"{path} has version {version}, and not {_VERSION}: it is no file of posts")
    except BaseException:
        con.close()
        raise
    return con


def _quoted(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file://")


def _is_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    found = error if isinstance(error, OSError) else error.__cause__
    return isinstance(found, OSError) and found.errno in _FULL


def _told(path: Path, error: BaseException) -> str:
    """One sentence for what SQLite or the disk refuses."""
    if isinstance(error, AeroCastError):
        return str(error)
    if _is_full(error):
        return f"{path} could not be written: the disk is full"
    if isinstance(error, OSError):
        return f"{path} cannot be used: {error.strerror or error}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"{path} is damaged ({error}): move it away, with what stands beside it, and a new one is made"
    return f"{path} cannot be used: {error}"
