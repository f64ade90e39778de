"""Generated readings by the million, in raw's schema: what a busy `midwest` would have delivered.

The declared feed with its four columns, at more stations and in more years: a reading a station every 5 minutes, each
column with its seasons and its noise, as text. One in a hundred is missing, and each station is silent for ten hours a
month. About 2 % come again in a later delivery: a temperature that is corrected, for half of them no wind, and, rarely,
a bad value in the place of a good one. Of 100,000 readings about 20 have a temperature outside its range, 10 one that
is no number, 20 a spike, and 20 a negative wind. Every value is a function of its station and its instant, and of
whether it came again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from aerocast.common.months import month_of, month_span
from aerocast.common.sql import literal
from aerocast.feed.declaration import Feed
from aerocast.feed.station import Station
from aerocast.lake import Lake
from aerocast.tables.raw import raw_schema
from aerocast_assets.feeds import find_feed

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
RAW = "bench/raw"


class Size(NamedTuple):
    """So many stations over so many years."""

    stations: int
    years: float

    @property
    def name(self) -> str:
        return f"{self.stations} stations, {self.years:g} year{'s' * (self.years != 1)}"


SIZES = {1: Size(5, 2), 10: Size(16, 6), 100: Size(50, 19)}


def generated_feed(size: Size, start: datetime = FIRST) -> Feed:
    """`midwest` with its stations repeated, a little further west each time, under the name of its tables."""
    feed = find_feed("midwest")
    stations = tuple(_station(feed, number) for number in range(size.stations))
    changed = {
        "name": RAW.split("/")[0],
        "stations": stations,
        "start": start,
        "end": start + timedelta(days=round(365 * size.years, 3)),
    }
    return feed.model_copy(update=changed)


def _station(feed: Feed, number: int) -> Station:
    group, at = divmod(number, len(feed.stations))
    known = feed.stations[at]
    moved = {"id": f"{known.id}_{group}", "longitude": round((known.longitude or 0.0) - 0.1 * group, 4)}
    return known.model_copy(update=moved) if group else known


def generate(lake: Lake, feed: Feed) -> int:
    """Appends the feed's readings to raw, each month's in two deliveries; how many there are."""
    start = feed.start
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        while feed.end and start < feed.end:
            month = month_of(start)
            for table, segment in _deliveries(con, feed, month):
                lake.append(RAW, table, segment)
            start = month_span(month)[1]
    return sum(lake.rows(RAW).values())


def _deliveries(con: duckdb.DuckDBPyConnection, feed: Feed, month: str) -> Iterator[tuple[pa.Table, str]]:
    """What came in time, and what came again."""
    names = ", ".join(f'"{name}"' for name in raw_schema(feed).names)
    for again in (False, True):
        segment = f"{month}-{'again' if again else 'first'}"
        rows = con.sql(f"SELECT {names} FROM ({_readings(feed, month, segment, again)})").to_arrow_table()
        yield rows.cast(raw_schema(feed)), segment


def _readings(feed: Feed, month: str, segment: str, again: bool) -> str:
    """A select of raw's rows of one delivery."""
    low, high = month_span(month)
    first, last = max(low, feed.start), min(high, feed.end or high)
    stations = ", ".join(f"({literal(station)}, {number})" for number, station in enumerate(feed.station_ids))
    # A hash of station and instant makes noise that is the same however the rows are made.
    noise = {bits: f"(((h >> {bits}) & 1023) / 1023.0 - 0.5)" for bits in (0, 10, 20, 30)}
    bad = f"CASE WHEN rare < 20 {'OR rare BETWEEN 70 AND 89' if again else ''} THEN '99.9' WHEN rare < 30 THEN 'error'"
    spike = f"CASE WHEN rare BETWEEN 30 AND 49 {'OR rare BETWEEN 90 AND 109' if again else ''} THEN 20 ELSE 0 END"
    calm = "WHEN h % 100 = 9 THEN NULL" if again else ""
    corrected = "0.1" if again else "0.0"
    temperature = (
        f"11 + n % 7 + 12 * sin(day * 0.0172 - 1.8) + 5 * sin(turn - 2.4) + {noise[0]} + {spike} + {corrected}"
    )
    return f"""
        SELECT station, make_timestamptz(sec * 1000000) AS time,
            strftime(make_timestamp(sec * 1000000), '%Y-%m-%dT%H:%M:%SZ') AS time_text, 'generated' AS source,
            {literal(segment)} AS segment, NULL::VARCHAR AS flags,
            {bad} WHEN h % 100 = 7 THEN '' ELSE round({temperature}, 1)::VARCHAR END AS temperature,
            round(65 - 18 * sin(turn - 2.4) + 8 * {noise[10]}, 1)::VARCHAR AS "relativeHumidity",
            CASE WHEN rare BETWEEN 50 AND 69 THEN '-3.0' {calm}
                ELSE round(abs(14 + 6 * sin(day * 0.9 + n) + 9 * {noise[20]}), 1)::VARCHAR END AS "windSpeed",
            CASE WHEN h % 97 = 3 THEN NULL WHEN h % 997 = 4 THEN 'N/A'
                ELSE round(1014 + 9 * sin(day * 0.7 + n * 0.1) + {noise[30]}, 1)::VARCHAR END AS "barometricPressure",
            row_number() OVER () - 1 AS line, {literal(month)} AS month
        FROM (
            SELECT station, n, sec, sec / 86400.0 AS day, sec % 86400 / 86400.0 * 6.283185307 AS turn,
                hash(n, sec) AS h, (h >> 44) % 100000 AS rare
            FROM (VALUES {stations}) s(station, n),
                range({int(first.timestamp())}, {int(last.timestamp())}, 300) r(sec))
        WHERE h % 101 <> 5 AND (sec // 36000) % 73 <> n % 73 {"AND h % 50 = 9" if again else ""}
        ORDER BY sec, n"""


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
