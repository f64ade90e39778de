"""Where readings come from: one module a kind of source, behind `read` and `fingerprint`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from aerocast.deliveries.rows import Delivery
from aerocast.feed import Feed
from aerocast.feed_sources import CsvSource, NwsSource, PushSource, Source
from aerocast.sources import csv, push, simulated

__all__ = ["fingerprint", "read"]


def read(
    source: Source,
    feed: Feed,
    months: Sequence[str] | None = None,
    now: datetime | None = None,
    after: Mapping[str, datetime] | None = None,
    *,
    work: Path | None = None,
    notes: list[str] | None = None,
) -> Iterator[Delivery]:
    """The source's readings month by month, oldest first, of all months or of these; a month without rows is left out.

    `now` is the feed's present (default: the wall clock's), later than which nothing was measured. `after` says what
    is there already: the newest reading of each month. A live source delivers what is newer; a file delivers its
    months whole, and whoever takes them knows a segment that is there.

    To ask for the next delivery says that the one before is in the table: only then may a source remember, in the
    folder `work`, what it need not ask for again. `notes` takes sentences on what could not be had or was left out.

    A row of a file whose time cannot be read, or lies before the feed's start or after its clock, travels with the row
    before it (at the beginning: with the feed's first month). The same content gives the same segments.

    Raises:
        AeroCastError: the source is missing, damaged, or lacks a declared field.
    """
    if isinstance(source, CsvSource):
        return csv.read(source, feed, months, now, notes)
    if isinstance(source, NwsSource):
        from aerocast.sources import nws  # httpx costs what no other source needs

        return nws.read(source, feed, months, now, after, work=work, notes=notes)
    if isinstance(source, PushSource):
        return push.read()
    return simulated.read(source, feed, months, now, after)


def fingerprint(source: Source, feed: Feed, now: datetime | None = None) -> str:
    """SHA-256 of what the source holds at the feed's present; another value means that it has changed.

    Raises:
        AeroCastError: the source is missing or cannot be read.
    """
    if isinstance(source, CsvSource):
        return csv.fingerprint(source)
    if isinstance(source, PushSource):
        return push.fingerprint()
    # A schedule asks a service: there is nothing to look at in between.
    return source.kind if isinstance(source, NwsSource) else simulated.fingerprint(source, feed, now)
