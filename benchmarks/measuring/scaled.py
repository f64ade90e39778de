"""Readings at many times the size of the recorded feed, and three ways to a clean hourly grid of them.

`ours` is what the assets do, without Dagster: source to raw, bronze, silver and windows, through the lake, in the
assets' pieces. `by_duckdb` and `by_pandas` are scripts by hand from the same CSV to a Parquet file of the cleaned
hourly grid: duplicates, unknown stations and values outside their range out, units, hourly means, gaps filled. They
keep no raw table, no quarantine, no spread, no ages, look for no impossible steps and make no windows.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from aerocast.feed import Column, Feed
from aerocast.sources.csv import locate
from aerocast.sql import literal, quoted
from aerocast.units import conversion
from aerocast_assets.feeds import find_feed
from measuring.processes import peak_mib, reset_peak

if TYPE_CHECKING:
    from aerocast.lake import Lake

GRID = "clean hourly grid"


class Step(NamedTuple):
    """What one step of a way did: rows that came out, seconds, and the most memory (RSS) meanwhile."""

    name: str
    rows: int
    seconds: float
    mib: float


def scaled_feed(years: int, groups: int, path: Path, name: str = "noaa") -> Feed:
    """The feed with `years` times its span and `groups` times its stations, read from `path`."""
    feed = find_feed(name)
    source = feed.source.model_copy(update={"path": str(path), "package": None})
    stations = tuple(
        station.model_copy(update={"id": renamed(station.id, group)})
        for group in range(groups)
        for station in feed.stations
    )
    start = feed.start.replace(year=feed.start.year - years + 1)
    return feed.model_copy(update={"source": source, "stations": stations, "start": start})


def renamed(station: str, group: int) -> str:
    """A copy's station id; the first group keeps its own."""
    return f"{station}-{group}" if group else station


def write(years: int, groups: int, path: Path, name: str = "noaa") -> int:
    """Writes the feed's CSV repeated in earlier years and at further stations; the number of readings."""
    feed = find_feed(name)
    station, moment, year = quoted(feed.source.station_field), quoted(feed.source.time_field), feed.start.year
    with duckdb.connect() as con:
        con.execute(f"""
            COPY (
                SELECT s.* REPLACE (
                    {station} || CASE WHEN g = 0 THEN '' ELSE '-' || g END AS {station},
                    replace({moment}, '{year}-', ({year} - {years - 1} + y) || '-') AS {moment})
                FROM read_csv({literal(str(locate(feed.source)))}, all_varchar = true) s,
                    range({years}) y(y), range({groups}) g(g)
                ORDER BY y, {moment}, g
            ) TO {literal(str(path))} (HEADER)""")
        counted = con.sql(f"SELECT count(*) FROM read_csv({literal(str(path))}, all_varchar = true)").fetchall()
    return int(counted[0][0])


def measured(name: str, work: Callable[[], int]) -> Step:
    """The step of this work, which says how many rows it wrote."""
    reset_peak()
    began = time.perf_counter()
    rows = work()
    return Step(name, rows, time.perf_counter() - began, peak_mib())


def ours(feed: Feed, folder: Path, most: int) -> list[Step]:
    """Each layer in an empty home in `folder`; windows of the newest months that hold at most `most` rows."""
    from aerocast.lake import Lake

    lake = Lake(folder)
    with duckdb.connect() as con:
        return [
            measured("raw", lambda: _raw(lake, feed)),
            measured("bronze", lambda: _bronze(con, lake, feed)),
            measured("silver", lambda: _silver(con, lake, feed)),
            measured("windows", lambda: _windows(con, lake, feed, most)),
        ]


def _raw(lake: "Lake", feed: Feed) -> int:
    from aerocast.sources import read

    for delivery in read(feed.source, feed):
        lake.append("noaa/raw", delivery.table, delivery.segment, delivery.slot)
    return sum(lake.rows("noaa/raw").values())


def _bronze(con: duckdb.DuckDBPyConnection, lake: "Lake", feed: Feed) -> int:
    from aerocast.quality import clean, months_read

    for piece in lake.chunks("noaa/raw", lake.months("noaa/raw")):
        raw = lake.relation(con, "noaa/raw", months_read(feed, piece))
        cleaned = clean(con, feed, raw, piece, datetime.now(UTC))
        lake.replace("noaa/quarantine", cleaned.quarantine, piece)
        lake.replace("noaa/bronze", cleaned.bronze, piece)
    return sum(lake.rows("noaa/bronze").values())


