"""How much memory a piece of work takes at its peak (Linux)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_bounded(most: int) -> Iterator[None]:
    """Assert that the block takes at most so many megabytes more than this process has, at any moment."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is forgotten
    before = megabytes("VmRSS")
    yield
    assert megabytes("VmHWM") - before <= most


def megabytes(name: str) -> int:
    """A line of this process's status, such as its peak, `VmHWM`: unlike `ru_maxrss` nothing of its parent's."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) // 1024
