"""What stands while doors are measured: a server that takes readings, and brokers; each a process on the loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring.http import HOST
from measuring.processes import PROJECT, environment

PATIENCE = 30.0
# librdkafka's own cluster for tests lives in a client's process and keeps everything in memory.
MOCK = """
import sys
from confluent_kafka import Producer
client = Producer({"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1, "log_level": 0})
broker = next(iter(client.list_topics(timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


class Absent(Exception):
    """A broker that is not installed here; the message says which."""


@contextmanager
def server(home: Path) -> Iterator[int]:
    """The port of a server on this home, which may have no release."""
    port = _free()
    command = [sys.executable, "-m", "serving", "--host", HOST, "--port", str(port)]
    with _process(command, port, environment(home)):
        until = time.monotonic() + PATIENCE
        while not _answers(port):
            if time.monotonic() > until:
                raise SystemExit(f"the server on {home} does not answer")
            time.sleep(0.02)
        yield port


@contextmanager
def nats(folder: Path) -> Iterator[str]:
    """The address of a real nats-server with JetStream, whose store is in `folder`."""
    # Debian installs it where only root's PATH looks.
    program = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Absent("nats-server is not installed")
    port = _free()
    with _process([program, "-a", HOST, "-p", str(port), "-js", "-sd", str(folder / "jetstream")], port):
        yield f"nats://{HOST}:{port}"


@contextmanager
def kafka(_folder: Path) -> Iterator[str]:
    """The address of confluent-kafka's mock cluster in another process."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", MOCK], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    try:
        address = process.stdout.readline().decode().strip() if process.stdout else ""
        if not address:
            raise Absent("confluent-kafka's mock cluster does not start")
        yield f"kafka://{address}"
    finally:
        process.kill()
        process.communicate()


BROKERS = {"NATS JetStream": nats, "Kafka (mock cluster)": kafka}


@contextmanager
def _process(command: list[str], port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    """A process, from the moment its port takes connections until the block ends."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, cwd=PROJECT, stdout=quiet, stderr=quiet)
    try:
        until = time.monotonic() + PATIENCE
        while not _open(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} did not start (status {process.poll()})")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def _free() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.3):
        return True
    return False


def _answers(port: int) -> bool:
    """Whether anything is answered: without a release /health is a 503."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