def _silver(con: duckdb.DuckDBPyConnection, lake: "Lake", feed: Feed) -> int:
    from aerocast.silver import build, months_read

    span = lake.span("noaa/bronze")
    if span is None:
        raise SystemExit("no reading is clean")
    for piece in lake.chunks("noaa/bronze", lake.months("noaa/bronze")):
        bronze = lake.relation(con, "noaa/bronze", months_read(feed, piece))
        lake.replace("noaa/silver", build(con, feed, bronze, piece, span), piece)
    return sum(lake.rows("noaa/silver").values())


def _windows(con: duckdb.DuckDBPyConnection, lake: "Lake", feed: Feed, most: int) -> int:
    from aerocast.silver import grids
    from aerocast.training import PIECE, months_read, table
    from aerocast.windows import WindowSpec

    spec, held = WindowSpec.of(feed, feed.targets[0]), lake.rows("noaa/silver")
    for piece in lake.chunks("noaa/silver", newest(held, most), PIECE):
        series = grids(con, feed, lake.relation(con, "noaa/silver", months_read(spec, piece)))
        lake.replace("noaa/windows", table(spec, series, piece), piece)
    return sum(lake.rows("noaa/windows").values())


def newest(rows: Mapping[str, int], most: int) -> list[str]:
    """The newest months, at least one, that hold at most `most` rows together."""
    chosen, total = list[str](), 0
    for month in sorted(rows, reverse=True):
        total += rows[month]
        if chosen and total > most:
            break
        chosen.append(month)
    return sorted(chosen)


def by_duckdb(feed: Feed, folder: Path, _most: int) -> list[Step]:
    """One SQL statement from CSV to Parquet."""
    path = folder / "grid.parquet"

    def work() -> int:
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            written = con.execute(f"COPY ({_grid(feed)}) TO {literal(str(path))}").fetchall()
        return int(written[0][0])

    return [measured(GRID, work)]


def _grid(feed: Feed) -> str:
    """A select of the cleaned hourly grid, gaps filled."""
    station, moment = quoted(feed.source.station_field), quoted(feed.source.time_field)
    missing = ", ".join(map(literal, feed.source.missing))
    typed = ", ".join(
        f"try_cast(CASE WHEN {quoted(c.field)} NOT IN ({missing}) THEN {quoted(c.field)} END AS DOUBLE)"
        f" * {_factor(c)} AS {quoted(c.name)}"
        for c in feed.columns
    )
    credible = " AND ".join(
        f"coalesce({quoted(c.name)} BETWEEN {c.range[0]} AND {c.range[1]}, true)" for c in feed.columns
    )
    means = ", ".join(f"avg({quoted(c.name)}) AS {quoted(c.name)}" for c in feed.columns)
    limit = feed.gap_policy.max_steps
    frame = f"(PARTITION BY station ORDER BY hour ROWS BETWEEN {limit} PRECEDING AND CURRENT ROW)"
    filled = ", ".join(f"last_value({quoted(c.name)} IGNORE NULLS) OVER w AS {quoted(c.name)}" for c in feed.columns)
    stations = ", ".join(map(literal, feed.station_ids))
    return f"""
        WITH typed AS (
            SELECT {station} AS station, {moment}::TIMESTAMPTZ AS time, {typed}
            FROM read_csv({literal(feed.source.path)}, all_varchar = true) WHERE {station} IN ({stations})
        ), latest AS (
            SELECT * FROM typed WHERE {credible} QUALIFY row_number() OVER (PARTITION BY station, time) = 1
        ), hourly AS (SELECT station, date_trunc('hour', time) AS hour, {means} FROM latest GROUP BY ALL
        ), grid AS (
            SELECT s.station, h.hour FROM (SELECT DISTINCT station FROM hourly) s,
                (SELECT unnest(generate_series(min(hour), max(hour), INTERVAL 1 HOUR)) AS hour FROM hourly) h
        )
        SELECT station, hour, {filled} FROM grid LEFT JOIN hourly USING (station, hour) WINDOW w AS {frame}
        ORDER BY station, hour"""


def _factor(column: Column) -> str:
    factor, offset = conversion(column.source_unit, column.unit)
    return f"{factor!r} + {offset!r}"


def by_pandas(feed: Feed, folder: Path, _most: int) -> list[Step]:
    """The plain script's cleaning and grid, to Parquet."""
    import pandas as pd

    from measuring.plain import cleaned, regular

    def work() -> int:
        grids = regular(feed, cleaned(feed))
        frames = [pd.DataFrame(grid.values, columns=list(grid.columns)).assign(station=grid.station)
                  for grid in grids.values()]  # fmt: skip
        table = pd.concat(frames)
        table.to_parquet(folder / "grid.parquet")
        return len(table)

    return [measured(GRID, work)]


WAYS: dict[str, Callable[[Feed, Path, int], list[Step]]] = {"ours": ours, "duckdb": by_duckdb, "pandas": by_pandas}
