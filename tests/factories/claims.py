"""Objects and feeds for tests of claims."""

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from aerocast.feed.model import Feed
from aerocast.lake import Lake


def only(feed: Feed) -> Callable[[str], Feed | None]:
    """Finds this feed, and no other."""
    return lambda name: feed if name == feed.name else None


def write_object(path: Path, hours: Sequence[int], station: str = "AAA") -> Path:
    """A Parquet file of readings, one an hour of 1 and 2 January 2024; the temperature is the hour."""
    rows = {
        "place": [station for _ in hours],
        "at": [f"2024-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z" for hour in hours],
        "t": [float(hour) for hour in hours],
    }
    pq.write_table(pa.table(rows), path)
    return path


def hours_in_raw(home: Path) -> list[int]:
    """The temperature of every row in raw, sorted: each once if each was taken once."""
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/raw").project("CAST(t AS DOUBLE)").fetchall()
    return sorted(int(row[0]) for row in rows)
