"""The application: endpoints, problem details, OpenAPI, and the background look-up that swaps releases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import State

from serving import openapi, problems
from serving.controllers import feeds, health, metrics, models, predict
from serving.metrics import Metrics
from serving.store import Store

FIRST_LOOK_SECONDS = 1.0
log = logging.getLogger("aerocast.serving")


def create_app(home: Path, poll_seconds: float = 1.0) -> Litestar:
    """The server on one home. Nothing is read before it starts."""
    store = Store(home)
    found = Metrics(store)
    return Litestar(
        route_handlers=[health, feeds, models, predict, metrics],
        plugins=[problems.plugin(found.problems)],
        openapi_config=openapi.config(_version()),
        lifespan=[_watching(store, poll_seconds)],
        state=State({"store": store, "metrics": found, "poll_seconds": poll_seconds}),
        request_max_body_size=problems.MAX_BODY,
        logging_config=None,
    )


def _watching(store: Store, seconds: float) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        first = asyncio.Event()
        task = asyncio.create_task(_watch(store, seconds, first))
        task.add_done_callback(_report)
        # With many feeds the rest is loaded while /health already answers.
        with suppress(TimeoutError):
            await asyncio.wait_for(first.wait(), FIRST_LOOK_SECONDS)
        yield
        task.cancel()
        await asyncio.wait([task])

    return lifespan


def _report(task: asyncio.Task[None]) -> None:
    """A look-up that ended by a fault of ours; /health sees that nothing is looked up any more."""
    if not task.cancelled() and task.exception():
        log.critical("the look-up of releases has stopped", exc_info=task.exception())


async def _watch(store: Store, seconds: float, first: asyncio.Event) -> None:
    while True:
        await asyncio.to_thread(store.poll)
        first.set()
        await asyncio.sleep(seconds)


def _version() -> str:
    try:
        return metadata.version("aerocast")
    except metadata.PackageNotFoundError:
        return "0"
