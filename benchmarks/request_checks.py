"""What the checks before each request cost, beside a Litestar that answers without any, and beside its own means.

One application answers `{}` in this process; each contender adds one thing. Measured is the processor's time of this
thread for a request, without HTTP, in rounds that visit all contenders in turn. Litestar's peers: a guard that does
nothing (each request copies the handler for it), and its rate limit, which counts in a store.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from litestar import Litestar, get
from litestar.datastructures import State
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.types import HTTPRequestEvent, HTTPScope
from measuring.spread import Spread, interleave, parser, ratio
from measuring.table import show

from serving.access import check
from serving.clients import Access, Clients
from serving.headers import Send, secured

BARE = "Litestar, no checks"
SECRET = "a secret of the benchmark"
MOST = 10**9  # requests a minute: more than come


@get("/", opt={"scope": "read"})
async def nothing() -> dict[str, str]:
    return {}


async def no_guard(*_: Any) -> None:
    """Does nothing."""


def app(**options: Any) -> Litestar:
    return Litestar([nothing], logging_config=None, openapi_config=None, **options)


def checked(home: Path, most: int) -> Litestar:
    clients = Clients(home, Access(SECRET, reads=most))
    clients.look()
    return app(before_request=check, state=State({"clients": clients}))


async def _receive() -> HTTPRequestEvent:
    return HTTPRequestEvent(type="http.request", body=b"", more_body=False)


async def _send(_: Any) -> None:
    """Nobody reads the answer."""


def microseconds(asked: Litestar, requests: int, wrap: Callable[[Send], Send] = lambda send: send) -> float:
    """The processor's time for a request."""
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {SECRET}".encode())]
    constant: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
    constant |= {"root_path": "", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "method": "GET"}
    constant |= {"path": "/", "raw_path": b"/", "query_string": b"", "headers": headers}

    async def ask() -> float:
        began = time.thread_time()
        for _ in range(requests):
            await asked(cast("HTTPScope", {**constant, "state": {}}), _receive, wrap(_send))
        return (time.thread_time() - began) / requests * 1e6

    return asyncio.run(ask())


def main() -> None:
    made = parser(__doc__, rounds=15)
    made.add_argument("--requests", type=int, default=1000, help="in a round, of each (default: %(default)s)")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        home = Path(folder)
        apps: dict[str, Callable[[], Litestar]] = {
            BARE: app,
            "the check with a token": partial(checked, home, 0),
            "the check with a limit": partial(checked, home, MOST),
            "Litestar's guard, empty": lambda: app(guards=[no_guard]),
            "Litestar's rate limit": lambda: app(middleware=[RateLimitConfig(("minute", MOST)).middleware]),
        }
        # Made anew each round: Litestar's limit keeps each request of its window, and gets slower with them.
        contenders: dict[str, Callable[[], float]] = {
            name: lambda make=make: microseconds(make(), options.requests) for name, make in apps.items()
        }
        contenders["header fields"] = lambda: microseconds(app(), options.requests, secured)
        figures = interleave(options.rounds, contenders)
    rows = [
        [name, Spread.of(each).text(1), ratio(each, figures[BARE]).text(), f"{Spread.of(each).low:.1f}"]
        for name, each in figures.items()
    ]
    header = ["", "us a request", f"x {BARE}", "least"]
    show(f"Processor's time, {options.rounds} rounds of {options.requests}, median (least..greatest)", header, rows)


if __name__ == "__main__":
    main()
