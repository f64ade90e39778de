"""Servers over HTTP: one shared by many tests, and a factory for tests that change what is served."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of release 1 of noaa/temperature, which forecasts persistence + 1 x horizon; tests only read it."""
    home = tmp_path_factory.mktemp("home")
    publish(home, 1, bias=1.0)
    write_tail(home)
    with Server(home) as server:
        yield server


@pytest.fixture(scope="session")
def http(shared_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_server.url, timeout=60) as client:
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, httpx.Client]]]:
    """`serve()` starts a server on the home `tmp_path`; keywords are settings (`LOG_SECONDS="0.1"`)."""
    with ExitStack() as stack:

        def start(*arguments: str, **settings: str) -> tuple[Server, httpx.Client]:
            named = {f"AEROCAST_{name}": value for name, value in settings.items()}
            server = stack.enter_context(Server(tmp_path, arguments or ("--poll-seconds", "0.05"), named))
            return server, stack.enter_context(httpx.Client(base_url=server.url, timeout=60))

        yield start
