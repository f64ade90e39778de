"""The columns of a table as Dagster shows them, and as they are stored."""

import dagster as dg
import duckdb

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.storage.home import Home
from tests.harness.graph import definitions

SHORT = {"varchar": "string", "timestamp with time zone": "timestamp"}


def shown_columns(feed: Feed, home: Home, key: dg.AssetKey) -> dict[str, str]:
    """Names and types in the column schema of an asset."""
    schema = definitions(home, feed).resolve_asset_graph().get(key).metadata["dagster/column_schema"]
    return {each.name: each.type for each in schema.columns}  # type: ignore[attr-defined]  # any value's


def stored_columns(home: Home, name: str) -> dict[str, str]:
    """Names and DuckDB's types of a table, in the words of a column schema."""
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, name)
        types = [str(each).lower() for each in rows.types]
        return {column: SHORT.get(each, each) for column, each in zip(rows.columns, types, strict=True)}
