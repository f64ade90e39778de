"""Raw to windows as the assets do it, without Dagster: their pieces, their tables, their marks and edges."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from aerocast import cleaning, silver, training
from aerocast.feed import Feed
from aerocast.lake import Lake
from aerocast.lineage import config_hash
from aerocast.marks import Edges
from aerocast.units import registry
from aerocast.windows import WindowSpec
from aerocast_assets.resources import Platform
from measuring.generated import RAW
from measuring.steps import Step, measured

BRONZE, QUARANTINE, SILVER, WINDOWS = (f"bench/{layer}" for layer in ("bronze", "quarantine", "silver", "windows"))


def load(home: Path) -> None:
    """What a process does once: modules, pint's table of units."""
    registry()
    with Platform(home=str(home)).sql() as con:
        con.execute("SELECT 1")


def ours(feed: Feed, home: Path) -> list[Step]:
    """Every layer below raw, a step each."""
    lake, spec = Lake(home), WindowSpec.of(feed, feed.targets[0])
    with Platform(home=str(home)).sql() as con:
        return [
            measured("bronze, quarantine", lambda: _bronze(con, lake, feed)),
            measured("silver", lambda: _silver(con, lake, feed)),
            measured("windows", lambda: _windows(con, lake, feed, spec)),
        ]


def exported(feed: Feed, home: Path) -> Step:
    """The windowed CSV, which the step of windows writes beside the table."""
    lake, spec = Lake(home), WindowSpec.of(feed, feed.targets[0])
    with Platform(home=str(home)).sql() as con:
        return measured("windowed CSV, not compared", lambda: _csv(con, lake, feed, spec))


def _hashes(months: Sequence[str]) -> dict[str, str]:
    return {month: config_hash(month=month) for month in months}


def _bronze(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed) -> int:
    months = lake.months(RAW)
    cleaning.remake(con, lake, feed, _hashes(months), cleaning.inputs(feed, lake, months), datetime.now(UTC))
    return sum(lake.rows(BRONZE).values()) + sum(lake.rows(QUARANTINE).values())


def _silver(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed) -> int:
    span, edges = lake.span(BRONZE), _edges(feed)
    if span is None:
        raise SystemExit("no reading is clean")
    extent = silver.Extent.closed(feed, *span)
    for piece in lake.chunks(BRONZE, lake.months(BRONZE)):
        bronze = lake.relation(con, BRONZE, silver.months_read(feed, piece))
        lake.replace(SILVER, silver.build(con, feed, bronze, piece, extent), piece, _hashes(piece), edges=edges)
    return sum(lake.rows(SILVER).values())


def _edges(feed: Feed) -> Edges:
    return Edges(feed.horizons[-1] * feed.cadence, (feed.window.look_back - 1) * feed.cadence)


def _windows(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, spec: WindowSpec) -> int:
    for piece in lake.chunks(SILVER, lake.months(SILVER), training.PIECE):
        series = silver.grids(con, feed, lake.relation(con, SILVER, training.months_read(spec, piece)))
        lake.replace(WINDOWS, training.table(spec, series, piece), piece, _hashes(piece), edges=Edges())
    return sum(lake.rows(WINDOWS).values())


def _csv(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, spec: WindowSpec) -> int:
    pieces = (
        training.csv_grid(spec, grid, piece)
        for piece in lake.chunks(SILVER, lake.months(SILVER), training.PIECE)
        for grid in silver.grids(con, feed, lake.relation(con, SILVER, training.months_read(spec, piece))).values()
    )
    with tempfile.TemporaryDirectory(dir=lake.root) as folder:
        return training.write_csv(Path(folder) / "windows.csv", spec, pieces)
