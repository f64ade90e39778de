"""Connections that nobody can hold for nothing: uvicorn's, with bounds on what a client may leave undone.

uvicorn bounds the time after an answer. Here are bounded, too: how many connections there are (the one that is idle for
longest makes room; only where none is idle a new one is refused), how long the head of a request, its body and the
reading of an answer may take, and how long a head may be. One look a second finds who is over time (`listening`).
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from serving.headers import FIELDS, secured
from serving.schemas import Problem

SPARE = 32  # refused connections that may be open at once, to read why
LINGER_SECONDS = 2.0  # after a refusal: what was sent meanwhile would end the connection before it is read
GRACE_SECONDS = 5  # for what is under way when the server stops
START_SECONDS = 30.0  # a body or an answer may take so long, however short it is
MOST_PIPELINED = 64
LIMITED = ("/predict", "/explain")  # the answers that take the processor's time, whatever their paths
ENDLESS = ("/v1/events",)  # answers without an end: who closes his half has gone
MOST_OVERHEAD = 1 << 20  # bytes of chunk sizes, extensions and trailers, beside 8 a byte of the body

_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)

# What a client did, by slug: status, sentence, rule.
REFUSALS = {
    "malformed-request": (400, "This is not an HTTP request.", "HTTP/1.1"),
    "request-timeout": (408, "The request did not arrive in time.", "a request that arrives without a break"),
    "request-entity-too-large": (413, "The body is larger than the largest allowed.", "a shorter body"),
    "too-many-pipelined": (429, "Too many requests were sent ahead.", f"at most {MOST_PIPELINED} requests ahead"),
    "too-many-forecasts": (429, "Too many requests wait for their answers.", "a request after the answers to others"),
    "request-head-too-large": (431, "Address and header fields are too long.", "a shorter head"),
    "too-many-connections": (503, "All connections are in use; try again in a moment.", "fewer connections"),
    "stopping": (503, "The server is being stopped; try again in a moment.", "a request that arrives in time"),
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may leave undone: seconds, bytes, and bytes a second (see `serving.config`)."""

    connections: int = 4096
    keep_alive: float = 75.0
    head: float = 10.0
    head_bytes: int = 16 << 10
    stall: float = 15.0
    least_rate: int = 4096
    body_bytes: int = 9 << 20
    most_forecasts: int = 64


class Phase(Enum):
    """What is still to come of the newest request; IDLE: none has begun."""

    IDLE, HEAD, BODY, NOTHING = range(4)


