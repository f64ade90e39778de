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
GRACE = 15.0  # seconds for an ordered end: the server answers what it has begun, a run notes that it was stopped
FORCED = 5.0  # seconds between asking a whole group to end and killing it
# What Dagster says about its own code at each start; a warning of ours would drown in it.
KNOWN_NOISE = (
    "ignore:Function `dev_command` is superseded",
    "ignore:Parameter `execution_type` of function `AssetsDefinition.__init__` is currently in beta",
)
STOPPED_BY_PERSON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(host: str, port: int, ui_port: int) -> int:
    """Runs both until Ctrl-C or SIGTERM, which is exit status 0.

    Raises:
        AeroCastError: a port cannot be used, or one of the two ended by itself (then the other is stopped).
    """
    addresses = {"Dagster UI": (host, ui_port), "Server": (host, port)}
    _check(host, port, ui_port)
    stop: list[int] = []  # not an Event: its lock is not for signal handlers
    # Before the children exist: a signal that was ignored when we started would be ignored by them, too.
    for number in STOPPED_BY_PERSON:
        signal.signal(number, lambda received, _: stop.append(received))
    _recover()
    print("Starting, Ctrl-C stops both ...", flush=True)
    children = {
        "dagster": _start(
            *("dagster", "dev", "-w", "workspace.yaml", "-h", host, "-p", str(ui_port), "--log-level", "warning")
        ),
        "the server": _start("serving", "--host", host, "--port", str(port)),
    }
    try:
        while not stop:
            time.sleep(0.3)
            _announce(addresses)
            for name, child in children.items():
                if child.poll() is not None:
                    raise AeroCastError(f"{name} ended by itself with status {child.returncode}; stopped the rest")
    finally:
        print("\nstopping ...", flush=True)
        _stop(list(children.values()))
    return 0


def _check(host: str, port: int, ui_port: int) -> None:
    """Raises AeroCastError unless both ports can be bound now."""
    if port == ui_port:
        raise AeroCastError(f"--port and --ui-port: both are {port}; they must differ")
    for option, number in (("--port", port), ("--ui-port", ui_port)):
        if not 1 <= number <= 65535:
            raise AeroCastError(f"{option}: {number} is no port; allowed: 1 to 65535")
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise AeroCastError(
                f"{option}: {host}:{number} cannot be used: {error.strerror}; choose another"
            ) from error


def _recover() -> None:
    import dagster as dg

    from aerocast_assets.cli.recovery import recover

    with dg.DagsterInstance.get() as instance:
        for run_id in recover(instance):
            print(f"Run {run_id[:8]} was killed with its code server; it is noted as failed.", flush=True)


def _announce(addresses: dict[str, tuple[str, int]]) -> None:
    """Says once of each address that it answers; what was said is taken out."""
    for name, (host, port) in list(addresses.items()):
        # A wildcard address is bound, but nobody's to connect to.
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        with contextlib.suppress(OSError), socket.create_connection((reachable, port), timeout=0.3):
            print(f"{name:<12}http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
            del addresses[name]


def _start(*command: str) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches only us, so that we end the children in order, each with all it started.
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=PROJECT,
        env={**os.environ, "PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), *KNOWN_NOISE]))},
        start_new_session=True,
    )


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    """Asks each child to end, then whatever is left of its process group, and kills what does not."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, deadline - time.monotonic()))
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + FORCED
        for child in children:
            _signal_group(child.pid, number)
        while any(_signal_group(child.pid, 0) for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)
            for child in children:
                child.poll()  # a dead child counts as alive until it is asked for its status


def _signal_group(group: int, number: int) -> bool:
    """Whether the process group still has a member; each gets the signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
