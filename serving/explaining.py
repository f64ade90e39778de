"""Why a forecast is what it is: parts by group of inputs, from the graph that gave it.

An explanation takes hundreds of rows of a graph where a forecast takes one, so it is made in a thread of its own, one
at a time, while forecasts are answered.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from serving import predictor
from serving.graph import ORT_ERRORS, GraphRunner
from serving.hot_swap import ServingStore
from serving.loading import Served
from serving.predictor import Answered
from serving.problems import problem
from serving.schemas import ExplainedPrediction, Explanation, Part, PredictRequest

METHOD = (
    "Shapley values of groups of inputs, by {orders} orders of the groups in opposite pairs, against {rows} typical"
    " rows from before the release; base is the mean forecast for these rows, and base and parts sum to the forecast"
)


def check(store: ServingStore, request: PredictRequest) -> None:
    """Raises a problem: nothing answers such a request, or what does cannot be explained."""
    served = predictor.choose(store, request.feed, request.target, request.station)
    if not len(predictor.runner(served, request).typical):
        target, rule = served.manifest.target, "a target whose release has typical rows"
        detail = (
            f"Release {served.manifest.version} has no typical rows to explain a forecast against; newer ones have."
        )
        raise problem("not-explainable", detail, status=409, field="target", value=target, rule=rule)


class Explainer:
    """One thread, which explains answers in turn."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "explain")

    async def explain(self, answered: Answered) -> ExplainedPrediction:
        """The answer with its explanation at each horizon. Raises a problem for what the graph cannot tell."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _explanation_of, answered)

    def close(self) -> None:
        """Waits for the one that runs; those that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _explanation_of(answered: Answered) -> ExplainedPrediction:
    served, question = answered.served, answered.question
    graph = predictor.runner(served, question.request)
    own = msgspec.structs.asdict(answered.prediction)
    orders, rows = 2 * len(graph.typical), len(graph.typical)
    explanations = _explanations(served, graph, answered)
    return ExplainedPrediction(**own, method=METHOD.format(orders=orders, rows=rows), explanations=explanations)


def _explanations(served: Served, graph: GraphRunner, answered: Answered) -> list[Explanation]:
    """One for each horizon, its parts the largest first."""
    features = predictor.source(served, answered.question)
    try:
        base, parts = graph.explain(features.grid, features.origin, features.others)
    except ORT_ERRORS:  # as where forecasts are answered
        base, parts = np.full(1, np.nan), np.empty((0, 1))
    if not (np.isfinite(base).all() and np.isfinite(parts).all()):
        raise problem("no-explanation", "The model cannot forecast from its own typical rows.", status=503)
    sizes = np.bincount(graph.owner).tolist()
    return [
        Explanation(
            horizon,
            round(float(base[at]), 6),
            sorted(
                (Part(*each) for each in zip(graph.groups, parts[:, at].round(6).tolist(), sizes, strict=True)),
                key=lambda part: -abs(part.value),
            ),
        )
        for at, horizon in enumerate(served.manifest.horizons)
    ]
