"""Hourly rows for a table of the lake, and their delivery to raw."""

from datetime import timedelta

import pyarrow as pa

from aerocast.common.months import month_span
from aerocast.lake import Lake, fingerprints
from aerocast.lake.fingerprints import Edges

RAW, MADE = "feed/raw", "feed/made"
EDGES = Edges(timedelta(hours=2), timedelta(hours=3))


def hourly_rows(month: str, hours: list[int], value: float | None = 1.0, segment: str = "s") -> pa.Table:
    """Readings at these hours after the start of the month, or before its end where negative."""
    start, end = month_span(month)
    times = [(start if hour >= 0 else end) + timedelta(hours=hour) for hour in hours]
    return pa.table(
        {
            "station": ["A"] * len(hours),
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "value": pa.array([value] * len(hours), pa.float64()),
            "segment": pa.array([segment] * len(hours), pa.string()),
            "month": pa.array([month] * len(hours), pa.string()),
        }
    )


def append_rows(lake: Lake, month: str, hours: list[int], segment: str) -> fingerprints.MonthContent:
    lake.append(RAW, hourly_rows(month, hours, segment=segment), segment, edges=EDGES)
    return lake.ledger(RAW).content([month], EDGES)[month]
