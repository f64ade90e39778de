"""Requests that arrive together are answered together: one pass of the features and one run of the graph for all.

Nobody waits for others: what has arrived is answered in the next turn of the event loop, so that a request that comes
alone is answered alone. The busier the server, the more it answers at once.
"""

import asyncio
from collections.abc import Mapping, Sequence

from serving.batch import MOST_ITEMS, Query, answer_all
from serving.hot_swap import ServingStore
from serving.predictor import Answered, cached, completed, pose
from serving.schemas import PredictRequest


class Together:
    """What waits for the next turn; used from the event loop alone."""

    def __init__(self, store: ServingStore) -> None:
        self._store = store
        self._waiting: list[tuple[Query, asyncio.Future[Answered]]] = []

    async def predict(self, request: PredictRequest, values: Mapping[str, float] | None = None) -> Answered:
        """As `predictor.predict`."""
        served, question = pose(self._store, request, values)
        if forecast := cached(served, question):
            return completed(served, question, forecast, is_first=False)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer)
        self._waiting.append((Query(request, values), future))
        return await future

    def _answer(self) -> None:
        """Answers what waits, MOST_ITEMS at a time."""
        group, self._waiting = self._waiting[:MOST_ITEMS], self._waiting[MOST_ITEMS:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        queries, futures = [query for query, _ in group], [future for _, future in group]
        results: Sequence[Answered | Exception]
        try:
            results = answer_all(self._store, queries, lambda error: error)
        except Exception as error:  # a fault of ours, which each of them is told
            results = [error] * len(group)
        for future, result in zip(futures, results, strict=True):
            if future.done():  # its client has gone
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
