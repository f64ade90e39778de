"""Polls the US National Weather Service (api.weather.gov): decides what to ask for, what is news, what to remember.

A poll asks each station for its newest page, conditionally, and for pages behind it only as far back as `overlap`
before the newest reading that is known (the first poll: as far as `reach`). A station that fails does not stop the
others. Readings older than `reach` are left-overs of the service, some of them years old: they are counted and left
out.

What is remembered of the service (`<work>/<feed>.json`) is written after its readings are in the table, so a kill
in between costs a repetition, never a reading; and it counts only while the table holds readings as new as it says.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple

import msgspec
import pyarrow as pa
from pydantic_settings import BaseSettings, SettingsConfigDict

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.common.months import month_of, month_span
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.sources._memory import recall, remember, table_holds
from aerocast.ingest.sources._nws_http import LONGEST_QUIET, NwsClient, RefusedError
from aerocast.ingest.sources._nws_readings import NwsReading, field_units, parse_page
from aerocast.ingest.sources.nws import NwsSource
from aerocast.tables.raw import Delivery, delivery, raw_names, segment_of

PAGES = 50  # of one station and poll; a week of 5-minute reports has 5 of the longest
LONGEST = 500  # readings, the most that the service gives in a page


class NwsSettings(BaseSettings):
    """`AEROCAST_USER_AGENT` tells the service who asks; `AEROCAST_NWS_URL` is where it is."""

    model_config = SettingsConfigDict(env_prefix="AEROCAST_", env_ignore_empty=True)

    user_agent: str = "AeroCast/0.1 (operator unknown: set AEROCAST_USER_AGENT to an address of yours)"
    nws_url: str = "https://api.weather.gov"


class StationMemory(msgspec.Struct, frozen=True):
    """What a station's newest page said last: its address and validators, and the newest reading that it had."""

    address: str
    etag: str = ""
    modified: str = ""
    newest: datetime | None = None


class PollMemory(msgspec.Struct, frozen=True):
    """What is remembered between polls: for which declaration, and until when the service asked to be left alone."""

    declared: str = ""
    stations: dict[str, StationMemory] = {}
    quiet: datetime | None = None


class Visit(NamedTuple):
    """One station in one poll: `known` only after a visit without `failure`; `empty` features said nothing at all."""

    readings: list[NwsReading]
    memory: StationMemory | None = None
    failure: str = ""
    empty: int = 0


def poll(source: NwsSource, feed: Feed, request: ReadRequest, client: NwsClient | None = None) -> Iterator[Delivery]:
    """See `SourceKind.read`: what the service holds of the last `reach`, a delivery each month.

    The same answers give the same segments. `client` is given by tests; else the settings tell whom to ask, and how.

    Raises:
        AeroCastError: no station could be read; what was fetched all the same has been delivered before.
    """
    now, settings = feed.clock(request.now), NwsSettings()
    if request.months is not None and not _overlap(request.months, now - source.reach, now):
        return
    with client or NwsClient(settings.nws_url, settings.user_agent) as service:
        memory = _recall(feed, service.base, request)
        # A pause that the service asked for holds for later polls too.
        remaining = (memory.quiet - datetime.now(UTC)).total_seconds() if memory.quiet else 0.0
        if 0 < remaining <= LONGEST_QUIET:  # no pause is longer: a clock was ahead when it was noted
            service.quiet = service.clock() + remaining
        visits = _visit_all(service, source, feed, memory, now)
    quiet = datetime.now(UTC) + timedelta(seconds=service.quiet - service.clock())
    news, omissions = _news(feed, visits, now, source.reach, request.months)
    request.notes.extend(_sentences(visits, omissions, source))
    yield from _deliveries(feed, news)
    # Asking for more than the last delivery means that it is in the table.
    if (update := _update(memory, visits, omissions, quiet)) != memory:
        remember(request, feed, update)
    failures = {station: visit.failure for station, visit in visits.items() if visit.failure}
    if len(failures) == len(visits):
        raise AeroCastError(
            f"source {source.label}: no station could be read: {'; '.join(dict.fromkeys(failures.values()))}"
        )


def _overlap(months: Sequence[str], first: datetime, last: datetime) -> bool:
    spans = map(month_span, months)
    return any(start <= last and end > first for start, end in spans)


def _visit_all(client: NwsClient, source: NwsSource, feed: Feed, memory: PollMemory, now: datetime) -> dict[str, Visit]:
    """Each station in turn, and each with its share of the time that is left: none can use up the others'."""
    visits = {}
    for at, station in enumerate(feed.station_ids):
        until = client.clock() + (client.end - client.clock()) / (len(feed.station_ids) - at)
        visits[station] = _visit(client, source, feed, station, memory.stations.get(station), now, until)
    return visits


