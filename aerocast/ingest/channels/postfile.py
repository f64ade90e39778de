"""Creates and opens the file that keeps posts, with the settings that durability needs, and explains its errors.

The server imports this module: the standard library only.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from pathlib import Path

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic

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
