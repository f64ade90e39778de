"""Asks a real server, started for this one question, for a forecast."""

import os
import subprocess
import sys
import time
from typing import Any

import msgspec
import numpy as np

from aerocast.client.errors import NoAnswer, RequestRefusal
from aerocast.client.transport import Transport
from aerocast.common.errors import AeroCastError
from aerocast.contracts import tail
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from cli.processes import free_port

PATIENCE = 30.0


def ask_server(home: Home, feed: Feed) -> tuple[dict[str, Any], float]:
    """`POST /predict` for a station of the feed; the answer, and seconds from start to answer.

    Raises:
        AeroCastError: the server ended, or did not answer within half a minute.
    """
    port = free_port()
    started = time.monotonic()
    command = [sys.executable, "-m", "serving", "--host", "127.0.0.1", "--port", str(port)]
    # Nobody asked for this forecast, so it is none to be judged later.
    own = {"AEROCAST_HOME": str(home), "AEROCAST_LOG": "false"}
    server = subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE)
    transport = Transport(f"http://127.0.0.1:{port}", "", PATIENCE, patience=0)
    try:
        question = msgspec.json.encode({"feed": feed.name, "station": _station(home, feed)})
        while time.monotonic() - started < PATIENCE:
            if server.poll() is not None:
                output = server.stderr.read().decode().strip() if server.stderr else ""
                raise AeroCastError(f"the server ended with status {server.returncode}: {output}")
            try:
                return transport.post("/v1/predict", question), time.monotonic() - started
            except RequestRefusal as error:
                raise AeroCastError(f"the server answered {error.status}: {error}") from error
            except NoAnswer:
                time.sleep(0.05)
        raise AeroCastError(f"the server did not answer within {PATIENCE:.0f} s")
    finally:
        transport.close()
        server.terminate()
        server.wait()


def _station(home: Home, feed: Feed) -> str:
    """The first station whose newest reading is as fresh as the feed's newest; stations may end years apart."""
    newest = {
        station: grid.time[measured[-1]]
        for station, grid in tail.read_grids(home, feed.name).items()
        if len(measured := np.flatnonzero((grid.age == 0).any(axis=1)))
    }
    limit = max(newest.values(), default=None)
    fresh = np.timedelta64(int(feed.freshness.total_seconds()), "s")
    recent = (each for each in feed.station_ids if each in newest and limit - newest[each] <= fresh)
    return next(recent, feed.station_ids[0])
