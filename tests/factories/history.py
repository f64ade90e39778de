"""Exported months of the history of predictions, as evaluation writes them."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aerocast.contracts.prediction_history import COLUMNS, Key, place

DEFAULTS: dict[str, Any] = {
    "target": "temperature",
    "station": "JFK",
    "horizon": 1,
    "origin": "2024-03-01T00:00:00Z",
    "issued_at": "2024-03-01T00:05:00.123Z",
    "forecast": 44.0,
    "lower": 40.0,
    "upper": 48.0,
    "level": 0.9,
    "actual": 41.0,
    "actual_from": "measured",
    "error": -3.0,
    "inside": "true",
    "persistence": 40.5,
    "seasonal_naive": 42.0,
    "version": "0001-00000001",
    "model": "linear",
    "shadow": "false",
    "degraded": "false",
    "reasons": "",
    "id": "a",
    "asked": 1,
}


def past(time: str, **values: Any) -> dict[str, str]:
    """A row of a file, as texts."""
    return {name: str(value) for name, value in {"time": time, **DEFAULTS, **values}.items()}


def write_months(home: Path, rows: Iterable[dict[str, str]], feed: str = "noaa") -> list[Path]:
    """Writes the rows, in their order, into the files of their months."""
    ordered = sorted(rows, key=Key.of)
    folder, paths = place(home, feed), []
    folder.mkdir(parents=True, exist_ok=True)
    for month in sorted({row["time"][:7] for row in ordered}):
        paths.append(folder / f"{month}.csv")
        with paths[-1].open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for row in ordered if row["time"][:7] == month)
    return paths
