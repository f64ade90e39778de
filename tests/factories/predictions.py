"""Prediction logs and silver readings with hand-set values, for tests that compute the results by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from aerocast.common.months import month_of
from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged, LoggedForecast, PostedOutcome
from aerocast.lake import Lake
from aerocast.lake.fingerprints import NO_EDGES

T0 = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
VERSION = "0001-aaaaaaaa"


def answer(
    id: str, origin: datetime | None, values: Mapping[int, float], station: str | None = "AAA", half: float = 2.0,
    **changes: Any,
) -> Logged:  # fmt: skip
    """A logged answer with `values` by horizon and intervals of `half` on either side."""
    forecasts = tuple(
        LoggedForecast(horizon, origin + horizon * HOUR if origin else None, value, value - half, value + half)
        for horizon, value in values.items()
    )
    base = Logged(
        id=id, feed="small", target="temperature", station=station, issued_at=(origin or T0) + HOUR / 2, origin=origin,
        version=VERSION, kind="linear", graph="station", shadow=False, degraded=False, reasons=(), level=0.9,
        forecasts=forecasts,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def posted_outcome(
    actual: float, id: str | None = None, horizon: int | None = None, at: datetime = T0, **more: Any
) -> PostedOutcome:
    return PostedOutcome(
        posted_at=at, feed="small", target="temperature", actual=actual, id=id, horizon=horizon, **more
    )


def segment(
    home: Path, name: str, records: Sequence[Logged | PostedOutcome], feed: str = "small", torn: bytes = b""
) -> Path:
    """Write a closed segment of the prediction log; `torn` is a last line that was cut off."""
    path = predictions.log_folder(home, feed) / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records) + torn)
    return path


def silver(
    lake: Lake,
    values: Mapping[datetime, float | None],
    station: str = "AAA",
    filled: Sequence[datetime] = (),
    mark: str = "1",
) -> None:
    """Replace the months of silver by these temperatures of one station; those at `filled` were not measured."""
    times = sorted(values)
    months = [month_of(time) for time in times]
    rows = pa.table(
        {
            "station": [station] * len(times),
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "temperature": pa.array([values[time] for time in times], pa.float64()),
            "temperature_age": pa.array([int(time in filled) for time in times], pa.int16()),
            "month": months,
        }
    )
    hashes = dict.fromkeys(sorted(set(months)), (mark * 64)[:64])
    lake.replace("small/silver", rows, sorted(hashes), hashes, edges=NO_EDGES)
