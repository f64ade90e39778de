"""Asks a real server, started for this one question, for a forecast."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from cli.processes import free_port

PATIENCE = 30.0


def ask_server(home: Home, feed: Feed) -> tuple[dict[str, Any], float]:
    """`POST /predict` for the feed's first station; the answer, and seconds from start to answer.

    Raises:
        AeroCastError: the server ended, or did not answer within half a minute.
    """
    port = free_port()
    started = time.monotonic()
    command = [sys.executable, "-m", "serving", "--host", "127.0.0.1", "--port", str(port)]
    # Nobody asked for this forecast, so it is none to be judged later.
    own = {"AEROCAST_HOME": str(home), "AEROCAST_LOG": "false"}
    server = subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE)
    try:
        question = json.dumps({"feed": feed.name, "station": feed.station_ids[0]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", data=question, headers={"Content-Type": "application/json"}
        )
        while time.monotonic() - started < PATIENCE:
            if server.poll() is not None:
                said = server.stderr.read().decode().strip() if server.stderr else ""
                raise AeroCastError(f"the server ended with status {server.returncode}: {said}")
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                    return json.load(response), time.monotonic() - started
            except urllib.error.HTTPError as error:
                raise AeroCastError(f"the server answered {error.code}: {error.read().decode()}") from error
            except urllib.error.URLError:
                time.sleep(0.05)
        raise AeroCastError(f"the server did not answer within {PATIENCE:.0f} s")
    finally:
        server.terminate()
        server.wait()
