"""Objects that claims announce, and what raw holds of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake


def lookup_of(feed: Feed) -> Callable[[str], Feed | None]:
    """A lookup that knows this feed only."""
    return lambda name: feed if name == feed.name else None


def write_object(path: Path, hours: Sequence[int], station: str = "AAA") -> Path:
    """Write a Parquet file of hourly readings of 1 and 2 January 2024 whose temperature is the hour."""
    rows = {
        "place": [station for _ in hours],
        "at": [f"2024-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z" for hour in hours],
        "t": [float(hour) for hour in hours],
    }
    pq.write_table(pa.table(rows), path)
    return path


def hours_in_raw(home: Path) -> list[int]:
    """The temperatures of all rows in raw, sorted; a repeated value means a repeated delivery."""
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/raw").project("CAST(t AS DOUBLE)").fetchall()
    return sorted(int(row[0]) for row in rows)
