"""Children of a command: started in sessions of their own, and ended together with all that they started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from cli.home import PROJECT
from cli.interrupts import STOPS

GRACE = 15.0  # seconds for an ordered end: the server answers what it has begun, a run notes that it was stopped
FORCED = 5.0  # seconds between asking a whole group to end and killing it
# What Dagster says about its own code at each start; a warning of ours would drown in it.
KNOWN_NOISE = (
    "ignore:Function `dev_command` is superseded",
    "ignore:Parameter `execution_type` of function `AssetsDefinition.__init__` is currently in beta",
)
# Asked to end by the system when we die, however that happens: nobody else would. The rest is `python -m <command>`.
_TIED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""

Child = subprocess.Popen[bytes]


def start(*command: str, variables: Mapping[str, str] | None = None, log: IO[bytes] | None = None) -> Child:
    """`python -m <command>` in the project's folder; with a `log`, all it says goes there."""
    noise = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), *KNOWN_NOISE]))
    # A session of its own: Ctrl-C reaches only us, so that we end the children in order, each with all it started.
    tied = ["-c", _TIED, str(os.getpid())] if sys.platform == "linux" else ["-m"]
    return subprocess.Popen(
        [sys.executable, *tied, *command],
        cwd=PROJECT,
        env={**os.environ, **(variables or {}), "PYTHONWARNINGS": noise},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def stop(children: Sequence[Child], grace: float = GRACE) -> None:
    """Asks each child to end, then whatever is left of its process group, and kills what does not."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
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


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Signals by which people end a command are noted in the list, not raised, until the block ends.

    To be entered before the children exist: a signal that was ignored when we started would be ignored by them, too.
    """
    received: list[int] = []  # not an Event: its lock is not for signal handlers
    before = {number: signal.signal(number, lambda signum, _: received.append(signum)) for number in STOPS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal_group(group: int, number: int) -> bool:
    """Whether the process group still has a member; each gets the signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
