"""`python -m serving [--host 127.0.0.1] [--port 8000] [--poll-seconds 1]`: serve until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import ipaddress
import logging
import math
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from litestar import Litestar

from aerocast.alerts import settings as alerts
from aerocast.common.errors import AeroCastError
from aerocast.ingest.channels.posted import Limits
from aerocast.storage import access, mark
from aerocast.storage.home import Home, home_of
from serving.app import create_app
from serving.clients import Access
from serving.config import ServerSettings, read_settings
from serving.connections import GRACE_SECONDS, LIMITED, Bounds, Connection
from serving.heads import answering_head
from serving.journal import Journal
from serving.judge import judge_of
from serving.listening import Server, room_for
from serving.metrics import ServerMetrics

MOST_A_MINUTE = 6000  # requests of one client, of each sort, beyond loopback


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after a graceful stop, 1 with one sentence on stderr when it cannot serve."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # uvicorn repeats the signal that stopped it: then, too, this ends it in peace
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = read_settings()
        options = _options(settings, arguments)
        home = _home(settings)
        judge = judge_of(home, alerts.read_settings(), alerts.url_of(settings)) if settings.log else None
        listener = _listen(options.host, options.port)
    except AeroCastError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    host, port = listener.getsockname()[:2]
    logging.info(
        "AeroCast serves %s on http://%s:%d (page at /, API at /schema)",
        home,
        f"[{host}]" if ":" in host else host,
        port,
    )
    app = create_app(
        home,
        options.poll_seconds,
        settings.log_seconds if settings.log else None,
        _access(settings, ipaddress.ip_address(host.partition("%")[0]).is_loopback),
        Limits(rows=settings.most_waiting),
        judge,
    )
    _server(app, settings).run(sockets=[listener])
    return 0


def _access(settings: ServerSettings, local: bool) -> Access:
    default = 0 if local else MOST_A_MINUTE
    reads, writes = settings.most_reads, settings.most_writes
    return Access(
        settings.token,
        local,
        settings.host_names,
        default if reads is None else reads,
        default if writes is None else writes,
    )


def _server(app: Litestar, settings: ServerSettings) -> Server:
    bounds = Bounds(
        room_for(settings.most_connections),
        settings.keep_alive_seconds,
        settings.head_seconds,
        settings.head_bytes,
        settings.stall_seconds,
        settings.least_rate,
        most_forecasts=settings.most_forecasts,
    )
    metrics: ServerMetrics = app.state.metrics
    journal: Journal = app.state.journal
    journal.most_listeners = max(1, min(settings.most_listeners, bounds.connections // 2))
    connection = partial(
        Connection,
        bounds=bounds,
        count=lambda slug: metrics.connections.labels(slug).inc(),
        load={path: set() for path in LIMITED},
    )
    config = uvicorn.Config(
        answering_head(app),
        http=cast(type[asyncio.Protocol], connection),  # uvicorn only calls it
        ws="none",
        proxy_headers=False,
        log_level="error",  # its warnings are of requests that are malformed, which a metric counts
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=math.ceil(settings.keep_alive_seconds),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(config, journal.close)
    metrics.open_connections.set_function(lambda: len(server.server_state.connections))
    return server


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _options(settings: ServerSettings, arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve the newest releases over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--poll-seconds", type=float, default=settings.poll_seconds, help="how often to look for news")
    options = parser.parse_args(arguments)
    if options.poll_seconds <= 0:
        parser.error("--poll-seconds must be more than 0")
    return options


def _home(settings: ServerSettings) -> Home:
    """The home, absolute.

    Raises:
        AeroCastError: it, or its folder on this machine, cannot be read and written, or is of a newer format.
    """
    home = home_of(settings)
    access.check_own_folder(home, create=False, space=False)
    mark.check_format(home)
    return home


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; uvicorn would answer a taken port with a log of its own."""
    try:
        if not 0 <= port <= 65535:  # the resolver would take the rest of a division
            raise OverflowError("a port is 0 to 65535")
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AeroCastError(f"cannot listen on {host} port {port}: {reason}; choose another with --port") from error
    listener.set_inheritable(True)
    return listener


if __name__ == "__main__":
    sys.exit(main())
