"""The endpoints: they translate between HTTP and the store, and decide nothing."""

import asyncio
import time
from typing import Annotated, Any

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Redirect

from serving import explaining, forms, observations, predictor, problems, reports, routine, views
from serving.access import may_write
from serving.body import read
from serving.openapi import EvalOperation, ObserveOperation, PredictOperation, RetrainOperation, page
from serving.parsing import addressed, check_content_type, decode, parse
from serving.predictor import Answered
from serving.readings import MAX_BODY, check, decoded, encoding_of, kind_of
from serving.schemas import (
    Accepted,
    EvalRequest,
    Evaluation,
    ExplainedPrediction,
    FeedView,
    Health,
    Prediction,
    Problem,
    RetrainCheck,
    RetrainRequest,
    TargetModels,
)

Feed = Annotated[str | None, QueryParameter(description="Needed only where several feeds are served.")]
Target = Annotated[str | None, QueryParameter(description="Default: the feed's first served target, or every one.")]
HttpRequest = Request[Any, Any, State]


def _refusal(description: str) -> ResponseSpec:
    """A problem document in the description of an endpoint."""
    return ResponseSpec(Problem, description=description, media_type="application/problem+json")


REFUSED = {
    400: _refusal("The body is not JSON."),
    410: _refusal("The feed, or the target, is retired: it is no longer declared."),
    413: _refusal("The body is too large."),
    415: _refusal("The body is of another content type."),
    422: _refusal("A field breaks a rule; the problem names field, value and rule."),
    503: _refusal("No release, or no readings to forecast from."),
}
BUSY = {429: _refusal("Too many requests wait; try again after Retry-After seconds.")}
UNEXPLAINED = {409: _refusal("The release is older than explanations: it has no typical rows.")}
DENIED = {
    401: _refusal("The token is wrong."),
    403: _refusal("The server listens beyond loopback and has no token set."),
}
NOT_KEPT = {
    400: _refusal("A reading is malformed; the problem names its index, field, value, rule."),
    404: _refusal("There is no such feed; the problem lists the feeds."),
    410: _refusal("The feed is retired: it is no longer declared."),
    413: REFUSED[413],
    415: REFUSED[415],
    422: _refusal("The key was used for another body."),
    429: _refusal("Too much waits for the platform; try again after Retry-After seconds."),
    503: _refusal("The readings cannot be stored; none of them is."),
    507: _refusal("The disk is full; nothing is stored."),
}
ODD = {400: _refusal("A parameter breaks a rule.")}
UNKNOWN = {404: _refusal("No answer with that id is known.")}


@get("/", include_in_schema=False, status_code=302)
async def index() -> Redirect:
    """Who opens the server's address in a browser finds the page that shows and tries everything."""
    return Redirect("/docs")


@get("/docs", include_in_schema=False, media_type=MediaType.HTML)
async def docs() -> bytes:
    """The page of /schema under the name where it is looked for."""
    return page("/schema/openapi.json")


@get("/health", tags=["state"], summary="Health, and which release serves", responses={503: ResponseSpec(Health)})
async def health(state: State) -> Response[Health]:
    """200 while the server can answer, 503 while there is no release at all."""
    report = views.health(state.store, state.loop.log, state.poll_seconds, state.observations.slots())
    return Response(report, status_code=200 if state.store.index else 503)


@get("/feeds", tags=["state"], summary="Which feeds and targets are served")
async def feeds(state: State) -> list[FeedView]:
    """Feeds with stations, columns and units, window, targets, horizons, and each station's newest reading."""
    return views.feeds(state.store)


@get("/models", tags=["state"], summary="Current and past releases",
     responses=ODD | {404: _refusal("Nothing is released under that name.")})  # fmt: skip
async def models(
    state: State,
    feed: Feed = None,
    target: Target = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000, description="At most so many releases a target.")] = 20,
) -> list[TargetModels]:
    """Releases with metrics and lineage, newest first, of every feed and target or of those named."""
    return await asyncio.to_thread(views.models, state.store, feed, target, limit)


@get("/reports/{feed:str}/{target:str}/{name:str}", tags=["state"], summary="A picture of a report",
     responses=ODD | {404: _refusal("There is no such picture.")})  # fmt: skip
