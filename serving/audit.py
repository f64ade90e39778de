"""The audit log: a line for each request that writes, whether it was taken or refused (docs/security.md).

A thread writes what the event loop hands over, and the loop never waits for it. What is refused before a client may
write has a file of its own: nobody can push the lines of those who may out of theirs.
"""

import os
import queue
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from litestar import Request
from prometheus_client import Counter

from aerocast.storage import atomic
from aerocast.storage.home import Home
from serving.access import CLIENT
from serving.heads import App, Message

FOLDER, WRITES, REFUSALS = "logs", "audit.jsonl", "refusals.jsonl"
LARGEST, OLDER = 16 << 20, 4  # bytes of a file, and how many full ones are kept of each
MOST_WAITING = 10_000
LONGEST = 200  # characters of what a client chooses
DENIED = (401, 403, 421, 429)
_ABOUT = "audit"  # of a connection's state


class Line(msgspec.Struct, frozen=True):
    """One request. `token`: the name of the client's, null without one; `status`: null if no answer was begun."""

    time: datetime
    request: str
    token: str | None
    address: str
    method: str
    endpoint: str
    feed: str | None
    rows: int | None
    status: int | None


class AuditLog:
    """The two files of one home. `failures` counts lines that could not be written, `error` is why the last was not."""

    def __init__(self, home: Home) -> None:
        about = "Lines of the audit log that could not be written."
        self.failures = Counter("aerocast_audit_failures", about, registry=None)
        self.error: str | None = None
        self._folder = Path(home) / FOLDER
        self._lines: queue.Queue[tuple[str, bytes] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)

    def note(self, line: Line) -> None:
        """Hands a line over, and waits for nothing. For the event loop."""
        if self._thread.ident is None:
            self._thread.start()
        try:
            name = REFUSALS if line.status in DENIED else WRITES
            self._lines.put_nowait((name, msgspec.json.encode(line) + b"\n"))
        except queue.Full:
            self._fail(f"more than {MOST_WAITING} lines wait for the disk")

    def close(self) -> None:
        """What was handed over is written when this returns."""
        if self._thread.ident is not None:
            self._lines.put(None)
            self._thread.join()

    def _write(self) -> None:
        while (item := self._lines.get()) is not None:
            try:
                _append(self._folder / item[0], item[1])
                self.error = None
            except OSError as error:
                self._fail(f"{error.filename or self._folder / item[0]} cannot be written: {error.strerror or error}")

    def _fail(self, error: str) -> None:
        self.failures.inc()
        self.error = f"the audit log lacks lines: {error}"


def audited(app: App) -> App:
    """A middleware of what writes: a line in the log, and its id in the answer (`X-Request-Id`)."""

    async def record(scope: Any, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        at, name, status = datetime.now(UTC), uuid4().hex, list[int]()

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name.encode())]
            await send(message)

        try:
            await app(scope, receive, send_noted)
        finally:
            state = scope["state"]
            feed, rows = state.get(_ABOUT, (scope["path_params"].get("feed"), None))
            client, address = state.get(CLIENT), scope.get("client")
            line = Line(
                time=at,
                request=name,
                token=(client and client.name) or None,
                address=address[0] if address else "",
                method=scope["method"],
                endpoint=scope["path_template"],
                feed=feed and str(feed)[:LONGEST],
                rows=rows,
                status=status[0] if status else None,
            )
            scope["litestar_app"].state.audit.note(line)

    return record


def describe(request: Request[Any, Any, Any], feed: str, rows: int | None = None) -> None:
    """Notes for the line of a request what it writes: to which feed, and how many rows."""
    request.scope["state"][_ABOUT] = (feed, rows)


def _append(path: Path, line: bytes) -> None:
    """The whole line or, where the disk takes a part of it, nothing; readable for the owner only."""
    atomic.make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, atomic.PRIVATE)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, size)
            raise OSError(0, "the disk is full", str(path))
    finally:
        os.close(descriptor)
    if size + len(line) > LARGEST:
        for number in range(OLDER, 1, -1):
            older = path.with_name(f"{path.name}.{number - 1}")
            if older.exists():
                os.replace(older, path.with_name(f"{path.name}.{number}"))
        os.replace(path, path.with_name(f"{path.name}.1"))
