"""Where readings come from: one module a kind of source, behind `read` and `fingerprint`."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from aerocast.feed import CsvSource, Feed
from aerocast.sources import csv
from aerocast.sources.base import Delivery, raw_names, raw_schema

__all__ = ["Delivery", "fingerprint", "raw_names", "raw_schema", "read"]


def read(
    source: CsvSource, feed: Feed, months: Sequence[str] | None = None, now: datetime | None = None
) -> Iterator[Delivery]:
    """The source's readings month by month, oldest first, of all months or of these; a month without rows is left out.

    A row whose time cannot be read, or lies before the feed's start or after its clock, travels with the row before
    it (at the beginning: with the feed's first month). The same content gives the same segments.

    Raises:
        AeroCastError: the source is missing, damaged, or lacks a declared field.
    """
    return csv.read(source, feed, months, now)


def fingerprint(source: CsvSource) -> str:
    """SHA-256 of what the source holds now; another value means that it has changed.

    Raises:
        AeroCastError: the source is missing or cannot be read.
    """
    return csv.fingerprint(source)
