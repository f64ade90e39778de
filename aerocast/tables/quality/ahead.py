"""Counts readings of the future, which are in quarantine until their time comes, though no row of raw changes then."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aerocast.common.sql import timestamp
from aerocast.feed.declaration import Feed
from aerocast.tables.quality.cleaning import source_months
from aerocast.tables.quality.readings import latest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.lake import LakeReader

_PRECISION = timedelta(milliseconds=1)  # of the log's statistics, which are cut


def count_future(
    con: "DuckDBPyConnection", lake: "LakeReader", feed: Feed, months: Sequence[str], now: datetime
) -> dict[str, int]:
    """How many of the rows of raw for each month lie ahead of the feed's `now`; months without are left out."""
    raw, limit = f"{feed.name}/raw", latest(feed, now)
    late = [month for month, (_, newest) in lake.spans(raw).items() if newest + _PRECISION > limit]
    if not late:
        return {}
    rows = lake.relation(con, raw, late).filter(f"time > {timestamp(limit)}::TIMESTAMPTZ")
    totals = dict(rows.aggregate("month, count(*)", "month").fetchall())
    counts = {month: sum(totals.get(each, 0) for each in source_months(feed, [month])) for month in months}
    return {month: count for month, count in counts.items() if count}
