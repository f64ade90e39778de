"""Raw to windows as the assets do it, without Dagster: their pieces, their tables, their marks and edges."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from aerocast.common.units import registry
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables import silver, training
from aerocast.tables.layers import layers_called
from aerocast_assets.resources import Platform
from measuring.steps import Step, measured

BRONZE, QUARANTINE, SILVER = (f"bench/{layer}" for layer in ("bronze", "quarantine", "silver"))


def load(home: Path) -> None:
    """What a process does once: modules, pint's table of units."""
    registry()
    with Platform(home=str(home)).sql() as con:
        con.execute("SELECT 1")


def ours(feed: Feed, home: Path) -> list[Step]:
    """Every layer below raw, a step each."""
    lake = Lake(home)
    with Platform(home=str(home)).sql() as con:
        return [
            measured("bronze, quarantine", lambda: _refresh(con, lake, feed, "bronze", BRONZE, QUARANTINE)),
            measured("silver", lambda: _refresh(con, lake, feed, "silver", SILVER)),
            measured("windows", lambda: _refresh(con, lake, feed, "windows", f"bench/{feed.targets[0]}/windows")),
        ]


def exported(feed: Feed, home: Path) -> Step:
    """The windowed CSV, which the step of windows writes beside the table."""
    lake, spec = Lake(home), WindowSpec.of(feed, feed.targets[0])
    with Platform(home=str(home)).sql() as con:
        return measured("windowed CSV, not compared", lambda: _csv(con, lake, feed, spec))


def _refresh(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, name: str, *tables: str) -> int:
    """Makes every month of the layer, as its asset does; the rows of these tables."""
    (layer,) = layers_called(feed, name)
    months = lake.months(layer.source)
    facts = layer.observe(con, lake, months, datetime.now(UTC))
    if facts is None:
        raise SystemExit("no reading is clean")
    layer.refresh(con, lake, months, facts)
    return sum(sum(lake.rows(table).values()) for table in tables)


def _csv(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, spec: WindowSpec) -> int:
    pieces = (
        training.csv_grid(spec, grid, piece)
        for piece in lake.chunks(SILVER, lake.months(SILVER), training.PIECE)
        for grid in silver.grids(con, feed, lake.relation(con, SILVER, training.source_months(spec, piece))).values()
    )
    with tempfile.TemporaryDirectory(dir=lake.root) as folder:
        return training.write_csv(Path(folder) / "windows.csv", spec, pieces)
