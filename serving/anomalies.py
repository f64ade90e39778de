"""The newest anomalies of a feed, as the platform has published them; the server computes none of them itself.

The document is read for each answer: it is small, asked for seldom, and replaced as a whole.
"""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.datastructures import State
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from aerocast.common.errors import AeroCastError
from aerocast.common.times import parse
from aerocast.contracts.anomalies import Anomaly, AnomalyState, Cause, document
from aerocast.storage.home import Home
from serving import inputs, predictor
from serving.parameters import TIME, AnyStation, Feed
from serving.parsing import EARLIEST, LATEST
from serving.problems import invalid, problem
from serving.refusals import ABSENT
from serving.slots import sentence


class AnomalyEvent(Struct, frozen=True):
    """A time in which a station was unlike its own past."""

    station: Annotated[str, Meta(examples=["JFK"])]
    start: Annotated[datetime, Meta(description="The first surprising step, UTC.")]
    end: Annotated[datetime | None, Meta(description="When it was calm again; null: it lasts.")]
    peak: Annotated[datetime, Meta(description="The most surprising step, UTC.")]
    severity: Annotated[
        float,
        Meta(description="Surprise at the peak: 3 is once in a thousand steps, 4 in ten thousand.", examples=[3.6]),
    ]
    cause: Annotated[
        Cause,
        Meta(
            description="`sensor_fault` if one is diagnosed there, `weather` if half or more of the other stations saw"
            " the same, else `unknown`."
        ),
    ]
    columns: Annotated[
        dict[str, float], Meta(description="The share of each column in the peak.", examples=[{"temperature": 0.9}])
    ]
    detail: Annotated[
        str, Meta(examples=["temperature 71.2 degF, 5.1 usual deviations above what the days before suggest"])
    ]
    alarms: Annotated[int, Meta(description="How often it began or became worse.", examples=[1])]
    seen_at: Annotated[list[str], Meta(description="Other stations that saw the same.", examples=[["LGA"]])]


class NewestSurprise(Struct, frozen=True):
    """The newest step of a station that the platform has looked at."""

    station: Annotated[str, Meta(examples=["JFK"])]
    time: Annotated[datetime, Meta(description="The step, UTC.")]
    surprise: Annotated[
        float | None, Meta(description="An event begins at 3; null: too little of the past is known.", examples=[0.4])
    ]


class Anomalies(Struct, frozen=True):
    """Events of the last 90 days, oldest first, and how surprising each station is now."""

    feed: Annotated[str, Meta(examples=["noaa"])]
    judged_at: Annotated[
        datetime | None, Meta(description="When the platform last looked, in the feed's time; null: never yet.")
    ]
    newest: list[NewestSurprise]
    events: list[AnomalyEvent]


@get("/anomalies", tags=["loop"], summary="When stations were unlike their past", responses=ABSENT)
async def anomalies(
    state: State,
    feed: Feed = None,
    station: AnyStation = None,
    start: Annotated[
        str | None,
        QueryParameter(name="from", schema_extra=TIME, description="Events that last until it or end after it."),
    ] = None,
    end: Annotated[
        str | None, QueryParameter(name="to", schema_extra=TIME, description="Events that begin before it.")
    ] = None,
) -> Anomalies:
    """Events of a feed's stations, with the columns that did it and, where the evidence allows, the cause.

    The newest 90 days are here; the table `<feed>/anomalies` has all. What was measured later changes no
    event that is over, but its cause: a fault may be diagnosed later.
    """
    served = predictor.choose(state.store, feed, None, station)
    if station is not None:
        inputs.check_station(served.feed, station)
    first, last = _instant("from", start, EARLIEST), _instant("to", end, LATEST)
    beliefs = await asyncio.to_thread(_read, state.store.home, served.feed.name)
    return _view(served.feed.name, beliefs, station, first, last)


def _read(home: Home, feed: str) -> AnomalyState | None:
    try:
        return document(home, feed).read()
    except AeroCastError as error:
        detail = f"The anomalies of {feed} cannot be read: {sentence(error)}."
        raise problem("anomalies-unreadable", detail, status=503, headers={"retry-after": "60"}) from None


def _instant(name: str, text: str | None, default: datetime) -> datetime:
    """Raises a 400 problem for what is no instant."""
    moment = default if text is None else parse(text)
    if moment is None or moment.tzinfo is None or not EARLIEST <= moment <= LATEST:
        rule = f"ISO 8601 with an offset, such as 2026-01-05T12:00:00Z, from {EARLIEST.year} to {LATEST.year}"
        raise invalid(name, text, rule, f"{name}: {rule}; a + is written %2B in an address.", status=400)
    return moment


def _view(feed: str, own: AnomalyState | None, station: str | None, first: datetime, last: datetime) -> Anomalies:
    if own is None:
        return Anomalies(feed, None, [], [])
    names = sorted(own.newest) if station is None else [name for name in own.newest if name == station]
    newest = [NewestSurprise(name, own.newest[name].time, own.newest[name].surprise) for name in names]
    events = [
        _event(each)
        for each in own.events
        if station in (None, each.station) and each.start < last and (each.end is None or each.end > first)
    ]
    return Anomalies(feed, own.judged_at, newest, events)


def _event(event: Anomaly) -> AnomalyEvent:
    return msgspec.convert(msgspec.structs.asdict(event), AnomalyEvent)
