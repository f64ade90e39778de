"""Waiting for a condition."""

import time
from collections.abc import Callable


def until(check: Callable[[], object], seconds: float = 120, what: str = "the condition") -> None:
    """Poll `check` until it holds; a slow machine only takes longer."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.02)
