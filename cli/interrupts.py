"""How people end a command: Ctrl-C, SIGTERM or a closed terminal, at any moment, also while modules are imported."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what a person stops a command with
_pipes: list[int] = []
_received: list[int] = []


@contextmanager
def stop_signals() -> Iterator[None]:
    """Each of `STOPS` raises KeyboardInterrupt, and is remembered for `stopped`."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in STOPS}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _received.clear()
    _pipes.append(reading)
    try:
        yield
    finally:
        _pipes.remove(reading)
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for end in (reading, writing):
            os.close(end)


def stopped() -> int | None:
    """The first of the signals, if one came.

    Libraries replace handlers and swallow what these raise, so the interpreter's wake-up pipe is asked.
    """
    for pipe in _pipes:
        with suppress(BlockingIOError):
            _received.extend(number for number in os.read(pipe, 512) if number in STOPS)
    return _received[0] if _received else None


def check() -> None:
    """Raises KeyboardInterrupt if a signal came that somebody else has swallowed."""
    if stopped():
        raise KeyboardInterrupt
