"""The application: endpoints, problem details, OpenAPI, and the background look-up that swaps releases."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

from litestar import Litestar
from litestar.datastructures import State

from aerocast import __version__
from aerocast.ingest.channels.posted import Limits
from aerocast.storage.home import Home
from serving import openapi, pages, problems
from serving.access import check
from serving.audit import AuditLog
from serving.changes import Changes
from serving.clients import Access, Clients
from serving.explaining import Explainer
from serving.hot_swap import ServingStore
from serving.journal import Journal
from serving.judge import ServerJudge, judging
from serving.loop import Loop
from serving.metrics import ServerMetrics
from serving.observations import Observations
from serving.routes import ENDPOINTS, older_paths
from serving.together import Together
from serving.turns import Turns

T = TypeVar("T")
FIRST_LOOK_SECONDS = 1.0
log = logging.getLogger("aerocast.serving")


def create_app(
    home: Home,
    poll_seconds: float = 1.0,
    log_seconds: float | None = 10.0,
    access: Access | None = None,
    limits: Limits | None = None,
    judge: ServerJudge | None = None,
) -> Litestar:
    """The server on one home; without `log_seconds` nothing is logged. Nothing is read or written before it starts.

    `limits`: what of each feed may wait for the platform; `judge`: who tells people what they should know.
    """
    store = ServingStore(home)
    loop = Loop(home, store, log_seconds)
    observations = Observations(home, limits)
    clients, changes = Clients(home, access or Access()), Changes(store, observations)
    explainer, history, batches, audit = Explainer(), Turns("history"), Turns("batch"), AuditLog(home)
    counters = ServerMetrics(store, loop, observations, [clients.slot])
    counters.registry.register(audit.failures)
    lifespan = [_watching(loop, clients, changes, poll_seconds), _closing(explainer, history, batches, audit)]
    return Litestar(
        route_handlers=[*ENDPOINTS, pages.files()],
        before_request=check,
        plugins=[problems.plugin(counters.problems)],
        openapi_config=openapi.config(__version__, older_paths()),
        lifespan=[*lifespan, *([judging(judge, store)] if judge else [])],
        state=State(
            {
                "store": store,
                "loop": loop,
                "journal": loop.journal,
                "explainer": explainer,
                "history": history,
                "batches": batches,
                "together": Together(store),
                "metrics": counters,
                "observations": observations,
                "poll_seconds": poll_seconds,
                "clients": clients,
                "audit": audit,
            }
        ),
        logging_config=None,
    )


def _closing(*workers: Explainer | Turns | AuditLog) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        for worker in workers:
            await asyncio.to_thread(worker.close)

    return lifespan


def _watching(
    loop: Loop, clients: Clients, changes: Changes, seconds: float
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        first = asyncio.Event()
        await asyncio.to_thread(clients.look)  # before anything is answered
        task = asyncio.create_task(_watch(loop.journal, clients, changes, seconds, first))
        # With many feeds the rest is loaded while /health already answers.
        with suppress(TimeoutError):
            await asyncio.wait_for(first.wait(), FIRST_LOOK_SECONDS)
        yield
        loop.journal.close()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(loop.close)
        await asyncio.to_thread(changes.observations.close)

    return lifespan


async def _watch(journal: Journal, clients: Clients, changes: Changes, seconds: float, first: asyncio.Event) -> None:
    """In one thread: what many threads in turn allocate and free, the C library keeps once for each of them."""
    pool = ThreadPoolExecutor(1, "watch")
    try:
        while True:
            await _look(pool, changes.store.poll)
            first.set()
            await _look(pool, clients.look)
            await _look(pool, changes.observations.look)
            journal.publish(await _look(pool, partial(changes.look, journal.take_notes())) or ())
            await asyncio.sleep(seconds)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _look(pool: ThreadPoolExecutor, look: Callable[[], T]) -> T | None:
    """What a look finds; None for a fault of ours: /health says for how long nothing was looked up, and it goes on."""
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, look)
    except Exception:
        log.exception("the home could not be looked at")
        return None
