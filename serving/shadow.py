"""A challenger beside the champion: it answers a share of the live requests, into the log and never to a client.

It works in a thread of its own, after the champion's answer is made: a slow one is skipped, a broken one is counted,
and neither is felt by who asked.
"""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, get_args

from aerocast.contracts.predictions import Logged, LoggedForecast
from serving import predictor
from serving.loading import Key, Served
from serving.predictor import Answered
from serving.schemas import Prediction

MOST_WAITING = 64
Result = Literal["answered", "failed", "skipped"]
RESULTS: tuple[Result, ...] = get_args(Result)


class Shadows:
    """`counts` are by feed, target and what came of it."""

    def __init__(self, append: Callable[[Logged], object]) -> None:
        self.counts: Counter[tuple[Key, Result]] = Counter()
        self._append = append
        self._lock = threading.Lock()
        self._waiting = 0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow")

    def offer(self, challenger: Served, answered: Answered) -> None:
        """Lets the challenger answer, too, if this request belongs to the feed's share."""
        if not is_in_share(answered.prediction.id, answered.served.feed.shadow):
            return
        key = answered.served.key
        if self._waiting >= MOST_WAITING:
            self._count(key, "skipped")
            return
        with self._lock:
            self._waiting += 1
        self._pool.submit(self._answer, challenger, answered).add_done_callback(
            lambda task: self._count_result(key, task)
        )

    def close(self) -> None:
        """Waits for the one that runs; those that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, challenger: Served, answered: Answered) -> None:
        forecast = answered.prediction
        own = predictor.answer(challenger, answered.question, forecast.id, forecast.issued_at)
        self._append(logged(own, answered.graph, shadow=True))

    def _count_result(self, key: Key, task: Future[None]) -> None:
        with self._lock:
            self._waiting -= 1
        self._count(key, "skipped" if task.cancelled() else "failed" if task.exception() else "answered")

    def _count(self, key: Key, result: Result) -> None:
        with self._lock:
            self.counts[key, result] += 1


def is_in_share(name: str, share: float) -> bool:
    """Whether the answer of this id (a random UUID) is among the share, 0 .. 1: always the same for the same id."""
    return int(name[:8], 16) < share * 2**32


def logged(prediction: Prediction, graph: str, shadow: bool) -> Logged:
    """The record of an answer that was sent, or of a challenger's beside it (`shadow`)."""
    return Logged(
        id=prediction.id,
        feed=prediction.feed,
        target=prediction.target,
        station=prediction.station,
        issued_at=prediction.issued_at,
        origin=prediction.origin,
        version=prediction.model.version,
        kind=prediction.model.kind,
        graph=graph,
        shadow=shadow,
        degraded=prediction.degraded,
        reasons=tuple(reason.code for reason in prediction.reasons),
        level=prediction.level,
        forecasts=tuple(
            LoggedForecast(one.horizon, one.time, one.value, one.lower, one.upper) for one in prediction.forecasts
        ),
    )
