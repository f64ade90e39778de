"""Dagster's UI with its daemon, and the server, as children of one process that ends them together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from aerocast.errors import AeroCastError

PROJECT = Path(__file__).resolve().parent.parent.parent
GRACE = 15.0


def up(host: str, port: int, ui_port: int) -> int:
    """Runs both until one ends or Ctrl-C; the exit status is that of the one that ended first.

    Raises:
        AeroCastError: a port is taken.
    """
    for name, number in (("--port", port), ("--ui-port", ui_port)):
        _free(host, number, name)
    commands = {
        "dagster": [
            sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", host, "-p", str(ui_port),
        ],
        "server": [sys.executable, "-m", "serving", "--host", host, "--port", str(port)],
    }  # fmt: skip
    print(f"Dagster UI  http://{host}:{ui_port}\nServer      http://{host}:{port}  (Ctrl-C stops both)", flush=True)
    children = {name: _start(command) for name, command in commands.items()}
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        while True:
            for name, child in children.items():
                if child.poll() is not None:
                    print(f"{name} ended with status {child.returncode}; stopping the rest", flush=True)
                    return child.returncode or 1
            time.sleep(0.3)
    except KeyboardInterrupt:
        print("\nstopping ...", flush=True)
        return 0
    finally:
        _stop(list(children.values()))


def _free(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AeroCastError(f"{option}: {host}:{port} cannot be used: {error.strerror}") from error


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches only us, so that we end the children in order.
    return subprocess.Popen(command, cwd=PROJECT, env=os.environ, start_new_session=True)


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT if "dagster" in child.args else signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
