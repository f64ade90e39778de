"""Keeps what was posted to the server until it is in raw: one SQLite file a feed, `<work>/observations/<feed>.sqlite`.

A post is acknowledged when it is on the disk: one thread commits whatever waits at the moment, so that many clients
share one fsync. The platform takes posts away in parts whose bounds are kept here, so that a part that was killed
half-way comes back just as it was. Several processes may write and read one file.
The server imports this module: msgspec and the standard library only.
"""

import asyncio
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import is_recent
from aerocast.ingest.channels import posting
from aerocast.ingest.channels.posting import Limits, Offer, PostRefusal, Receipt, Why, Writer, digest, tell
from aerocast.storage import atomic
from aerocast.storage.home import Home

__all__ = ["Counts", "Limits", "Part", "Post", "PostRefusal", "PostStore", "Receipt", "Why"]

FOLDER = "observations"
PART_ROWS, PART_BYTES = 200_000, 64 << 20
_FORGET = 5_000


class Post(NamedTuple):
    """A body as it was sent, of so many readings; `kind` is `json`, `ndjson` or `arrow`."""

    id: int
    kind: str
    rows: int
    body: bytes


class Counts(NamedTuple):
    """Readings that wait, and posts that were put aside."""

    waiting: int
    refusals: int


class Part(NamedTuple):
    """The posts up to the `position`, oldest first, that no earlier part holds; always the same ones.

    `file` is the file's own name: random, given when it was made, never used again.
    """

    file: str
    position: int
    posts: list[Post]