def _visit(
    client: NwsClient,
    source: NwsSource,
    feed: Feed,
    station: str,
    memory: StationMemory | None,
    now: datetime,
    until: float,
) -> Visit:
    """Page after page, until one holds nothing as new as what is looked for; what failed is told, not raised."""
    since = now - source.reach
    if memory and memory.newest:
        since = max(since, memory.newest - source.overlap)
    home = f"/stations/{station}/observations"
    address = f"{home}?limit={source.page if memory and now - since <= 2 * source.overlap else LONGEST}"
    readings: list[NwsReading] = []
    page_memory, empty, addresses = None, 0, set[str]()
    try:
        while address not in addresses:
            if len(addresses) == PAGES:
                raise AeroCastError(f"station {station}: more than {PAGES} pages, the rest is left for the next poll")
            addresses.add(address)
            first = page_memory is None
            answer = client.get(address, _conditions(memory, address) if first else None, until=until)
            if answer.status == HTTPStatus.NOT_MODIFIED:
                return Visit([], memory)
            part = parse_page(answer.body, feed, station)
            readings, empty = [*readings, *part.readings], empty + part.empty
            page_memory = page_memory or StationMemory(
                address, answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
            )
            # Their order means nothing.
            if not part.next_page or not any(each.time and each.time >= since for each in part.readings):
                break
            address = client.path(part.next_page)
    except AeroCastError as error:
        status = (error.status or 0) if isinstance(error, RefusedError) else 0
        if not readings and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            readings = _latest(client, feed, station, home, until)
        return Visit(readings, None, str(error), empty)
    newest = max((reading.time for reading in readings if reading.time and reading.time <= now), default=None)
    return Visit(readings, msgspec.structs.replace(page_memory, newest=newest) if page_memory else None, "", empty)


def _conditions(memory: StationMemory | None, address: str) -> dict[str, str]:
    """Validators belong to the address that gave them."""
    if memory is None or memory.address != address:
        return {}
    pairs = {"If-None-Match": memory.etag, "If-Modified-Since": memory.modified}
    return {name: value for name, value in pairs.items() if value}


def _latest(client: NwsClient, feed: Feed, station: str, home: str, until: float) -> list[NwsReading]:
    """The newest reading alone, where the service cannot give the list: better than none."""
    try:
        return parse_page(client.get(f"{home}/latest", until=until, attempts=1).body, feed, station).readings
    except AeroCastError:
        return []  # the list's own fault is what is told


def _news(
    feed: Feed, visits: Mapping[str, Visit], now: datetime, reach: timedelta, months: Sequence[str] | None
) -> tuple[dict[str, list[NwsReading]], Counter[str]]:
    """Readings by month in order of time, each once; and how many were left out: `old`, or of no wanted month."""
    omissions: Counter[str] = Counter()
    by_month: dict[str, dict[NwsReading, None]] = {}
    for station, visit in visits.items():
        for reading in visit.readings:
            if reading.time is not None and reading.time < now - reach:
                omissions["old"] += 1
                continue
            month = _month(feed, reading, now)
            if months is not None and month not in months:
                omissions[f"of {station}"] += 1
                continue
            by_month.setdefault(month, {})[reading] = None
    news = {month: sorted(own, key=lambda each: (each.time or now, each.station)) for month, own in by_month.items()}
    return dict(sorted(news.items())), omissions


def _month(feed: Feed, reading: NwsReading, now: datetime) -> str:
    """The month of its time; of now, where bronze judges it, if that cannot be read or is no month of the feed's."""
    credible = reading.time is not None and feed.start <= reading.time <= now + feed.cadence
    return month_of(reading.time if reading.time is not None and credible else now)


def _deliveries(feed: Feed, news: Mapping[str, list[NwsReading]]) -> Iterator[Delivery]:
    names = [raw_names(feed)[field] for field in field_units(feed)]
    for month, readings in news.items():
        values = zip(*(reading.values for reading in readings), strict=True)
        texts = {"station": [reading.station for reading in readings], "time_text": [r.time_text for r in readings]}
        texts |= dict(zip(names, map(list, values), strict=True))
        flags = [reading.flags for reading in readings]
        segment = segment_of(pa.table({**texts, "flags": [flag or "" for flag in flags]}))
        yield delivery(feed, month, segment, [reading.time for reading in readings], texts | {"flags": flags})


def _sentences(visits: Mapping[str, Visit], omissions: Counter[str], source: NwsSource) -> list[str]:
    """Sentences for the log and the run's metadata."""
    sentences = [f"station {station} failed: {visit.failure}" for station, visit in visits.items() if visit.failure]
    if omissions["old"]:
        sentences.append(f"{omissions['old']} readings older than {source.reach} left out: they are not new")
    if empty := sum(visit.empty for visit in visits.values()):
        sentences.append(f"{empty} observations without a time and without a value left out")
    return sentences


def _update(memory: PollMemory, visits: Mapping[str, Visit], omissions: Counter[str], quiet: datetime) -> PollMemory:
    """A station is remembered once all that it said is delivered; of one that failed, what was known stays true."""
    stations = {station: page for station, page in memory.stations.items() if station in visits}
    stations |= {name: each.memory for name, each in visits.items() if each.memory and not omissions[f"of {name}"]}
    return PollMemory(memory.declared, stations, quiet if quiet > datetime.now(UTC) else None)


def _recall(feed: Feed, base: str, request: ReadRequest) -> PollMemory:
    """What is remembered for this declaration and service; no station, where the table holds less than that."""
    basis = {"base": base, "units": field_units(feed), "columns": [column.name for column in feed.columns]}
    empty = PollMemory(config_hash(**basis))
    memory = recall(request, feed, PollMemory) or empty
    newest = max((station.newest for station in memory.stations.values() if station.newest), default=None)
    if memory.declared != empty.declared or newest is None or not table_holds(request, newest):
        return msgspec.structs.replace(empty, quiet=memory.quiet)
    return memory
