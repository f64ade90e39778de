"""One step of a way under measurement."""

import time
from collections.abc import Callable
from typing import NamedTuple

from measuring.processes import peak_mib, reset_peak


class Step(NamedTuple):
    """What one step of a way did: rows that came out, seconds, and the most memory (RSS) meanwhile."""

    name: str
    rows: int
    seconds: float
    mib: float


def measured(name: str, work: Callable[[], int]) -> Step:
    """The step of this work, which says how many rows it wrote."""
    reset_peak()
    began = time.perf_counter()
    rows = work()
    return Step(name, rows, time.perf_counter() - began, peak_mib())
