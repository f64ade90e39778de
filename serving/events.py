"""The stream of events: what happens, told as it is seen, to as many listeners as there is room for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

from litestar import get
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from serving.access import is_own_page
from serving.hot_swap import ServingStore
from serving.journal import RETRY_MS, Choice, Journal, block_of, reset
from serving.notices import KINDS, Notice, Reset
from serving.observations import Observations
from serving.parameters import HttpRequest
from serving.predictor import unknown
from serving.problems import invalid, problem
from serving.refusals import refusal

BEAT_SECONDS = 5.0
BEAT = b": \r\n"  # a comment; no empty line, which some clients take for an event
LISTENING = {
    200: ResponseSpec(
        Notice | Reset,  # type: ignore[arg-type]  # Litestar describes a union, too
        description="Events, whose data is one of these.",
        media_type="text/event-stream",
        generate_examples=False,
    ),
    400: refusal("A parameter breaks a rule."),
    403: refusal("A page of another origin asks."),
    422: refusal("There is no such feed or station; the problem names those that there are."),
    429: refusal("Too many listen; try again after Retry-After seconds."),
}


class Block(ServerSentEventMessage):
    """Some bytes of the stream, block_of before: one text serves all listeners."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self.block = block

    def encode(self) -> bytes:
        return self.block


def taking_place(app: Any) -> Callable[..., Awaitable[None]]:
    """A middleware: a listener has a place until its answer is over, however that ends."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        with scope["litestar_app"].state.journal.place():
            await app(scope, receive, send)

    return answer


@get("/events", tags=["state"], summary="What happens, as it is seen", middleware=[taking_place], responses=LISTENING)
async def events(
    request: HttpRequest,
    state: State,
    feed: Annotated[str | None, QueryParameter(description="Events of this feed alone.")] = None,
    station: Annotated[
        str | None, QueryParameter(description="Events of this station alone; those of a whole feed are none of them.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        QueryParameter(description=f"Events of this kind, or of these: {', '.join(KINDS)}."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="The event that was seen last: what came after it is sent."),
    ] = None,
) -> ServerSentEvent:
    """Server-sent events (`text/event-stream`), which a browser's `EventSource` reads: `event` is the kind, `id` grows,
    `data` is JSON.

    Events are what changes between two looks at the home, one a second: forecasts, outcomes, drift, retrains,
    promotions, anomalies, alerts. A client that comes back says by `Last-Event-ID` what it saw last, and goes on from
    there. If that is no longer known, the first event is `reset`: load again what you show. A comment every few seconds
    says that the server is there.
    """
    if not is_own_page(request):
        detail = "A page of another origin must not listen here."
        raise problem("cross-origin", detail, status=403, field="Sec-Fetch-Site", rule="this server's own pages")
    choice = _choice(state.store, state.observations, feed, station, kind)
    if request.scope.get("is_head"):
        return ServerSentEvent(iter(()))
    return ServerSentEvent(_stream(state.journal, choice, last_event_id))


def _choice(
    store: ServingStore, posts: Observations, feed: str | None, station: str | None, kinds: list[str] | None
) -> Choice:
    """Raises a problem for a kind, feed or station that there is not."""
    for each in kinds or ():
        if each not in KINDS:
            raise invalid("kind", each, f"one of {', '.join(KINDS)}", status=400)
    feeds = sorted({*store.tails, *posts.feed_names()})
    if feed is not None and feed not in feeds:
        raise unknown("feed", feed, feeds, f"There is no feed {feed[:80]!r}; there are")
    if station is not None:
        stations = [id for id, owners in store.owners.items() if feed is None or feed in owners]
        if station not in stations:
            raise unknown("station", station, stations, f"There is no station {station[:80]!r}; there are")
    return Choice(feed, station, frozenset(kinds) if kinds else None)


async def _stream(journal: Journal, choice: Choice, last: str | None) -> AsyncIterator[Block]:
    """Events after the one seen last, and a beat whenever nothing was sent for a while."""
    loop = asyncio.get_running_loop()
    number, gap = journal.resume(last)
    first = f"retry: {RETRY_MS}\r\n".encode()
    # An id without data: who loses the connection before the first event goes on from here.
    yield Block(first + (block_of(journal.name(number), gap) if gap else _position(journal, number)))
    client_at, quiet_since = number, loop.time()
    while not journal.is_closed:
        bell, before = journal.bell, number
        block, number, is_behind = journal.read(number, choice)
        if is_behind:
            block = block_of(journal.name(number), reset("too-slow"))
        if block:
            yield Block(block)
            client_at, quiet_since = number, loop.time()
        elif number == before:
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), max(0.0, quiet_since + BEAT_SECONDS - loop.time()))
            if loop.time() - quiet_since >= BEAT_SECONDS:
                yield Block(BEAT if client_at == number else BEAT + _position(journal, number))
                client_at, quiet_since = number, loop.time()


def _position(journal: Journal, number: int) -> bytes:
    return f"id: {journal.name(number)}\r\n\r\n".encode()
