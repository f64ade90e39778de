"""A server as a process, its metrics and its prediction log."""

import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged
from aerocast.storage.home import Home


def metric(http: Any, name: str) -> float:
    """The value of the first metric whose line starts so."""
    lines = http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[-1])


def logged_answers(home: Path) -> list[Logged]:
    """The logged answers of noaa."""
    return [
        one for path in predictions.closed_segments(home, "noaa") for one in predictions.read_segment(path).predictions
    ]


def end_request(client: socket.socket) -> None:
    """Send no more; a server that has refused and closed already leaves nothing to close, and its answer to be read."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)


@dataclass
class Server:
    """`python -m serving` on a free loopback port, as a user starts it."""

    home: Home
    arguments: tuple[str, ...] = ("--poll-seconds", "0.1")
    settings: dict[str, str] = field(default_factory=dict)
    files: tuple[int, int] | None = None  # how many it may open, and to what it may raise that
    log: list[str] = field(default_factory=list)
    seconds: float = 0.0
    url: str = ""

    def __enter__(self) -> "Server":
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port", "0", *self.arguments],
            env={**os.environ, "AEROCAST_HOME": str(self.home), **self.settings},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self._limit,
        )
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"on (http://\S+)", line)
            if found:
                self.url = found.group(1)
                break
        assert self.url, "".join(self.log)
        threading.Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True).start()
        self._wait_until_it_answers()
        self.seconds = time.perf_counter() - began
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()

    def _limit(self) -> None:
        if self.files:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.files)

    def _wait_until_it_answers(self) -> None:
        import httpx

        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                httpx.get(self.url + "/health")
                return
            except httpx.TransportError:
                time.sleep(0.005)
        raise AssertionError("".join(self.log))

    def memory(self, figure: str = "VmRSS") -> float:
        """Resident megabytes (Linux); with `VmHWM` the most that there ever were."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{figure}:\s+(\d+)", status)
        assert found is not None, "every process has a resident size"
        return int(found.group(1)) / 1024
