"""uvicorn's server with our connections: it looks at them once a second, and opens as many files as they need."""

import asyncio
import gc
import logging
import resource
import socket
from collections.abc import Callable

import uvicorn

from serving.connections import Connection

log = logging.getLogger("aerocast.serving")

MOST_FILES = 65_536
OTHER_FILES = 128  # releases, logs, buffers, libraries: what is open beside the connections
HELD_UP_SECONDS = 2.0  # between two looks, which should be one


class Server(uvicorn.Server):
    """uvicorn's, which looks at its connections once a second; `stop` ends answers that have no end of their own."""

    _looked, _is_patient = 0.0, False

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What lives as long as the process is not looked through again and again: that would hold everybody up.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            # Who was held up himself (a busy machine, a suspended one) first reads what came meanwhile.
            self._is_patient = now - self._looked > HELD_UP_SECONDS and not self._is_patient
            self._looked = now
            for connection in () if self._is_patient else list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)


def room_for(size: int) -> int:
    """How many connections there may be, at most `wanted`, once as many files may be open as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(MOST_FILES, hard if hard != resource.RLIM_INFINITY else MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    room = max(most // 4, most - OTHER_FILES)
    if room < size:
        log.warning("at most %d connections, and not %d: this process may open %d files", room, size, most)
    return min(room, size)
