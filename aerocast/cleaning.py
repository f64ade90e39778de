"""Raw's months into bronze and quarantine, in the lake: what was computed, from what, and what others read of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import duckdb

from aerocast import marks, quality, silver
from aerocast.drift.state import Fault
from aerocast.feed import Feed
from aerocast.lake import NO_EDGES, Lake
from aerocast.marks import NOTHING, Edges
from aerocast.quality import quarantine
from aerocast.sql import quoted, timestamp

# Who brought a reading, and that its value is doubted, changes nothing below.
APART = ("segment", "flags")
_CUT = timedelta(milliseconds=1)  # the log's statistics are cut to it


def adopt(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed) -> bool:
    """A quarantine of before values were judged one by one gets today's columns; whether it was one.

    Its rows are whole readings; those of months that can still be made are judged anew after that.

    Raises:
        AeroCastError: the table cannot be read or written.
    """
    name = f"{feed.name}/quarantine"
    if not lake.exists(name):
        return False
    stored = lake.relation(con, name)
    if "column" in stored.columns:
        return False
    columns = ", ".join(
        f"CAST({quoted(each) if each in stored.columns else 'NULL'} AS {kind}) AS {quoted(each)}"
        for each, kind in quarantine.COLUMNS.items()
    )
    lake.overwrite(name, stored.select(columns))
    return True


def inputs(feed: Feed, lake: Lake, months: Sequence[str]) -> dict[str, list[str]]:
    """Marks of the rows that each month is made of: raw's, as far as the rules read it."""
    return marks.around(lake, f"{feed.name}/raw", months, quality.reach(feed), quality.reach(feed))


def ahead(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, months: Sequence[str], now: datetime
) -> dict[str, int]:
    """How many of raw's rows that each month is made of lie ahead of the feed's `now`; months without any are left out.

    They are in quarantine as `future` until their time comes, and no row of raw changes by that.
    """
    raw, latest = f"{feed.name}/raw", quality.latest(feed, now)
    late = [month for month, (_, newest) in lake.spans(raw).items() if newest + _CUT > latest]
    if not late:
        return {}
    rows = lake.relation(con, raw, late).filter(f"time > {timestamp(latest)}::TIMESTAMPTZ")
    found = dict(rows.aggregate("month, count(*)", "month").fetchall())
    counts = {month: sum(found.get(each, 0) for each in quality.months_read(feed, [month])) for month in months}
    return {month: count for month, count in counts.items() if count}


def remake(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: Feed,
    hashes: Mapping[str, str],
    held: Mapping[str, Sequence[str]],
    now: datetime,
    faults: Sequence[Fault] = (),
) -> None:
    """Makes the months of `hashes` anew; `held` are their `inputs`, looked up before this reads any row.

    Raises:
        AeroCastError: a table cannot be read or written.
    """
    raw, good, bad = (f"{feed.name}/{layer}" for layer in ("raw", "bronze", "quarantine"))
    # Sliding windows look into the month after theirs, silver's fills into the one before.
    ahead = feed.sliding.size - feed.sliding.every if feed.sliding else NOTHING
    edges = Edges(ahead, silver.reach(feed))
    for piece in lake.chunks(raw, list(hashes)):
        read = lake.relation(con, raw, quality.months_read(feed, piece))
        cleaned = quality.clean(con, feed, read, piece, now, faults)
        # Quarantine first: a kill in between leaves bronze out of date, so both are made again.
        lake.replace(bad, cleaned.quarantine, piece, edges=NO_EDGES)
        made, origins = ({month: hashes[month] for month in piece}, {m: marks.made_from(held[m]) for m in piece})
        lake.replace(good, cleaned.bronze, piece, made, origins, edges=edges, apart=APART)
