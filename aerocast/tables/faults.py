"""Sensor faults as a table, and which of them concern the readings of a month.

`<feed>/faults` holds every diagnosed fault, open or over; evaluation replaces it as a whole. If a fault is withdrawn,
its readings come back.
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


def read_faults(con: duckdb.DuckDBPyConnection, lake: LakeReader, name: str) -> tuple[Fault, ...]:
    """The faults in table `name`, oldest first; none without a table."""
    if not lake.exists(name):
        return ()
    rows = lake.relation(con, name).order('station, start, "column", kind').to_arrow_table().to_pylist()
    return tuple(msgspec.convert(row, Fault) for row in rows)


def to_table(faults: Iterable[Fault]) -> pa.Table:
    """The faults as a table to be stored."""
    import pyarrow as pa

    time, text = pa.timestamp("us", "UTC"), pa.string()
    names = {"station": text, "column": text, "kind": text, "start": time, "end": time, "detail": text}
    return pa.Table.from_pylist([msgspec.structs.asdict(fault) for fault in faults], pa.schema(list(names.items())))


def relevant_faults(faults: Iterable[Fault], month: str, reach: timedelta = timedelta(0)) -> list[list[str | None]]:
    """The faults of readings in a month or within `reach` of it, as texts in a fixed order."""
    first, end = month_span(month)
    texts = [
        [fault.station, fault.column, fault.kind, fault.start.isoformat(), fault.end.isoformat() if fault.end else None]
        for fault in faults
        if fault.start < end + reach and (fault.end is None or fault.end > first - reach)
    ]
    return sorted(texts, key=str)