class PostStore:
    """The posts of one feed. Nothing is opened or made before the first post, or while there is no file."""

    def __init__(self, home: Home, feed: str, limits: Limits | None = None) -> None:
        self.path = Path(home) / FOLDER / f"{feed}.sqlite"
        self._feed, self._limits = feed, limits or Limits()
        self._offers: queue.SimpleQueue[Offer | None] = queue.SimpleQueue()
        self._queue_length = self._queue_bytes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def post(self, key: str | None, body: bytes, kind: str, rows: int) -> Receipt:
        """Keeps a body of `rows` readings; it is on the disk when this returns.

        A `key` that was used within a day stands for what it stood for then: the same body is not kept twice, another
        one is refused. Without a key each body counts.

        Raises:
            PostRefusal: nothing of it is kept.
        """
        answer: Future[Receipt] = Future()
        self._offer(Offer(key, digest(key, body, kind), kind, rows, body, answer, None))
        return answer.result()

    async def keep(self, key: str | None, body: bytes, kind: str, rows: int) -> Receipt:
        """As `put`, without a thread that waits. Who is cancelled does not take back what was sent."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Receipt] = loop.create_future()
        self._offer(Offer(key, digest(key, body, kind), kind, rows, body, answer, loop))
        return await answer

    def _offer(self, offer: Offer) -> None:
        size = len(offer.body)
        with self._lock:
            if self._is_closed:
                raise PostRefusal(Why.UNUSABLE, "the server is being stopped")
            if self._queue_length >= self._limits.pending or self._queue_bytes + size > self._limits.pending_bytes:
                raise PostRefusal(
                    Why.FULL, f"{self._queue_length} posts of {self._feed} are already waiting for the disk"
                )
            self._queue_length += 1
            self._queue_bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name=f"posted-{self._feed}", daemon=True)
                self._thread.start()
            self._offers.put(offer)

    def close(self) -> None:
        """What was offered is answered when this returns; nothing more is taken."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if thread:
            self._offers.put(None)
            thread.join()

    def backlog(self) -> int:
        """How many readings the platform has not taken. Raises AeroCastError when the file cannot be read."""
        return self.counts().waiting

    def counts(self) -> Counts:
        """What is in the file. Raises AeroCastError when it cannot be read."""
        with self._connection() as con:
            if con is None:
                return Counts(0, 0)
            row = con.execute("SELECT rows, (SELECT count(*) FROM refused) FROM state").fetchone()
            if not row or not all(isinstance(number, int) for number in row):
                raise AeroCastError(f"{self.path} is damaged: it says that {row and row[0]} readings wait")
            return Counts(*row)

    def stamp(self) -> tuple[int, ...] | None:
        """What changes when the file does; None within a second of a write, for clocks of disks are coarse."""
        stats = []
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(FileNotFoundError):
                stats.append(os.stat(path))
        if any(is_recent(time.time() - each.st_mtime, 1) for each in stats):
            return None
        return tuple(number for each in stats for number in (each.st_ino, each.st_mtime_ns, each.st_size))

    def refusals(self) -> list[tuple[int, str]]:
        """The posts that were put aside, with their reasons. Raises AeroCastError when the file cannot be read."""
        with self._connection() as con:
            return con.execute("SELECT id, reason FROM refused ORDER BY id").fetchall() if con else []

    def parts(self, rows: int = PART_ROWS, size: int = PART_BYTES) -> Iterator[Part]:
        """What is there now, in parts of about so many readings and bytes; first those that were handed out before.

        The bounds of a part are on the disk before it is handed out. Raises AeroCastError when the file cannot be read.
        """
        first, end, after = None, None, 0
        while True:
            with self._connection() as con:
                if con is None:
                    return
                file, last = con.execute("SELECT name, last FROM state").fetchone()
                if end is None:
                    first, end = file, last
                if file != first:  # made again meanwhile: it begins with the next look
                    return
                position = self._next_part(con, after, end, rows, size)
                if position is None:
                    return
                query = "SELECT id, kind, rows, body FROM posts WHERE id > ? AND id <= ? ORDER BY id"
                posts = [Post(*row) for row in con.execute(query, (after, position)).fetchall()]
            yield Part(file, position, posts)
            after = position

    def forget(self, file: str, position: int) -> None:
        """The posts of this file up to the position are in raw. Their keys stay.

        Raises:
            AeroCastError: the disk refuses, or the file is another one now.
        """
        more = True
        while more:  # a little at a time: clients that post wait for it
            with self._transaction(file) as con:
                ids = con.execute("SELECT id FROM posts WHERE id <= ? LIMIT ?", (position, _FORGET)).fetchall()
                more = len(ids) == _FORGET
                if ids:
                    self._drop(con, "id <= ?", ids[-1])
                if not more:
                    con.execute("DELETE FROM parts WHERE last <= ?", (position,))

    def rename_restored(self, newest: Callable[[str], int | None]) -> bool:
        """Gives the file another name if it is an older copy: its next numbers are those of posts that raw has.

        `newest` is the newest number that raw has of a file's name. Whether it was renamed; what raw has of the copy
        comes once more then. Raises AeroCastError as `parts`.
        """
        with self._connection() as con:
            if con is None:
                return False
            con.execute("BEGIN IMMEDIATE")
            file, last = con.execute("SELECT name, last FROM state").fetchone()
            latest = newest(file)
            first = con.execute("SELECT min(id) FROM posts").fetchone()[0]
            # Posts that raw has may still be here, too, if a part was appended and its taker killed.
            killed = con.execute("SELECT 1 FROM parts WHERE last = ?", (latest,)).fetchone()
            is_copy = latest is not None and (last < latest or (first is not None and first <= latest and not killed))
            if is_copy:
                con.execute("UPDATE state SET name = ?", (secrets.token_hex(8),))
            con.execute("COMMIT")
            return is_copy

    def put_aside(self, file: str, post: Post, reason: str) -> None:
        """This post cannot be taken; it stays in the file, with the reason. Raises AeroCastError as `forget`."""
        copy = "INSERT OR IGNORE INTO refused SELECT id, at, kind, rows, body, ? FROM posts WHERE id = ?"
        with self._transaction(file) as con:
            con.execute(copy, (reason, post.id))
            self._drop(con, "id = ?", (post.id,))
            con.execute("UPDATE state SET bytes = bytes + ?", (len(post.body),))  # it still takes its room

    @staticmethod
    def _next_part(con: sqlite3.Connection, after: int, end: int, rows: int, size: int) -> int | None:
        """The end of the next part: one that was handed out before, or a new one, on the disk now."""
        cut = con.execute("SELECT min(last) FROM parts WHERE last > ?", (after,)).fetchone()[0]
        if cut is not None:
            return int(cut)
        position, rows_in_part, bytes_in_part = None, 0, 0
        cursor = con.execute(
            "SELECT id, rows, length(body) FROM posts WHERE id > ? AND id <= ? ORDER BY id", (after, end)
        )
        for one, its_rows, its_bytes in cursor:
            rows_in_part, bytes_in_part = rows_in_part + its_rows, bytes_in_part + its_bytes
            if position is not None and (rows_in_part > rows or bytes_in_part > size):
                break
            position = one
        cursor.close()  # it would keep the state that the next lines change
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
        totals = con.execute(f"SELECT total(rows), total(length(body)) FROM posts WHERE {which}", values).fetchone()
        con.execute(f"DELETE FROM posts WHERE {which}", values)
        con.execute("UPDATE state SET rows = rows - ?, bytes = bytes - ?", tuple(int(value) for value in totals))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """A connection of this call alone; None while there is no file."""
        con = None
        try:
            con = posting.open_post_file(self.path) if atomic.stamp(self.path) else None
            yield con
        except (sqlite3.Error, OSError) as error:
            raise AeroCastError(posting.error_text(self.path, error)) from error
        finally:
            if con:
                con.close()

    @contextmanager
    def _transaction(self, file: str) -> Iterator[sqlite3.Connection]:
        """One transaction on the file of that name, not on one that was made in its place."""
        with self._connection() as con:
            if con:
                con.execute("BEGIN IMMEDIATE")
            if con is None or con.execute("SELECT name FROM state").fetchone()[0] != file:
                raise AeroCastError(f"{self.path} was removed while it was read, together with the posts in it")
            yield con
            con.execute("COMMIT")

    def _write(self) -> None:
        """The thread: commits what waits, again and again, until it is told to end."""
        writer = Writer(self.path, self._limits)
        is_last = False
        while not is_last:
            group, is_last = self._gather()
            if group:
                answers = writer.commit(group)
                with self._lock:
                    self._queue_length -= len(group)
                    self._queue_bytes -= sum(len(offer.body) for offer in group)
                tell(group, answers)
        writer.close()

    def _gather(self) -> tuple[list[Offer], bool]:
        """Everything that waits, at least one; True if it is the last."""
        group: list[Offer] = []
        offer = self._offers.get()
        while offer is not None:
            group.append(offer)
            try:
                offer = self._offers.get_nowait()
            except queue.Empty:
                return group, False
        return group, True
