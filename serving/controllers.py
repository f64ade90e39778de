"""The endpoints: they translate between HTTP and the store, and decide nothing."""

from __future__ import annotations

import time
from typing import Annotated, Any

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from serving import predictor, views
from serving.openapi import PredictOperation
from serving.parsing import check_content_type, parse
from serving.schemas import FeedView, Health, Prediction, Problem, TargetModels

HttpRequest = Request[Any, Any, State]
REFUSED = {
    400: ResponseSpec(Problem, description="The body is no JSON."),
    413: ResponseSpec(Problem, description="The body is too large."),
    415: ResponseSpec(Problem, description="The body is of another content type."),
    422: ResponseSpec(Problem, description="A field breaks a rule; the problem names field, value and rule."),
    503: ResponseSpec(Problem, description="No release, or no readings to forecast from."),
}


@get("/health", tags=["state"], summary="Is it well, and which release serves", responses={503: ResponseSpec(Health)})
async def health(state: State) -> Response[Health]:
    """200 while the server can answer, 503 while there is no release at all."""
    report = views.health(state.store, state.poll_seconds)
    return Response(report, status_code=200 if state.store.index else 503)


@get("/feeds", tags=["state"], summary="What can be asked for")
async def feeds(state: State) -> list[FeedView]:
    """Feeds with stations, columns and units, window, targets, horizons, and each station's newest reading."""
    return views.feeds(state.store)


@get("/models", tags=["state"], summary="Current and past releases", sync_to_thread=True,
     responses={404: ResponseSpec(Problem, description="Nothing is released under that name.")})  # fmt: skip
def models(
    state: State,
    feed: str | None = None,
    target: str | None = None,
    limit: Annotated[int, Parameter(ge=1, le=1000, description="At most so many releases a target.")] = 20,
) -> list[TargetModels]:
    """Releases with metrics and lineage, newest first, of every feed and target or of those named."""
    return views.models(state.store, feed, target, limit)


@post("/predict", tags=["forecast"], summary="Forecast for a station or a sequence", status_code=200,
      operation_class=PredictOperation, responses=REFUSED)  # fmt: skip
async def predict(request: HttpRequest, state: State) -> Prediction:
    """From a station's newest readings, or from a sequence of steps that the request brings along.

    Impossible values in a sequence (outside the column's physical range) are set aside as they would be in the feed:
    they count as missing, the answer is marked degraded and names them.
    """
    check_content_type(request.headers.get("content-type"))
    body = await request.body()
    began = time.perf_counter()
    served, prediction = predictor.predict(state.store, parse(body))
    state.metrics.latency.observe((time.perf_counter() - began) * 1000)
    state.metrics.predictions.labels(served.manifest.kind).inc()
    return prediction


@get("/metrics", tags=["state"], summary="Prometheus metrics", media_type=MediaType.TEXT)
async def metrics(state: State) -> Response[bytes]:
    """Prometheus text format."""
    return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")
