"""Sensor faults as the tables see them: which readings they touch.

`<feed>/faults` holds every fault that is believed, open or over; evaluation replaces it whole. A fault that is gone
from it was withdrawn, and its readings come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from aerocast.common.months import month_span
from aerocast.contracts.drift_state import Fault

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from aerocast.lake import LakeReader


def read(con: duckdb.DuckDBPyConnection, lake: LakeReader, name: str) -> tuple[Fault, ...]:
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