async def picture(state: State, feed: FromPath[str], target: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A PNG that an asset of the platform drew, such as `/reports/noaa/temperature/drift.png`."""
    headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
    png = await asyncio.to_thread(reports.picture, state.store.home, feed, target, name)
    return Response(png, media_type="image/png", headers=headers)


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
    body = await _body(request, state)
    began = time.perf_counter()
    formed = forms.find(state.store, body, feed, target)
    question = formed.request if formed else addressed(parse(body), feed, target)
    answered = predictor.predict(state.store, question, formed.values if formed else None)
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
    body = await _body(request, state)
    formed = forms.find(state.store, body, feed, target)
    question = formed.request if formed else addressed(parse(body), feed, target)
    explaining.check(state.store, question)
    answered = predictor.predict(state.store, question, formed.values if formed else None)
    _note(request, state, answered)
    explanation: ExplainedPrediction = await state.explainer.explain(answered)
    return explanation


def _note(request: HttpRequest, state: State, answered: Answered) -> None:
    """Logs and counts an answer before it is sent."""
    state.loop.answered(answered, state.access.is_writer(request.headers.get("authorization", "")))
    state.metrics.predictions.labels(answered.served.manifest.kind).inc()


@post("/observations/{feed:str}", tags=["observations"], summary="Post readings", status_code=202, guards=[may_write],
      operation_class=ObserveOperation, responses=DENIED | NOT_KEPT)  # fmt: skip
async def observe(
    request: HttpRequest,
    state: State,
    feed: FromPath[str],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            description="Names this post for a day: sent again, also after a crash, it is kept once.",
        ),
    ] = None,
) -> Accepted:
    """One reading, or many: `station`, `time` (ISO 8601) and the feed's measured fields in its source's
    units, named so or as its source names them. They are on the disk before the answer. All of a body is kept, or
    nothing.

    A value is a number or a text, null or left out. What is well-formed is taken and judged by the platform: what is no
    number, out of range, in the future or of an unknown station is quarantined with its reason, never dropped. Fields
    that are not declared are ignored, and named in the answer. A body may be compressed (`Content-Encoding: gzip`).
    Without a key each post counts.
    """
    posts = state.observations
    definition, headers = await posts.definition(feed), request.headers
    key, kind = observations.checked_key(idempotency_key), kind_of(headers.get("content-type"))
    encoding = encoding_of(headers.get("content-encoding"))
    with posts.room.share() as share:
        body = await read(request, MAX_BODY, share)
        if encoding:
            body = await posts.check(decoded, body, encoding)
            share.grow(len(body))
        if len(body) < observations.LARGE_BODY and kind != "arrow":
            rows, ignored = check(definition, kind, body)
        else:
            rows, ignored = await posts.check(check, definition, kind, body)
        receipt = await posts.keep(feed, key, kind, body, rows)
    return Accepted(receipt.id, receipt.accepted, receipt.duplicate, list(ignored))


@post("/eval", tags=["loop"], summary="Post an outcome", status_code=200, guards=[may_write],
      operation_class=EvalOperation, responses=REFUSED | DENIED | UNKNOWN)  # fmt: skip
async def evaluate(request: HttpRequest, state: State) -> Evaluation:
    """What really came: by the id and horizon of a forecast, or as a pair of numbers. The answer says how good the
    newest forecasts were, and whether drift is diagnosed.

    An outcome is in the log before the answer; one that was posted by id before is not counted twice. The process that
    gave an answer remembers its id among the newest 50,000 or so: for an older one post the pair.
    """
    evaluation: Evaluation = state.loop.outcome(decode(await _body(request, state), EvalRequest))
    return evaluation


@get("/routine-retrain-check", tags=["loop"], summary="How old the champion is", responses=ODD | {503: REFUSED[503]})
async def retrain_check(state: State, feed: Feed = None, target: Target = None) -> RetrainCheck:
    """Its age in the feed's own time, the declared limit, and whether a retrain is due or question for."""
    return await asyncio.to_thread(routine.check, state.store, feed, target)


@post("/routine-retrain-check", tags=["loop"], summary="Ask for a retrain if one is due", status_code=200,
      guards=[may_write], operation_class=RetrainOperation, responses=REFUSED | DENIED)  # fmt: skip
async def ask_for_retrain(request: HttpRequest, state: State, feed: Feed = None, target: Target = None) -> RetrainCheck:
    """The same report; where a retrain is due, or with `{"force": true}`, a durable request for one is left for the
    platform's sensor. The server itself starts nothing; asking again returns the open request.
    """
    body = await _body(request, state)
    force = decode(body, RetrainRequest).force if body else False
    return await asyncio.to_thread(routine.ask, state.store, feed, target, force)


async def _body(request: HttpRequest, state: State) -> bytes:
    check_content_type(request.headers.get("content-type"))
    with state.observations.room.share() as share:
        return await read(request, problems.MAX_BODY, share)


@get("/metrics", tags=["state"], summary="Prometheus metrics", media_type=MediaType.TEXT)
async def metrics(state: State) -> Response[bytes]:
    """Prometheus text format."""
    return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")


ENDPOINTS = [
    index,
    docs,
    health,
    feeds,
    models,
    picture,
    predict,
    explain,
    observe,
    evaluate,
    retrain_check,
    ask_for_retrain,
    metrics,
]
