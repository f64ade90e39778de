"""Counts the share of steps, by station and column, in which values are missing or in quarantine."""

from collections.abc import Iterable
from typing import NamedTuple

import duckdb

from aerocast.common.sql import literal, quoted
from aerocast.common.times import MICROSECOND
from aerocast.feed.declaration import Feed

READINGS = "readings"  # instead of a column: whole readings
NOWHERE = "no declared station"


class QuarantineShare(NamedTuple):
    """The share of `of` steps with any report of a station that have no valid value of `column`.

    In `quarantined` of them a value came and failed a rule, in `missing` none came. With `READINGS` as the column:
    of `of` readings, those that are in quarantine as a whole. `limit` is the usual share (`columns.max_missing`).
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
        causes = ", ".join(f"{count:,} {cause}" for count, cause in parts if count)
        return f"{self.station}: {self.column} is missing in {self.share:.0%} of {self.of:,} steps ({causes})"


def shares(
    con: duckdb.DuckDBPyConnection, feed: Feed, bronze: duckdb.DuckDBPyRelation, quarantine: duckdb.DuckDBPyRelation
) -> list[QuarantineShare]:
    """The shares of each (station, column), and of each station's whole readings, from the same months of both."""
    con.execute("SET TimeZone = 'UTC'")
    bronze.create_view("shares_bronze", replace=True)
    quarantine.create_view("shares_quarantine", replace=True)
    step = f"epoch_us(time) // {feed.cadence // MICROSECOND}"
    counts = ", ".join(f"count({quoted(column.name)}) AS n{i}" for i, column in enumerate(feed.columns))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE shares_steps AS"
        f" SELECT station, {step} AS step, {counts} FROM shares_bronze GROUP BY ALL"
    )
    shares = []
    for i, column in enumerate(feed.columns):
        limit = _usual_share(feed) if column.max_missing is None else column.max_missing
        rows = con.execute(f"""
            SELECT station, count(*), count(*) FILTER (n{i} = 0 AND q.step IS NULL),
                count(*) FILTER (n{i} = 0 AND q.step IS NOT NULL)
            FROM shares_steps LEFT JOIN (
                SELECT DISTINCT station, {step} AS step FROM shares_quarantine
                WHERE "column" = {literal(column.name)}) q USING (station, step)
            GROUP BY station ORDER BY station""").fetchall()
        shares += [QuarantineShare(station, column.name, of, no, bad, limit) for station, of, no, bad in rows]
    return shares + _shares_of_readings(con, feed)


def total_shares(parts: Iterable[list[QuarantineShare]]) -> list[QuarantineShare]:
    """The shares over several spans together."""
    totals: dict[tuple[str, str], QuarantineShare] = {}
    for station, column, of, missing, quarantined, limit in (share for part in parts for share in part):
        total = totals.get((station, column), QuarantineShare(station, column, 0, 0, 0, limit))
        totals[station, column] = QuarantineShare(
            station, column, total.of + of, total.missing + missing, total.quarantined + quarantined, limit
        )
    return list(totals.values())


def shares_above(shares: Iterable[QuarantineShare], block: float | None = None) -> list[QuarantineShare]:
    """The shares above their limit, or, if given, from `block` on unless that much is usual; the highest first."""

    def is_above(each: QuarantineShare) -> bool:
        if block is None:
            return each.share > each.limit
        return each.share >= block and (each.limit <= block or each.share > each.limit)

    return sorted(filter(is_above, shares), key=lambda each: -each.share)


def _usual_share(feed: Feed) -> float:
    """The limit of columns that declare none: never more than the share that blocks."""
    quality = feed.quality
    return quality.warn if quality.block is None else min(quality.warn, quality.block)


def _shares_of_readings(con: duckdb.DuckDBPyConnection, feed: Feed) -> list[QuarantineShare]:
    """Those of no declared station, and malformed lines, are a share of the readings of all stations."""
    stations = ", ".join(map(literal, feed.station_ids))
    rows = con.execute(f"""
        SELECT CASE WHEN station IN ({stations}) THEN station ELSE '{NOWHERE}' END AS place, count(*),
            count(*) FILTER (apart), sum(count(*)) OVER () AS everywhere
        FROM (SELECT station, false AS apart FROM shares_bronze
            UNION ALL SELECT station, true FROM shares_quarantine WHERE "column" IS NULL)
        GROUP BY place ORDER BY place""").fetchall()
    return [
        QuarantineShare(place, READINGS, int(everywhere if place == NOWHERE else of), 0, apart, _usual_share(feed))
        for place, of, apart, everywhere in rows
    ]
