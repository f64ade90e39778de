"""Writes posts to disk: one writer a process commits whatever waits, and all who wait for it share one fsync.

Here, too, the file that keeps them is created and opened, with the settings that durability needs.
The server imports this module: msgspec and the standard library only.
"""

import asyncio
import errno
import hashlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import is_recent
from aerocast.storage import atomic

KEEP_KEYS_SECONDS = 25 * 3600
_PRUNE_SECONDS = 60
_PRUNE_ROWS = 20_000
BUSY_SECONDS = 15
_VERSION = 1
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
log = logging.getLogger("aerocast.ingest.channels")


class Why(Enum):
    """Why a post was not taken: too much waits, the disk is full, its key names another body, the file is unusable."""

    FULL = "full"
    DISK = "disk"
    KEY = "key"
    UNUSABLE = "unusable"


class PostRefusal(AeroCastError):
    """A post that was not taken; nothing of it is kept."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Receipt(msgspec.Struct, frozen=True):
    """A post that is on the disk, under `id`; a `duplicate` was there before, under its key."""

    id: str
    accepted: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait for the platform on the disk, and for the disk in memory."""

    rows: int = 5_000_000
    bytes: int = 1 << 30
    pending: int = 20_000
    pending_bytes: int = 64 << 20


class Offer(NamedTuple):
    """`answer` waits for the disk: in a thread, or in the event loop `loop`."""

    key: str | None
    digest: bytes
    kind: str
    rows: int
    body: bytes
    answer: Future[Receipt] | asyncio.Future[Receipt]
    loop: asyncio.AbstractEventLoop | None


Answer = Receipt | PostRefusal


class Writer:
    """The one connection that a process writes posts through; it belongs to one thread."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._con: sqlite3.Connection | None = None
        self._file = 0
        self._last_prune = 0.0

    def commit(self, group: Sequence[Offer]) -> Sequence[Answer]:
        """An answer for each, in order. Receipts are given for what is on the disk, in the file of that name."""
        try:
            while True:
                answers = self._try(self._connect(), group)
                if self._is_there():
                    return answers
                self.close()  # the file was removed meanwhile, and what was written with it
        except (sqlite3.Error, OSError, AeroCastError) as error:
            self.close()
            text = error_text(self._path, error)
            log.error("%s", text)
            return [PostRefusal(Why.DISK if is_full(error) else Why.UNUSABLE, text)] * len(group)
        except Exception:  # a fault of ours: the thread, and all who wait for it, outlive it
            self.close()
            log.exception("%s: a group of posts could not be stored", self._path)
            return [
                PostRefusal(Why.UNUSABLE, f"{self._path}: the post could not be stored; the server's log says why")
            ] * len(group)

    def close(self) -> None:
        con, self._con = self._con, None
        if con:
            try:
                con.close()  # rolls back what is open
            except sqlite3.Error as error:
                log.error("%s", error_text(self._path, error))

    def _connect(self) -> sqlite3.Connection:
        if self._con and not self._is_there():
            self.close()
        if self._con is None:
            if not self._path.exists():
                create_post_file(self._path)
            self._file = os.stat(self._path).st_ino
            self._con = open_post_file(self._path)
        return self._con

    def _is_there(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._file
        except FileNotFoundError:
            return False

    def _try(self, con: sqlite3.Connection, group: Sequence[Offer]) -> list[Answer]:
        now = time.time()
        con.execute("BEGIN IMMEDIATE")
        name, last, rows, size = con.execute("SELECT name, last, rows, bytes FROM state").fetchone()
        answers: list[Answer] = []
        new: list[tuple[int, float, str, int, bytes]] = []
        for offer in group:
            answer = self._answer_before(con, name, offer)
            if answer is None and (
                rows + offer.rows > self._limits.rows or size + len(offer.body) > self._limits.bytes
            ):
                answer = PostRefusal(
                    Why.FULL, f"{rows} readings are already waiting for the platform: try again shortly"
                )
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
    def _answer_before(con: sqlite3.Connection, name: str, offer: Offer) -> Answer | None:
        """The answer that the offer's key was given before, also within the group."""
        if offer.key is None:
            return None
        row = con.execute("SELECT digest, id, rows FROM keys WHERE key = ?", (offer.key,)).fetchone()
        if row is None:
            return None
        digest, one, rows = row
        if digest != offer.digest:
            return PostRefusal(Why.KEY, f"the key {offer.key[:80]!r} was used for another body")
        return Receipt(f"{name}/{one}", rows, True)

    def _prune(self, con: sqlite3.Connection, now: float) -> None:
        if is_recent(now - self._last_prune, _PRUNE_SECONDS):
            return
        self._last_prune = now
        old = "SELECT key FROM keys WHERE at < ? ORDER BY at LIMIT ?"
        con.execute(f"DELETE FROM keys WHERE key IN ({old})", (now - KEEP_KEYS_SECONDS, _PRUNE_ROWS))


def digest(key: str | None, body: bytes, kind: str) -> bytes:
    """What tells one body under a key from another; nothing without a key."""
    return hashlib.sha256(kind.encode() + b"\0" + body).digest() if key is not None else b""


def tell(group: Sequence[Offer], answers: Sequence[Answer]) -> None:
    """Gives everybody the answer; an event loop is woken once for all who wait in it."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Offer, Answer]]] = {}
    for offer, answer in zip(group, answers, strict=True):
        if offer.loop is None:
            _set_answers([(offer, answer)])
        else:
            loops.setdefault(offer.loop, []).append((offer, answer))
    for loop, pairs in loops.items():
        with suppress(RuntimeError):  # it was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(_set_answers, pairs)


def _set_answers(pairs: Sequence[tuple[Offer, Answer]]) -> None:
    for offer, answer in pairs:
        if offer.answer.done():  # cancelled
            continue
        if isinstance(answer, Receipt):
            offer.answer.set_result(answer)
        else:
            offer.answer.set_exception(answer)


def create_post_file(path: Path) -> None:
    """A new file under its name, whole, unless another process was faster."""
    with atomic.folder_lock(path.parent, "what was posted"):
        if path.exists():
            return
        for leftover in path.parent.glob(f"{path.name}-*"):
            leftover.unlink()  # the log of a file that was removed would be taken for the new one's
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
        atomic.sync(path.parent)


def open_post_file(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there. Raises AeroCastError if it is no such file."""
    con = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        con.execute("PRAGMA synchronous = FULL")
        con.execute("PRAGMA wal_autocheckpoint = 4000")
        version = con.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise AeroCastError(f"{path} has version {version}, and not {_VERSION}: it is not a file of posts")
    except BaseException:
        con.close()
        raise
    return con


def is_full(error: BaseException) -> bool:
    """Whether it says that the disk has no room."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in _FULL


def error_text(path: Path, error: BaseException) -> str:
    """One sentence for what SQLite or the disk refuses."""
    if isinstance(error, AeroCastError):
        return str(error)
    if is_full(error):
        return f"{path} could not be written: the disk is full"
    if isinstance(error, OSError):
        return f"{path} cannot be used: {error.strerror or error}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"{path} is damaged ({error}): move it and its companion files away, and a new one is created"
    return f"{path} cannot be used: {error}"
