"""Work that takes longer than a forecast, in a thread of its own: one piece after the other, and few may wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from serving.problems import problem

MOST_WAITING = 16
P = ParamSpec("P")
T = TypeVar("T")


class Turns:
    """One thread, which does one kind of work in turn."""

    def __init__(self, name: str) -> None:
        self._waiting = 0
        self._pool = ThreadPoolExecutor(1, name)

    async def take(self, work: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """The result. Raises a 429 problem while many wait, and what the work raises."""
        if self._waiting >= MOST_WAITING:
            detail = "Too many such requests wait; ask again in a moment."
            raise problem("too-much-waits", detail, status=429, headers={"retry-after": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*arguments, **keywords))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Waits for the one that runs; those that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
