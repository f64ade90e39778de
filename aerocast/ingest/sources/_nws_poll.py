"""Polls of the US National Weather Service (api.weather.gov): what is asked for, what is news, what is remembered.

A poll asks each station for its newest page, conditionally, and for pages behind it only as far back as `overlap`
before the newest reading that is known (the first poll: as far as `reach`). A station that fails does not stop the
others. Readings older than `reach` are left-overs of the service, some of them years old: they are no news, and are
counted and left out.

What is remembered of the service (`<work>/<feed>.json`) is written after its readings are in the table, so a kill
in between costs a repetition, never a reading; and it counts only while the table holds readings as new as it says.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
from pydantic_settings import BaseSettings, SettingsConfigDict

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.common.months import month_of, month_span
from aerocast.common.times import EARLIEST
from aerocast.feed.model import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.sources._nws_http import LONGEST_QUIET, NwsClient, RefusedError
from aerocast.ingest.sources._nws_readings import Page, Reading, page, units
from aerocast.ingest.sources.nws import NwsSource
from aerocast.storage.documents import Document
from aerocast.storage.home import store_of
from aerocast.tables.raw import Delivery, delivery, raw_names, segment_of

PAGES = 50  # of one station and poll; a week of 5-minute reports has 5 of the longest
LONGEST = 500  # readings, the most that the service gives in a page


class NwsSettings(BaseSettings):
    """`AEROCAST_USER_AGENT` tells the service who asks; `AEROCAST_NWS_URL` is where it is."""

    model_config = SettingsConfigDict(env_prefix="AEROCAST_", env_ignore_empty=True)

    user_agent: str = "AeroCast/0.1 (operator unknown: set AEROCAST_USER_AGENT to an address of yours)"
    nws_url: str = "https://api.weather.gov"


class KnownReadings(msgspec.Struct, frozen=True):
    """What a station's newest page said last: its address and validators, and the newest reading that it had."""

    address: str
    etag: str = ""
    modified: str = ""
    newest: datetime | None = None


class PollMemory(msgspec.Struct, frozen=True):
    """All that is remembered between polls; `declared` tells what for, `quiet` until when the service wants peace."""

    declared: str = ""
    stations: dict[str, KnownReadings] = {}
    quiet: datetime | None = None


class Visit(NamedTuple):
    """One station in one poll: `known` only after a visit without `failure`; `empty` features said nothing at all."""

    readings: list[Reading]
    known: KnownReadings | None = None
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
        _respect(service, memory)
        visits = _visit_all(service, source, feed, memory, now)
    quiet = datetime.now(UTC) + timedelta(seconds=service.quiet - service.clock())
    news, left_out = _news(feed, visits, now, source.reach, request.months)
    request.notes.extend(_sentences(visits, left_out, source))
    yield from _deliveries(feed, news)
    # Whoever asks for more than the last delivery has put it into the table.
    _remember(feed, _update(memory, visits, left_out, quiet), memory, request)
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
    known: KnownReadings | None,
    now: datetime,
    until: float,
) -> Visit:
    """Page after page, until one holds nothing as new as what is looked for; what failed is told, not raised."""
    since = now - source.reach
    if known and known.newest:
        since = max(since, known.newest - source.overlap)
    home = f"/stations/{station}/observations"
    address = f"{home}?limit={source.page if known and now - since <= 2 * source.overlap else LONGEST}"
    readings: list[Reading] = []
    learned, empty, seen = None, 0, set[str]()
    try:
        while address not in seen:
            if len(seen) == PAGES:
                raise AeroCastError(f"station {station}: more than {PAGES} pages, the rest is left for the next poll")
            seen.add(address)
            first = learned is None
            answer = client.get(address, _conditions(known, address) if first else None, until=until)
            if answer.status == HTTPStatus.NOT_MODIFIED:
                return Visit([], known)
            part = page(answer.body, feed, station)
            readings, empty = [*readings, *part.readings], empty + part.empty
            learned = learned or KnownReadings(
                address, answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
            )
            if not part.following or not _as_new_as(part, since):
                break
            address = client.path(part.following)
    except AeroCastError as error:
        readings += _latest(client, feed, station, home, until) if not readings and _is_servers(error) else []
        return Visit(readings, None, str(error), empty)
    newest = max((reading.time for reading in readings if reading.time and reading.time <= now), default=None)
    return Visit(readings, msgspec.structs.replace(learned, newest=newest) if learned else None, "", empty)


def _conditions(known: KnownReadings | None, address: str) -> dict[str, str]:
    """Validators belong to the address that gave them."""
    if known is None or known.address != address:
        return {}
    pairs = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in pairs.items() if value}


def _as_new_as(part: Page, since: datetime) -> bool:
    """Whether any of its readings is; their order means nothing."""
    return any(reading.time is not None and reading.time >= since for reading in part.readings)


