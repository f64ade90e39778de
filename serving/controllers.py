"""The endpoints of state, readings and loop: they translate between HTTP and the store, and decide nothing."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from litestar import MediaType, Response, get, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Redirect
from msgspec import structs

from serving import history, inputs, observations, pages, predictor, reports, routine, views
from serving.access import client_of
from serving.audit import describe
from serving.body import read
from serving.headers import SHOWN_ELSEWHERE
from serving.history_schemas import HistoryPage
from serving.notices import RetrainNotice
from serving.openapi import EvalOperation, ObserveOperation, RetrainOperation
from serving.parameters import TIME, Feed, HttpRequest, Station, Target, body_of
from serving.parsing import decode
from serving.readings import MAX_BODY, check, decoded, encoding_of, kind_of
from serving.refusals import ABSENT, BUSY, NOT_KEPT, ODD, REFUSED, UNKNOWN, refusal
from serving.schemas import (
    Accepted,
    EvalRequest,
    Evaluation,
    FeedView,
    Health,
    RetrainCheck,
    RetrainRequest,
    TargetModels,
)


@get("/", include_in_schema=False, media_type=MediaType.HTML)
async def index() -> Response[bytes]:
    """The page for people: stations, what comes and how the loop stands."""
    page = await asyncio.to_thread(pages.index)
    return Response(page, media_type=MediaType.HTML, headers=pages.headers(page))


@get("/docs", include_in_schema=False, status_code=302)
async def docs() -> Redirect:
    """The page of /schema under the name where it is looked for."""
    return Redirect("/schema")


@get("/health", tags=["state"], summary="Health, and which release serves", responses={503: ResponseSpec(Health)})
async def health(request: HttpRequest, state: State) -> Response[Health]:
    """200 while the server can answer, 503 while there is no release at all. Who may not read learns the status alone,
    and with it whether to look closer: all lists are empty.
    """
    others = [*state.observations.slots(), state.clients.slot]
    report = views.health(state.store, state.loop.log, state.poll_seconds, others, state.audit.error)
    if not client_of(request).may("read"):
        report = structs.replace(report, errors=[], left_out=[], releases=[])
    return Response(report, status_code=200 if state.store.index else 503)


@get("/feeds", tags=["state"], summary="Which feeds and targets are served")
async def feeds(state: State) -> list[FeedView]:
    """Feeds with stations, columns and units, window, targets, horizons, and each station's newest reading."""
    return views.feeds(state.store)


@get("/models", tags=["state"], summary="Current and past releases",
     responses=ODD | {404: refusal("Nothing is released under that name.")})  # fmt: skip
async def models(
    state: State,
    feed: Feed = None,
    target: Target = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000, description="At most so many releases a target.")] = 20,
) -> list[TargetModels]:
    """Releases with metrics and lineage, newest first, of every feed and target or of those named."""
    return await asyncio.to_thread(views.models, state.store, feed, target, limit)


@get("/predictions/{station:str}/history", tags=["loop"], summary="Past forecasts with their outcomes",
     responses=ABSENT | {429: BUSY[429]})  # fmt: skip
async def past_forecasts(
    state: State,
    station: Station,
    feed: Feed = None,
    target: Target = None,
    start: Annotated[
        str | None, QueryParameter(name="from", schema_extra=TIME, description="Target time from which.")
    ] = None,
    end: Annotated[
        str | None, QueryParameter(name="to", schema_extra=TIME, description="Target time before which.")
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=history.MOST_ROWS, description="At most so many a page.")] = 100,
    cursor: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
) -> HistoryPage:
    """Each horizon of each forecast that was answered, beside what was measured, by target time, oldest first.

    It is what evaluation has exported: the newest month is up to an hour behind, and holds what housekeeping keeps. A
    forecast whose outcome comes late is in the order of its target time; who follows the newest asks again from there.
    """
    served = predictor.choose(state.store, feed, target, station)
    inputs.check_station(served.feed, station)
    span = history.span_of(served.feed.name, station, target, start, end, limit, cursor)
    page: HistoryPage = await state.history.take(history.read_page, state.store.home, span)
    return page


@get("/reports/{feed:str}/{target:str}/{name:str}", tags=["state"], summary="A picture of a report",
     media_type="image/png", responses=ODD | {404: refusal("There is no such picture.")})  # fmt: skip
async def picture(state: State, feed: FromPath[str], target: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A PNG that an asset of the platform drew, such as `/reports/noaa/temperature/drift.png`."""
    headers = {"cache-control": "no-cache"} | SHOWN_ELSEWHERE
    png = await asyncio.to_thread(reports.picture, state.store.home, feed, target, name)
    return Response(png, media_type="image/png", headers=headers)


@post("/observations/{feed:str}", tags=["observations"], summary="Post readings", status_code=202,
      operation_class=ObserveOperation, responses=NOT_KEPT)  # fmt: skip
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
        describe(request, feed, rows)
        receipt = await posts.keep(feed, key, kind, body, rows)
    return Accepted(receipt.id, receipt.accepted, receipt.duplicate, list(ignored))


@post("/eval", tags=["loop"], summary="Post an outcome", status_code=200,
      operation_class=EvalOperation, responses=REFUSED | UNKNOWN)  # fmt: skip
async def evaluate(request: HttpRequest, state: State) -> Evaluation:
    """What really came: by the id and horizon of a forecast, or as a pair of numbers. The answer says how good the
    newest forecasts were, and whether drift is diagnosed.

    An outcome is in the log before the answer; one that was posted by id before is not counted twice. The process that
    gave an answer remembers its id among the newest 50,000 or so: for an older one post the pair.
    """
    evaluation: Evaluation = state.loop.outcome(decode(await body_of(request, state), EvalRequest))
    describe(request, evaluation.feed, 1)
    return evaluation


@get("/routine-retrain-check", tags=["loop"], summary="How old the champion is", responses=ABSENT)
async def retrain_check(state: State, feed: Feed = None, target: Target = None) -> RetrainCheck:
    """Its age in the feed's own time, the declared limit, and whether a retrain is due or question for."""
    return await asyncio.to_thread(routine.check, state.store, feed, target)


@post("/routine-retrain-check", tags=["loop"], summary="Ask for a retrain if one is due", status_code=200,
      operation_class=RetrainOperation, responses=REFUSED)  # fmt: skip
async def ask_for_retrain(request: HttpRequest, state: State, feed: Feed = None, target: Target = None) -> RetrainCheck:
    """The same report; where a retrain is due, or with `{"force": true}`, a durable request for one is left for the
    platform's sensor. The server itself starts nothing; asking again returns the open request.
    """
    body = await body_of(request, state)
    force = decode(body, RetrainRequest).force if body else False
    report, reason = await asyncio.to_thread(routine.ask, state.store, feed, target, force)
    describe(request, report.feed)
    if reason:
        notice = RetrainNotice(
            at=datetime.now(UTC), feed=report.feed, target=report.target, change="asked", reason=reason
        )
        state.journal.note(("retrain", report.feed, report.target), notice)
    return report


@get("/metrics", tags=["state"], summary="Prometheus metrics", media_type=MediaType.TEXT)
async def metrics(state: State) -> Response[bytes]:
    """Prometheus text format."""
    return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")