class Connection(HttpToolsProtocol):
    """One client. `load`: by path, requests of all connections that only wait for the processor.

    `began` is when the phase began, `moved` when something came last, in the loop's time.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: Bounds,
        count: Callable[[str], None],
        load: Mapping[str, set[RequestResponseCycle]],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds, self._count, self._load = bounds, count, load
        self._phase = Phase.IDLE
        self._began = self._moved = self.loop.time()
        self._head = self._body = self._raw = 0
        self._unread, self._unread_since, self._unread_less = 0, 0.0, 0.0
        self._fault = "malformed-request"
        self._running: RequestResponseCycle | None = None
        self._refused_at: float | None = None
        self._closing_at: float | None = None
        self._is_half_closed = False

    @property
    def is_idle(self) -> bool:
        """Nothing is under way."""
        complete = self.cycle is None or self.cycle.response_complete
        return self._phase is Phase.IDLE and complete and self._refused_at is None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            self._make_room()

    def _make_room(self) -> None:
        idle = [each for each in self.connections if isinstance(each, Connection) and each.is_idle and each is not self]
        if idle:
            self._count("idle-closed")
            min(idle, key=lambda each: each._began).transport.close()
        elif len(self.connections) > self._bounds.connections + SPARE:
            self._count("too-many-connections")
            self.transport.abort()
        else:
            self.refuse("too-many-connections")

    def refuse(self, slug: str) -> None:
        """Answers with a problem, if an answer can still be given, and ends the connection."""
        if self._refused_at is not None or self.transport.is_closing():
            return
        self._refused_at = self.loop.time()
        self._count(slug)
        running = self._running if self._running and not self._running.response_complete else None
        if running:  # the application learns that the client is gone
            running.disconnected = True
            running.message_event.set()
            self.flow.resume_writing()
        self.pipeline.clear()
        if running.response_started if running else self._phase is Phase.BODY:  # there is an answer already
            self.transport.abort()
            return
        self.transport.write(_answer(slug))
        self.transport.write_eof()
        self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._running:  # uvicorn tells only the newest of several requests sent ahead
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None:
            return
        self._moved = self.loop.time()
        self._raw += len(data)
        if self._phase is Phase.IDLE:  # the parser would take the body for another protocol; Java's client offers one
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"", head) + end + rest
        super().data_received(data)
        if self._phase is Phase.HEAD:
            self._head += len(data)
            if self._head > self._bounds.head_bytes:
                self.refuse("request-head-too-large")
        elif self._phase is Phase.BODY and self._raw > MOST_OVERHEAD + 8 * self._body:
            self.refuse("malformed-request")

    def send_400_response(self, msg: str) -> None:
        """Of uvicorn, for what its parser or one of the callbacks below does not take."""
        self.refuse(self._fault)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase, self._began, self._head, self._body, self._raw = Phase.HEAD, self._moved, 0, 0, 0

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._bounds.head_bytes:
            self._stop("request-head-too-large")
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop("too-many-pipelined")
        super().on_headers_complete()
        self._phase, self._began = Phase.BODY, self._moved

    def _stop(self, fault: str) -> None:
        """Out of the parser, into `send_400_response`."""
        self._fault = fault
        raise ValueError(fault)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, partial(self._admit, cycle, app))
        self._note_whole()

    def _note_whole(self) -> None:
        """Notes that nothing but the processor's time is missing for an answer; of each connection at most one."""
        if self._running and not self._running.more_body:
            self._waiting(self._running).add(self._running)

    def _waiting(self, cycle: RequestResponseCycle) -> set[RequestResponseCycle]:
        """The requests that wait as this one does; none that are not limited."""
        return self._load.get(_work(cycle.scope["path"]), set())

    async def _admit(self, cycle: RequestResponseCycle, app: Any, scope: Any, receive: Any, send: Any) -> None:
        """Our application; in its place a short refusal while more requests wait than are answered at once."""
        waiting = self._waiting(cycle)
        is_busy = len(waiting) > self._bounds.most_forecasts and cycle in waiting
        if is_busy:
            self._count("too-many-forecasts")
        try:
            await (_busy if is_busy else app)(scope, receive, secured(send))
        finally:
            waiting.discard(cycle)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        if self._body > self._bounds.body_bytes and self.cycle.response_complete:
            self._stop("request-entity-too-large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = Phase.NOTHING
        self._note_whole()
        self._rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        unasked = self._phase is Phase.BODY and self.expect_100_continue and not self._body
        if unasked or (self._is_half_closed and not self.pipeline and self.cycle.response_complete):
            self.transport.close()  # whether such a body still comes nobody can know
        self._rest()

    def _rest(self) -> None:
        if self._phase is Phase.NOTHING and self.cycle.response_complete and not self.pipeline:
            self._phase, self._began = Phase.IDLE, self.loop.time()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn's says None, asyncio takes a bool
        """Who sends no more may still read what was asked for, unless that has no end."""
        is_endless = self.cycle is not None and self.cycle.scope["path"] in ENDLESS
        self._is_half_closed = self._phase is Phase.NOTHING and self._refused_at is None and not is_endless
        return self._is_half_closed

    def shutdown(self) -> None:
        super().shutdown()
        if not self.transport.is_closing():
            self.loop.call_later(GRACE_SECONDS - 1, self._give_up)

    def _give_up(self) -> None:
        if self._phase in (Phase.HEAD, Phase.BODY):
            self.refuse("stopping")
        elif self.transport.get_write_buffer_size():
            self.transport.abort()

    def look(self, now: float) -> None:
        """Ends what is over time."""
        if self.transport.is_closing():
            self._closing_at = self._closing_at or now
            if now - self._closing_at > self._bounds.stall:
                self.transport.abort()
        elif self._refused_at is not None:
            if now - self._refused_at > LINGER_SECONDS:
                self.transport.abort()
        elif self._is_unread(now):
            self._count("slow-reader")
            self.transport.abort()
        elif self._is_late(now):
            self.refuse("request-timeout")
        elif self.is_idle and now - self._began > self._bounds.keep_alive:
            self.transport.close()

    def _is_late(self, now: float) -> bool:
        """Whether the rest of a head or of a body should have come."""
        if self._phase is not Phase.BODY:
            return self._phase is Phase.HEAD and now - self._began > self._bounds.head
        if self.flow.read_paused:  # we do not read, so the client cannot send
            self._began += now - self._moved
            self._moved = now
        allowed = START_SECONDS + self._body / self._bounds.least_rate
        return now - self._moved > self._bounds.stall or now - self._began > allowed

    def _is_unread(self, now: float) -> bool:
        """Whether an answer waits for a client that does not read, or hardly."""
        unread, before = self.transport.get_write_buffer_size(), self._unread
        self._unread = unread
        if not unread or not before:
            self._unread_since = self._unread_less = now
        elif unread < before:
            self._unread_less = now
        allowed = START_SECONDS + unread / self._bounds.least_rate
        return now - self._unread_less > self._bounds.stall or now - self._unread_since > allowed


def _work(path: str) -> str:
    """Which of LIMITED the answer at a path is, else the path without its version."""
    own = path.removeprefix("/v1")
    return "/predict" if own.startswith("/predictions/") and own.count("/") == 2 else own


async def _busy(scope: Any, receive: Any, send: Any) -> None:
    """The application in the place of ours while that has enough to do; the connection stays."""
    status, body = _problem("too-many-forecasts")
    kind = (b"content-type", b"application/problem+json")
    length = (b"content-length", str(len(body)).encode())
    headers = [kind, length, (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _problem(slug: str) -> tuple[int, bytes]:
    status, detail, rule = REFUSALS[slug]
    kind, title = f"urn:aerocast:problem:{slug}", slug.replace("-", " ").capitalize()
    return status, msgspec.json.encode(Problem(kind, title, status, detail, "request", rule=rule))


def _answer(slug: str) -> bytes:
    status, body = _problem(slug)
    head = f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
    if status in (429, 503):
        head += "retry-after: 1\r\n"
    head += "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in FIELDS)
    return STATUS_LINE[status] + head.encode() + b"\r\n" + body
