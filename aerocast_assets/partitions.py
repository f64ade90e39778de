"""Which months a step must compute, and which months of the layer above a month is a function of."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aerocast.words import count

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.lake import Lake


def out_of_date(lake: "Lake", source: str, name: str, hashes: Mapping[str, str], *, force: bool) -> list[str]:
    """The months whose stored rows were not computed from exactly this, oldest first.

    A month is left as it is once its retention has removed it here, or the rows of table `source` that it is made of.
    """
    frozen = lake.gone(source) | lake.gone(name)
    return sorted(month for month in (hashes if force else lake.stale(name, hashes)) if month not in frozen)


def newest(con: "DuckDBPyConnection", lake: "Lake", raw: str, months: Sequence[str]) -> dict[str, datetime]:
    """The newest reading of each month of raw that has one: what a live source need not deliver again."""
    if not lake.exists(raw):
        return {}
    rows = lake.relation(con, raw, months).filter("time IS NOT NULL").aggregate("month, max(time) AS time", "month")
    return {month: time.astimezone(UTC) for month, time in rows.fetchall()}


def computed(stale: Sequence[str], partitions: Sequence[str]) -> str:
    """What people read: how much of a step's work there was."""
    if not stale:
        return f"unchanged: {count(len(partitions), 'month')} up to date"
    return f"computed {len(stale)} of {len(partitions)} months, {len(partitions) - len(stale)} unchanged"
