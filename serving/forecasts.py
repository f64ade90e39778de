"""The endpoints that answer forecasts: they translate between HTTP and the predictor, and decide nothing."""

import time
from typing import Any

from litestar import Response, get, post
from litestar.datastructures import State
from litestar.plugins.problem_details import ProblemDetailsException

from serving import batch, batch_bodies, explaining, forms, predictor, timeseries
from serving.access import client_of, is_own_page
from serving.body import read
from serving.openapi import BatchOperation, PredictOperation, SeriesOperation
from serving.parameters import Feed, HttpRequest, Station, Target, body_of
from serving.parsing import addressed, check_content_type, parse
from serving.predictor import Answered
from serving.refusals import ABSENT, BATCH, BUSY, REFUSED, SERIES, UNEXPLAINED
from serving.schemas import ExplainedPrediction, Prediction, PredictRequest
from serving.timeseries_schemas import ForecastResponse


@post("/predict", tags=["forecast"], summary="Forecast for a station or a sequence", status_code=200,
      operation_class=PredictOperation, responses=REFUSED | BUSY)  # fmt: skip
async def predict(
    request: HttpRequest, state: State, feed: Feed = None, target: Target = None
) -> Prediction | dict[str, Any]:
    """From a station's newest readings, or from a sequence of steps that the request brings along.

    With both the sequence is what that station measured: its place and local clock count. Impossible values in a
    sequence (outside the column's physical range) are set aside as they would be in the feed: they count as missing,
    the answer is marked degraded and names them. A feed may declare other forms, for clients of older systems: flat
    requests and answers (`request_forms`).
    """
    body = await body_of(request, state)
    began = time.perf_counter()
    formed = forms.find(state.store, body, feed, target)
    question = formed.request if formed else addressed(parse(body), feed, target)
    answered: Answered = await state.together.predict(question, formed.values if formed else None)
    _note(request, state, answered)
    state.metrics.latency.observe((time.perf_counter() - began) * 1000)
    return forms.answer(formed, answered.prediction) if formed else answered.prediction


@post("/explain", tags=["forecast"], summary="Forecast, and what it comes from", status_code=200,
      operation_class=PredictOperation, responses=REFUSED | BUSY | UNEXPLAINED)  # fmt: skip
async def explain(request: HttpRequest, state: State, feed: Feed = None, target: Target = None) -> ExplainedPrediction:
    """Takes what `/predict` takes, and answers the same forecast with its parts.

    A part says by how much a group of inputs moves the forecast away from the mean forecast for typical rows, in the
    target's unit: a column, the target's recent values or earlier seasons, the calendar and the sun, the station, the
    other stations, or what is known ahead. The parts come from the very graph that serves. They say what the model
    does, not what causes the weather or the load: of inputs that move together each gets a share.
    """
    body = await body_of(request, state)
    formed = forms.find(state.store, body, feed, target)
    question = formed.request if formed else addressed(parse(body), feed, target)
    explaining.check(state.store, question)
    answered = predictor.predict(state.store, question, formed.values if formed else None)
    _note(request, state, answered)
    explanation: ExplainedPrediction = await state.explainer.explain(answered)
    return explanation


@post("/predict/batch", tags=["forecast"], summary="Forecasts for many requests", status_code=200,
      operation_class=BatchOperation, responses=REFUSED | BUSY | BATCH)  # fmt: skip
async def predict_batch(
    request: HttpRequest, state: State, feed: Feed = None, target: Target = None
) -> Response[bytes]:
    """At most 128 requests as `/v1/predict` takes them, answered in their order by one run of each model.

    A request that is wrong has its problem in the place of its prediction; the others are answered. The answer is JSON
    or an Arrow IPC stream as `Accept` says, by default what the body is. A stream has a row a request, in columns of
    the names of its fields (`sequence` as lists of lists, `covariates` as a map); an answer's has a row a horizon, with
    the `index` of its request.
    """
    kind = batch_bodies.kind_of(request.headers.get("content-type"))
    form = batch_bodies.answer_kind(request.headers.get("accept"), kind)
    with state.observations.room.share() as share:
        body = await read(request, batch.MAX_BODY, share)
        results = await state.batches.take(batch_bodies.answer, state.store, kind, body, feed, target)
    for each in results:
        if isinstance(each, Answered):
            _note(request, state, each)
    content = await state.batches.take(batch_bodies.write, form, results)
    return Response(content, media_type=batch_bodies.MEDIA_TYPES[form])


@get("/predictions/{station:str}", tags=["forecast"], summary="The newest forecast of a station",
     responses=ABSENT | BUSY)  # fmt: skip
async def newest(
    request: HttpRequest, state: State, station: Station, feed: Feed = None, target: Target = None
) -> Prediction:
    """All horizons with all quantiles, from the station's newest readings: what `POST /v1/predict` answers for it, and
    logged by the same rules. An id with a slash goes there.
    """
    began = time.perf_counter()
    question = PredictRequest(station=station, feed=feed, target=target)
    answered: Answered = await state.together.predict(question)
    _note(request, state, answered)
    state.metrics.latency.observe((time.perf_counter() - began) * 1000)
    return answered.prediction


@post("/timeseries/forecast", tags=["forecast"], summary="KServe's protocol for time series", status_code=200,
      operation_class=SeriesOperation, responses=SERIES | BUSY)  # fmt: skip
async def forecast_series(request: HttpRequest, state: State) -> ForecastResponse:
    """Forecasts of series that the request brings along, as KServe's time series protocol asks for them.

    The model is a feed and target; its horizons up to `options.horizon` are answered, and a series that bears the name
    of a station is taken as measured there. What is wrong with one series is said in its output. A refusal of the whole
    request is a problem document with the protocol's `error` in it.
    """
    try:
        check_content_type(request.headers.get("content-type"))
        with state.observations.room.share() as share:
            body = await read(request, batch.MAX_BODY, share)
            question, results = await state.batches.take(timeseries.answer, state.store, body)
    except ProblemDetailsException as error:
        raise timeseries.with_error(error) from None
    for each in results:
        if isinstance(each, Answered):
            _note(request, state, each)
    return timeseries.response(question, results)


@get("/timeseries/models", tags=["forecast"], summary="Models of KServe's protocol for time series")
async def series_models(state: State) -> list[str]:
    """The names by which `/v1/timeseries/forecast` knows what serves."""
    return timeseries.models(state.store)


def _note(request: HttpRequest, state: State, answered: Answered) -> None:
    """Logs and counts an answer before it is sent."""
    is_writer = client_of(request).may("write") and is_own_page(request)
    state.loop.answered(answered, is_writer)
    state.metrics.predictions.labels(answered.served.manifest.kind).inc()
