"""What went to quarantine lately, published for the server: how much by which rule, and the newest of it."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aerocast.contracts import clock
from aerocast.contracts.loop_notes import QuarantineNotes, Refusal, Refused, quarantine
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home

if TYPE_CHECKING:
    import duckdb

    from aerocast.lake import LakeReader

MONTHS, MOST_RULES, EXAMPLES = 3, 200, 30


def publish(con: "duckdb.DuckDBPyConnection", lake: "LakeReader", home: Home, feed: Feed, now: datetime) -> bool:
    """Replaces the document, at most once an hour of the feed's time; whether it did.

    Raises:
        AeroCastError: the table cannot be read, or the document not written.
    """
    document = quarantine(home, feed.name)
    if not clock.is_due(home, feed.name, Path(home) / document.name):
        return False
    document.write(notes(con, lake, feed, now))
    return True


def notes(con: "duckdb.DuckDBPyConnection", lake: "LakeReader", feed: Feed, now: datetime) -> QuarantineNotes:
    """The newest months of the table, counted. Raises AeroCastError if it cannot be read."""
    name = f"{feed.name}/quarantine"
    months = tuple(lake.months(name)[-MONTHS:]) if lake.exists(name) else ()
    if not months:
        return QuarantineNotes(feed.name, now)
    con.execute("SET TimeZone = 'UTC'")
    rows = lake.relation(con, name, months)
    counts = rows.aggregate('station, "column", rule, count(*) AS many, max(time)', 'station, "column", rule')
    newest = rows.select('station, time, "column", value, rule, reason').order("time DESC NULLS LAST, reason")
    return QuarantineNotes(
        feed.name,
        now,
        months,
        tuple(Refusal(*row) for row in counts.order("many DESC, rule, station").limit(MOST_RULES).fetchall()),
        tuple(Refused(*row) for row in newest.limit(EXAMPLES).fetchall()),
    )
