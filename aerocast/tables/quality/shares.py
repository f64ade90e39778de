"""How much of what stations report can be believed, column by column: the shares that are missing or in quarantine."""

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

import duckdb

from aerocast.common.sql import literal, quoted
from aerocast.feed.model import Feed

_MICROSECOND = timedelta(microseconds=1)
READINGS = "readings"  # in the place of a column: whole readings
NOWHERE = "no declared station"


class QuarantineShare(NamedTuple):
    """Of `of` steps at which a station reported anything, those without a believed value of `column`.

    In `quarantined` of them a value came and failed a rule, in `missing` none came. With `READINGS` as the column:
    of `of` readings, those that are in quarantine as wholes. `limit` is what is usual (`columns.max_missing`).
    """

    station: str
    column: str
    of: int
    missing: int
    quarantined: int
    limit: float

    @property
    def share(self) -> float:
        return (self.missing + self.quarantined) / self.of if self.of else 0.0

    def __str__(self) -> str:
        if self.column == READINGS:
            return f"{self.station}: {self.quarantined:,} of {self.of:,} readings ({self.share:.0%}) are in quarantine"
        parts = [(self.missing, "not measured"), (self.quarantined, "in quarantine")]
        told = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        return f"{self.station}: {self.column} is lacking in {self.share:.0%} of {self.of:,} steps ({told})"


def shares(
    con: duckdb.DuckDBPyConnection, feed: Feed, bronze: duckdb.DuckDBPyRelation, quarantine: duckdb.DuckDBPyRelation
) -> list[QuarantineShare]:
    """A share a (station, column), and one a station for its whole readings, over the same months of two relations."""
    con.execute("SET TimeZone = 'UTC'")
    bronze.create_view("shares_bronze", replace=True)
    quarantine.create_view("shares_quarantine", replace=True)
    step = f"epoch_us(time) // {feed.cadence // _MICROSECOND}"
    counts = ", ".join(f"count({quoted(column.name)}) AS n{i}" for i, column in enumerate(feed.columns))
    con.execute(f"CREATE OR REPLACE TEMP TABLE shares_steps AS {_steps(step, counts)}")
    found = []
    for i, column in enumerate(feed.columns):
        limit = _usual(feed) if column.max_missing is None else column.max_missing
        rows = con.execute(f"""
            SELECT station, count(*), count(*) FILTER (n{i} = 0 AND q.step IS NULL),
                count(*) FILTER (n{i} = 0 AND q.step IS NOT NULL)
            FROM shares_steps LEFT JOIN (
                SELECT DISTINCT station, {step} AS step FROM shares_quarantine
                WHERE "column" = {literal(column.name)}) q USING (station, step)
            GROUP BY station ORDER BY station""").fetchall()
        found += [QuarantineShare(row[0], column.name, row[1], row[2], row[3], limit) for row in rows]
    return found + _whole(con, feed)


def together(parts: Iterable[list[QuarantineShare]]) -> list[QuarantineShare]:
    """Shares of several spans as those of all of them."""
    sums: dict[tuple[str, str], QuarantineShare] = {}
    for each in (share for part in parts for share in part):
        known = sums.get((each.station, each.column))
        sums[each.station, each.column] = (
            each
            if known is None
            else QuarantineShare(
                each.station,
                each.column,
                known.of + each.of,
                known.missing + each.missing,
                known.quarantined + each.quarantined,
                each.limit,
            )
        )
    return list(sums.values())


def high(found: Iterable[QuarantineShare], block: float | None = None) -> list[QuarantineShare]:
    """Those above what is usual, or, if `block` is given, from there on unless that much is usual; the worst first."""
    if block is None:
        chosen = [each for each in found if each.share > each.limit]
    else:
        chosen = [each for each in found if each.share >= block and (each.limit <= block or each.share > each.limit)]
    return sorted(chosen, key=lambda each: -each.share)


def _usual(feed: Feed) -> float:
    """What is usual where nothing else is declared: never more than what blocks."""
    quality = feed.quality
    return quality.warn if quality.block is None else min(quality.warn, quality.block)


def _steps(step: str, counts: str) -> str:
    return f"SELECT station, {step} AS step, {counts} FROM shares_bronze GROUP BY ALL"


def _whole(con: duckdb.DuckDBPyConnection, feed: Feed) -> list[QuarantineShare]:
    """What is of no declared station, or no reading at all, is counted among the readings of all."""
    stations = ", ".join(map(literal, feed.station_ids))
    rows = con.execute(f"""
        SELECT CASE WHEN station IN ({stations}) THEN station ELSE '{NOWHERE}' END AS place, count(*),
            count(*) FILTER (apart), sum(count(*)) OVER () AS everywhere
        FROM (SELECT station, false AS apart FROM shares_bronze
            UNION ALL SELECT station, true FROM shares_quarantine WHERE "column" IS NULL)
        GROUP BY place ORDER BY place""").fetchall()
    return [
        QuarantineShare(place, READINGS, int(everywhere if place == NOWHERE else of), 0, apart, _usual(feed))
        for place, of, apart, everywhere in rows
    ]
