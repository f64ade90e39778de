"""Readings whose time has not come: in quarantine as `future` until then, though no row of raw changes by that."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aerocast.common.sql import timestamp
from aerocast.feed.model import Feed
from aerocast.tables.quality.cleaning import months_read
from aerocast.tables.quality.readings import latest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.lake import LakeReader

_CUT = timedelta(milliseconds=1)  # the log's statistics are cut to it


def ahead(
    con: "DuckDBPyConnection", lake: "LakeReader", feed: Feed, months: Sequence[str], now: datetime
) -> dict[str, int]:
    """How many of raw's rows that each month is made of lie ahead of the feed's `now`; months without any are left out.

    They are in quarantine as `future` until their time comes, and no row of raw changes by that.
    """
    raw, limit = f"{feed.name}/raw", latest(feed, now)
    late = [month for month, (_, newest) in lake.spans(raw).items() if newest + _CUT > limit]
    if not late:
        return {}
    rows = lake.relation(con, raw, late).filter(f"time > {timestamp(limit)}::TIMESTAMPTZ")
    found = dict(rows.aggregate("month, count(*)", "month").fetchall())
    counts = {month: sum(found.get(each, 0) for each in months_read(feed, [month])) for month in months}
    return {month: count for month, count in counts.items() if count}
