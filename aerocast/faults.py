"""Sensor faults as the tables see them: which readings they touch, and which months were cleaned with which faults.

`<feed>/faults` holds every fault that is believed, open or over; evaluation replaces it whole. A fault that is gone
from it was withdrawn, and its readings come back. `<home>/faults/<feed>.json` says what bronze was made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aerocast.drift.state import Fault
from aerocast.lineage import config_hash
from aerocast.months import month_of, month_span
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from aerocast.lake import Lake


def read(con: duckdb.DuckDBPyConnection, lake: Lake, name: str) -> tuple[Fault, ...]:
    """The faults in table `name`, oldest first; none without a table."""
    if not lake.exists(name):
        return ()
    rows = lake.relation(con, name).order('station, start, "column", kind').to_arrow_table().to_pylist()
    return tuple(msgspec.convert(row, Fault) for row in rows)


def rows(faults: Iterable[Fault]) -> pa.Table:
    """The table as it is stored."""
    import pyarrow as pa

    time, text = pa.timestamp("us", "UTC"), pa.string()
    names = {"station": text, "column": text, "kind": text, "start": time, "end": time, "detail": text}
    return pa.Table.from_pylist([msgspec.structs.asdict(fault) for fault in faults], pa.schema(list(names.items())))


def touching(faults: Iterable[Fault], month: str, reach: timedelta = timedelta(0)) -> list[list[str | None]]:
    """What of the faults a month's readings, and those within `reach` of it, are a function of; in a fixed order."""
    first, end = month_span(month)
    found = [
        [fault.station, fault.column, fault.kind, fault.start.isoformat(), fault.end.isoformat() if fault.end else None]
        for fault in faults
        if fault.start < end + reach and (fault.end is None or fault.end > first - reach)
    ]
    return sorted(found, key=str)


def digests(faults: Sequence[Fault], upto: datetime, reach: timedelta = timedelta(0)) -> dict[str, str]:
    """Every month that begins before `upto` and that a fault, give or take `reach`, touches: a hash of what does."""
    months: set[str] = set()
    for fault in faults:
        day, last = fault.start - reach, min(fault.end + reach if fault.end else upto, upto)
        while day < last:
            months.add(month_of(day))
            day = month_span(month_of(day))[1]
    found = {month: touching(faults, month, reach) for month in sorted(months)}
    return {month: config_hash(faults=parts) for month, parts in found.items() if parts}


def applied(home: Home, feed: str) -> dict[str, str]:
    """The months that bronze was made with faults in, with the hash of those. Raises AeroCastError if unreadable."""
    return _applied(home, feed).read() or {}


def note_applied(home: Home, feed: str, months: Sequence[str], faults: Mapping[str, str]) -> None:
    """Says that these months of bronze are made with these faults (`digests`) now, after they were."""
    before = applied(home, feed)
    kept = {month: digest for month, digest in before.items() if month not in months}
    now = kept | {month: digest for month, digest in faults.items() if month in months}
    if now != before:
        _applied(home, feed).write(now)


def outdated(home: Home, feed: str, faults: Sequence[Fault], upto: datetime, reach: timedelta) -> list[str]:
    """The months of bronze that were made with other faults than these, oldest first."""
    wanted, made = digests(faults, upto, reach), applied(home, feed)
    return sorted(month for month in wanted.keys() | made.keys() if wanted.get(month) != made.get(month))


def _applied(home: Home, feed: str) -> Document[dict[str, str]]:
    return Document(store_of(Path(home)), f"faults/{feed}.json", dict[str, str], "list of faults applied")
