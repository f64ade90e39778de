"""Waits without sleeping: a condition is polled."""

import time
from collections.abc import Callable


def until(check: Callable[[], object], seconds: float = 120, what: str = "the condition") -> None:
    """Poll instead of sleeping: a slow machine is slow, not wrong."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.02)
