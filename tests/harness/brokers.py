"""Brokers as processes on a free loopback port; a test is skipped where its broker is not installed.

with start_nats(tmp_path) as broker:     # or start_kafka(tmp_path)
    broker.url                           # for aerocast.ingest.brokers.connect, or AEROCAST_BROKER
    broker.restart()                     # see the two classes for what that means
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

HOST = "127.0.0.1"
PATIENCE = 120.0  # seconds for what must come; who waits knows how much that is, and waits no longer
ACK_WAIT = 1  # seconds after which NATS hands over again what a killed consumer had; tests wait for it
# librdkafka's own broker for tests; it lives in a client's process, so that process is the broker.
MOCK = """
import sys
from confluent_kafka import Producer
client = Producer({"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1, "log_level": 0})
broker = next(iter(client.list_topics(timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


class RunningBroker(Protocol):
    """A running broker whose `url` survives a restart.

    `again` is how long to wait, in seconds, for what a killed consumer had; it comes at the next look otherwise.
    """

    url: str
    again: float

    def stop(self) -> None:
        """Make the broker unreachable."""
        ...

    def start(self) -> None:
        """Make it reachable again, with everything it acknowledged."""
        ...

    def restart(self) -> None:
        """Stop and start it."""
        ...


class Nats:
    """A nats-server with JetStream whose store is on disk; `stop` is a `kill -9`."""

    again = ACK_WAIT + 0.5

    def __init__(self, program: str, store: Path, *options: str) -> None:
        self._program, self._store, self._options = program, store, options
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self._port = int(probe.getsockname()[1])
        self.url = f"nats://{HOST}:{self._port}?ack_wait={ACK_WAIT}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [self._program, "-a", HOST, "-p", str(self._port), "-js", "-sd", str(self._store), *self._options]
        with (self._store.parent / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        _reached(self._port, self._process)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


class Kafka:
    """librdkafka's mock cluster in a process of its own.

    It keeps everything in memory, so a stop only freezes the process: connections stay open and nothing answers, as
    with a broker that hangs or a network that is cut. What a Kafka loses or keeps in a real restart it cannot show.
    """

    again = 0.0

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-c", MOCK], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout
        address = self._process.stdout.readline().decode().strip()
        assert address, "the mock cluster did not start"
        self.url = f"kafka://{address}"

    def start(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # until then its threads may still answer

    def restart(self) -> None:
        self.stop()
        time.sleep(0.3)
        self.start()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def start_nats(folder: Path, *options: str) -> Iterator[Nats]:
    """Run a nats-server that stores its streams in `folder` while the block lasts; `options` as on its command line."""
    # Debian installs it where only root's PATH looks.
    program = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None or importlib.util.find_spec("nats") is None:
        pytest.skip("nats-server (Debian) or nats-py is not installed")
    store = folder / "jetstream"
    store.mkdir(parents=True, exist_ok=True)
    server = Nats(program, store, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def start_kafka(folder: Path) -> Iterator[Kafka]:
    """Run a mock cluster of one broker while the block lasts; `folder` is unused."""
    if importlib.util.find_spec("confluent_kafka") is None:
        pytest.skip("confluent-kafka is not installed")
    cluster = Kafka()
    try:
        yield cluster
    finally:
        cluster.close()


STARTS = {"nats": start_nats, "kafka": start_kafka}


def _reached(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the port answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"nats-server ended with status {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.3):
            return
        time.sleep(0.01)
    raise AssertionError(f"nats-server did not answer within {PATIENCE:.0f} s")
