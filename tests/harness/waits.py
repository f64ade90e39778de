"""Waits without sleeping: a condition is polled."""

import time
from collections.abc import Callable


def until(check: Callable[[], bool], seconds: float = 120) -> None:
    """Poll instead of sleeping: a slow machine is slow, not wrong."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
