"""Months, the partitions of every table: `YYYY-MM` in UTC, their spans and their neighbours."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def month_of(time: datetime) -> str:
    """The partition of an instant, `YYYY-MM` in UTC."""
    return f"{time.astimezone(UTC):%Y-%m}"


def month_span(month: str) -> tuple[datetime, datetime]:
    """The first instant of a month and of the next, in UTC."""
    start = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    return start, (start + timedelta(days=32)).replace(day=1)


def months_around(months: Sequence[str], before: timedelta, after: timedelta) -> list[str]:
    """These months, and those that lie within `before` their start or `after` their end, oldest first."""
    around = set(months)
    for month in months:
        start, end = month_span(month)
        day, last = start - before, end + after - timedelta(microseconds=1)
        while day < last:
            around.add(month_of(day))
            day += timedelta(days=27)
        around.add(month_of(last))
    return sorted(around)
