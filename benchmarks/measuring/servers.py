"""Servers under measurement: one process on a free port of loopback, as long as the block lasts."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from measuring.http import HOST
from measuring.processes import PROJECT, environment

PATIENCE = 90.0  # seconds
OURS = ("-m", "serving", "--host", HOST, "--port", "{port}")


class Started(NamedTuple):
    """A server's process, its port, and the seconds to its first good answer."""

    process: psutil.Process
    port: int
    seconds: float


@contextmanager
def started(
    home: Path,
    command: Sequence[str] = OURS,
    path: str = "/health",
    more: Mapping[str, str] | None = None,
    packages: Sequence[Path] = (),
) -> Iterator[Started]:
    """`python <command>`, with `{port}` filled in, once it answers at `path`; `packages` are folders to import from.

    Raises:
        SystemExit: it ended, or did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    arguments = [sys.executable, *(part.format(port=port) for part in command)]
    paths = ":".join(map(str, (PROJECT, PROJECT / "benchmarks", *packages)))
    own = environment(home, PYTHONPATH=paths, **(more or {}))
    began = time.perf_counter()
    process = subprocess.Popen(arguments, env=own, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_good(port, path):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise SystemExit(f"{' '.join(arguments)} did not answer (status {process.poll()})")
            time.sleep(0.005)
        yield Started(psutil.Process(process.pid), port, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def is_good(port: int, path: str = "/health") -> bool:
    """Whether a server on this port answers a path with 200."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
