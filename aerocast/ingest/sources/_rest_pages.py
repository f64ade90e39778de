"""Asks a declared JSON API for what is newer than what is known, page by page, with dlt's client and paginators.

Of each station (or of all, where they are asked for together) the newest reading is remembered in `<work>/<feed>.json`
after its readings are in the table; it counts only for the same declaration, and while the table holds readings as new.
A station that fails does not stop the others. The next page is asked for only of the host that is declared: an answer
must not send a key elsewhere.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import pyarrow as pa
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.rest_client import paginators
from dlt.sources.helpers.rest_client.client import RESTClient

from aerocast.common.environment import expand
from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.lineage import config_hash
from aerocast.common.times import EARLIEST, utc
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels import arrow
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from aerocast.ingest.sources._arrow_months import deliveries_of
from aerocast.ingest.sources._memory import recall, remember, table_holds
from aerocast.ingest.sources.rest import Cursor, LinkHeader, NextLink, Offset, PageNumber, RestSource
from aerocast.tables.raw import Delivery

SECONDS = 30  # for an answer
ATTEMPTS = 3
PAGES = 1000  # of one station and poll

logging.getLogger("dlt").setLevel(logging.WARNING)


class SpanMemory(msgspec.Struct, frozen=True):
    """The newest reading by station, "" for all together; `declared`: for which declaration."""

    declared: str
    newest: dict[str, datetime] = {}


def read_pages(source: RestSource, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
    """See `SourceKind.read`: a delivery for each month of each page.

    Raises:
        AeroCastError: no station could be read; what was fetched all the same has been delivered before.
    """
    now, failures = feed.clock(request.now), dict[str, str]()
    memory = _recall(source, feed, request)
    stations = feed.station_ids if source.by_station else ("",)
    for station in stations:
        newest = memory.newest.get(station)
        since = max(EARLIEST, now - source.reach if newest is None else newest - source.overlap)
        try:
            for records in _pages(source, station, since, now):
                deliveries, newest_in_page = deliveries_of(
                    feed, _table(source, feed, station, records), now, request.months
                )
                yield from deliveries
                newest = max(filter(None, (newest, newest_in_page)), default=None)
        except AeroCastError as error:
            failures[station] = str(error)
            continue
        if newest and request.months is None:  # to be asked for more says that the readings are in the table
            memory = msgspec.structs.replace(memory, newest=memory.newest | {station: min(newest, now)})
            remember(request, feed, memory)
    request.notes.extend(f"station {station} failed: {why}" for station, why in failures.items() if station)
    if len(failures) == len(stations):
        raise AeroCastError(f"source {source.label}: {'; '.join(dict.fromkeys(failures.values()))}")


def _pages(source: RestSource, station: str, since: datetime, until: datetime) -> Iterator[list[Any]]:
    """The records of each page.

    Raises:
        AeroCastError: the service cannot be reached, refuses, or answers something else than such pages.
    """
    words = {"since": _instant(source, since), "until": _instant(source, until), "station": station}
    url = _filled(expand(source.url, "source.url"), {name: quote(word, safe="") for name, word in words.items()})
    parameters = {name: _filled(value, words) for name, value in source.parameters.items()}
    headers = {name: expand(value, f"source.headers.{name}") for name, value in source.headers.items()}
    client = Client(request_timeout=SECONDS, request_max_attempts=ATTEMPTS, raise_for_status=False)
    api = RESTClient(url, headers=headers, session=client.session, config=RuntimeConfiguration())
    count, host = 0, urlsplit(url)[:2]
    try:
        for page in api.paginate(params=parameters, paginator=_paginator(source), data_selector=source.records):
            count += 1
            yield list(page)
            following = page.request.url  # None behind the last page
            if following and urlsplit(following)[:2] != host:
                raise AeroCastError(f"the next page is of another host: {following!r}")
            if count == PAGES:
                raise AeroCastError(f"more than {PAGES} pages; ask for a shorter reach, or for larger pages")
    except AeroCastError:
        raise
    except Exception as error:  # dlt's, requests' and jsonpath's have no common kind
        raise AeroCastError(f"{source.url}: {type(error).__name__}: {first_line(error)}") from error


def _paginator(source: RestSource) -> paginators.BasePaginator:
    match source.paging:
        case NextLink(path=path):
            return paginators.JSONLinkPaginator(path)
        case LinkHeader(rel=rel):
            return paginators.HeaderLinkPaginator(rel)
        case PageNumber(parameter=name, first=first, total=total):
            return paginators.PageNumberPaginator(first, page_param=name, total_path=total)
        case Offset(limit=limit, parameter=name, limit_parameter=limit_name, total=total):
            return paginators.OffsetPaginator(limit, offset_param=name, limit_param=limit_name, total_path=total)
        case Cursor(path=path, parameter=name):
            return paginators.JSONResponseCursorPaginator(path, name)
    return paginators.SinglePagePaginator()


def _instant(source: RestSource, instant: datetime) -> str:
    match source.span_format:
        case "iso":
            return f"{utc(instant):%Y-%m-%dT%H:%M:%SZ}"
        case "epoch":
            return str(int(instant.timestamp()))
        case "epoch_ms":
            return str(int(instant.timestamp() * 1000))
    return utc(instant).strftime(source.span_format)


def _filled(value: Any, words: dict[str, str]) -> Any:
    """A text with its placeholders replaced; another value as it is."""
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace(f"{{{name}}}", word)
    return value


def _table(source: RestSource, feed: Feed, station: str, records: list[Any]) -> pa.Table:
    """The records as a table of texts, read as posted readings are.

    Raises:
        AeroCastError: one of them is no object, or says neither where nor when.
    """
    definition = definition_of(feed)
    if station:
        records = [{definition.station[0]: station} | each if isinstance(each, dict) else each for each in records]
    if not records:
        empty = pa.array([], pa.string())
        return pa.table({definition.station[0]: empty, definition.time[0]: empty})
    try:
        return arrow.table_of(definition, [definition.json(msgspec.json.encode(records))])
    except ReadingError as error:
        raise AeroCastError(f"{source.url}: {error}") from error


def _recall(source: RestSource, feed: Feed, request: ReadRequest) -> SpanMemory:
    """What is remembered for this declaration; nothing, where the table holds less than that."""
    fields = sorted(name for column in feed.columns for name in column.fields)
    empty = SpanMemory(config_hash(source=source.model_dump(mode="json"), fields=fields))
    memory = recall(request, feed, SpanMemory) or empty
    is_current = memory.declared == empty.declared and table_holds(request, max(memory.newest.values(), default=None))
    return memory if is_current else empty
