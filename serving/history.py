"""Forecasts beside what was measured: pages of the history that the platform exports, read in a thread of its own.

The server holds no engine for tables (docs/decisions/014), and reads the exported months that a page needs from the
page's first row on.
"""

import base64
import binascii
import csv
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.times import from_iso, parse
from aerocast.contracts import prediction_history
from aerocast.contracts.prediction_history import REASONS, Key
from aerocast.storage.home import Home
from serving.history_schemas import HistoryPage, PastForecast
from serving.parsing import EARLIEST, LATEST
from serving.problems import invalid, problem
from serving.slots import sentence

MOST_ROWS, MOST_SCANNED = 1000, 50_000
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Span(NamedTuple):
    """What is asked for: target times as the files write them, `end` exclusive, and the row after which it goes on."""

    feed: str
    station: str
    target: str | None
    start: str
    end: str
    limit: int
    after: Key | None


def read_page(home: Home, span: Span) -> HistoryPage:
    """At most `limit` rows, and the cursor of the next page; a page may have fewer, where many rows are of others.

    Raises a 503 problem for a file that cannot be read.
    """
    page: list[PastForecast] = []
    last, scanned = None, 0
    try:
        for key, row in itertools.islice(_rows(home, span), MOST_SCANNED):
            if len(page) == span.limit:
                return HistoryPage(span.feed, span.station, page, _cursor(last))
            last, scanned = key, scanned + 1
            if row["station"] == span.station and span.target in (None, row["target"]) and row["shadow"] != "true":
                page.append(_forecast(row))
    except (AeroCastError, OSError, ValueError, csv.Error) as error:
        detail = f"The history of {span.feed} cannot be read: {sentence(error)}."
        raise problem("history-unreadable", detail, status=503, headers={"retry-after": "60"}) from None
    return HistoryPage(span.feed, span.station, page, _cursor(last) if scanned == MOST_SCANNED else None)


def _rows(home: Home, span: Span) -> Iterator[tuple[Key, dict[str, str]]]:
    start = max(span.start, span.after.time) if span.after else span.start
    for month in prediction_history.months(home, span.feed):
        if not start[:7] <= month <= span.end[:7]:
            continue
        for row in prediction_history.rows(prediction_history.place(home, span.feed) / f"{month}.csv", start):
            if row["time"] >= span.end:
                break
            if span.after is None or (key := Key.of(row)) > span.after:
                yield Key.of(row) if span.after is None else key, row


def _forecast(row: dict[str, str]) -> PastForecast:
    """A row of a file. Raises ValueError or AeroCastError for what is none."""
    values: dict[str, Any] = {name: text or None for name, text in row.items() if name != "shadow"}
    values["reasons"] = [each for each in row["reasons"].split(REASONS) if each]
    values["asked"] = row["asked"] or 1
    try:
        return msgspec.convert(values, PastForecast, strict=False)
    except msgspec.ValidationError as error:
        raise AeroCastError(f"a row of {row['time']} is damaged: {error}") from None


def span_of(
    feed: str, station: str, target: str | None, start: str | None, end: str | None, limit: int, cursor: str | None
) -> Span:
    """What a request asks for. Raises a 400 problem that names the parameter, its value and the rule."""
    first, last = _text("from", start, EARLIEST), _text("to", end, LATEST)
    if first >= last:
        raise invalid("to", end, f"a time after from, {first}", status=400)
    return Span(feed, station, target, first, last, limit, _key(cursor) if cursor is not None else None)


def _text(name: str, text: str | None, default: datetime) -> str:
    """A time of a parameter as the files write it; a fraction of a second belongs to the second after it."""
    time = default if text is None else parse(text)
    if time is None or time.tzinfo is None or not EARLIEST <= time <= LATEST:
        rule = f"ISO 8601 with an offset, such as 2026-01-05T12:00:00Z, from {EARLIEST.year} to {LATEST.year}"
        raise invalid(name, text, rule, f"{name}: {rule}; a + is written %2B in an address.", status=400)
    return (time + timedelta(microseconds=-time.microsecond % 1_000_000)).strftime(_FORMAT)


def _cursor(key: Key | None) -> str | None:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=") if key else None


def _key(cursor: str) -> Key:
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Key)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        key = None
    if key is None or from_iso(key.time) is None:
        raise invalid("cursor", cursor, "the next of a page before, as it is", status=400)
    return key