def _is_servers(error: AeroCastError) -> bool:
    return isinstance(error, RefusedError) and (error.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR


def _latest(client: NwsClient, feed: Feed, station: str, home: str, until: float) -> list[Reading]:
    """The newest reading alone, where the service cannot give the list: better than none."""
    try:
        return page(client.get(f"{home}/latest", until=until, attempts=1).body, feed, station).readings
    except AeroCastError:
        return []  # the list's own fault is what is told


def _news(
    feed: Feed, visits: Mapping[str, Visit], now: datetime, reach: timedelta, months: Sequence[str] | None
) -> tuple[dict[str, list[Reading]], Counter[str]]:
    """Readings by month in order of time, each once; and how many were left out: `old`, or of no wanted month."""
    left_out: Counter[str] = Counter()
    placed: dict[str, dict[Reading, None]] = {}
    for station, visit in visits.items():
        for reading in visit.readings:
            if reading.time is not None and reading.time < now - reach:
                left_out["old"] += 1
                continue
            month = _month(feed, reading, now)
            if months is not None and month not in months:
                left_out[f"of {station}"] += 1
                continue
            placed.setdefault(month, {})[reading] = None
    news = {month: sorted(own, key=lambda each: (each.time or now, each.station)) for month, own in placed.items()}
    return dict(sorted(news.items())), left_out


def _month(feed: Feed, reading: Reading, now: datetime) -> str:
    """The month of its time; of now, where bronze judges it, if that cannot be read or is no month of the feed's."""
    credible = reading.time is not None and feed.start <= reading.time <= now + feed.cadence
    return month_of(reading.time if reading.time is not None and credible else now)


def _deliveries(feed: Feed, news: Mapping[str, list[Reading]]) -> Iterator[Delivery]:
    names = [raw_names(feed)[field] for field in units(feed)]
    for month, readings in news.items():
        values = zip(*(reading.values for reading in readings), strict=True)
        texts = {"station": [reading.station for reading in readings], "time_text": [r.time_text for r in readings]}
        texts |= dict(zip(names, map(list, values), strict=True))
        flags = [reading.flags for reading in readings]
        segment = segment_of(pa.table({**texts, "flags": [flag or "" for flag in flags]}))
        yield delivery(feed, month, segment, [reading.time for reading in readings], texts | {"flags": flags})


def _sentences(visits: Mapping[str, Visit], left_out: Counter[str], source: NwsSource) -> list[str]:
    """Sentences for the log and the run's metadata."""
    sentences = [f"station {station} failed: {visit.failure}" for station, visit in visits.items() if visit.failure]
    if left_out["old"]:
        sentences.append(f"{left_out['old']} readings older than {source.reach} left out: they are no news")
    if empty := sum(visit.empty for visit in visits.values()):
        sentences.append(f"{empty} observations left out that hold neither a time nor a value")
    return sentences


def _update(memory: PollMemory, visits: Mapping[str, Visit], left_out: Counter[str], quiet: datetime) -> PollMemory:
    """A station is remembered once all that it said is delivered; of one that failed, what was known stays true."""
    whole = {station: visit.known for station, visit in visits.items() if visit.known and not left_out[f"of {station}"]}
    stations = {station: known for station, known in memory.stations.items() if station in visits} | whole
    return PollMemory(memory.declared, stations, quiet if quiet > datetime.now(UTC) else None)


def _recall(feed: Feed, base: str, request: ReadRequest) -> PollMemory:
    """What is remembered for this declaration and service; no station, where the table holds less than that."""
    asked = {"base": base, "units": units(feed), "columns": [column.name for column in feed.columns]}
    nothing = PollMemory(config_hash(**asked))
    try:
        memory = (_document(request.work, feed).read() if request.work else None) or nothing
    except AeroCastError as error:
        request.notes.append(f"{error}: everything is asked for again")
        return nothing
    stored = max(request.after.values(), default=EARLIEST)
    newest = [known.newest for known in memory.stations.values() if known.newest]
    if memory.declared != nothing.declared or not newest or max(newest) > stored:
        return msgspec.structs.replace(nothing, quiet=memory.quiet)
    return memory


def _respect(client: NwsClient, memory: PollMemory) -> None:
    """A pause that the service asked for holds for later polls too."""
    left = (memory.quiet - datetime.now(UTC)).total_seconds() if memory.quiet else 0.0
    if 0 < left <= LONGEST_QUIET:  # no pause is longer: a clock was ahead when it was noted
        client.quiet = client.clock() + left


def _remember(feed: Feed, learned: PollMemory, before: PollMemory, request: ReadRequest) -> None:
    if request.work is None or learned == before:
        return
    try:
        _document(request.work, feed).write(learned)
    except AeroCastError as error:
        request.notes.append(f"{error}; the next poll asks for everything again")  # the readings themselves are safe


def _document(work: Path, feed: Feed) -> Document[PollMemory]:
    return Document(store_of(work), f"{feed.name}.json", PollMemory, "memory of the service", indent=1)
