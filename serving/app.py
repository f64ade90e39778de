"""The application: endpoints, problem details, OpenAPI, and the background look-up that swaps releases."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from litestar import Litestar
from litestar.datastructures import State

from aerocast import __version__
from aerocast.ingest.channels.posted import Limits
from aerocast.storage.home import Home
from serving import openapi, pages, problems
from serving.access import Access, check_origin
from serving.explaining import Explainer
from serving.hot_swap import ServingStore
from serving.loop import Loop
from serving.metrics import ServerMetrics
from serving.observations import Observations
from serving.routes import ENDPOINTS, older_paths
from serving.turns import Turns

FIRST_LOOK_SECONDS = 1.0
log = logging.getLogger("aerocast.serving")


def create_app(
    home: Home,
    poll_seconds: float = 1.0,
    log_seconds: float | None = 10.0,
    access: Access | None = None,
    limits: Limits | None = None,
) -> Litestar:
    """The server on one home; without `log_seconds` nothing is logged. Nothing is read or written before it starts.

    `limits`: what of each feed may wait for the platform.
    """
    store = ServingStore(home)
    loop = Loop(home, store, log_seconds)
    observations = Observations(home, limits)
    explainer, history, batches = Explainer(), Turns("history"), Turns("batch")
    counters = ServerMetrics(store, loop, observations)
    return Litestar(
        route_handlers=[*ENDPOINTS, pages.files()],
        before_request=check_origin,
        plugins=[problems.plugin(counters.problems)],
        openapi_config=openapi.config(__version__, older_paths()),
        lifespan=[_watching(store, loop, observations, poll_seconds), _closing(explainer, history, batches)],
        state=State(
            {
                "store": store,
                "loop": loop,
                "explainer": explainer,
                "history": history,
                "batches": batches,
                "metrics": counters,
                "observations": observations,
                "poll_seconds": poll_seconds,
                "access": access or Access(),
            }
        ),
        logging_config=None,
    )


def _closing(*workers: Explainer | Turns) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        for worker in workers:
            await asyncio.to_thread(worker.close)

    return lifespan


def _watching(
    store: ServingStore, loop: Loop, observations: Observations, seconds: float
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        first = asyncio.Event()
        task = asyncio.create_task(_watch(store, observations, seconds, first))
        # With many feeds the rest is loaded while /health already answers.
        with suppress(TimeoutError):
            await asyncio.wait_for(first.wait(), FIRST_LOOK_SECONDS)
        yield
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(loop.close)
        await asyncio.to_thread(observations.close)

    return lifespan


async def _watch(store: ServingStore, observations: Observations, seconds: float, first: asyncio.Event) -> None:
    """In one thread: what many threads in turn allocate and free, the C library keeps once for each of them."""
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(1, "watch")
    try:
        while True:
            for look in (store.poll, observations.look):
                try:
                    await loop.run_in_executor(pool, look)
                except Exception:  # a fault of ours: /health says for how long nothing was looked up, and it goes on
                    log.exception("the home could not be looked at")
                first.set()
            await asyncio.sleep(seconds)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
