"""A small feed of two stations and its readings; random values are seeded."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from aerocast.feed.declaration import Feed

START = datetime(2024, 1, 1, tzinfo=UTC)
STATIONS = ("AAA", "BBB")
HOURS = 24 * 121


def declaration(path: Path, **changes: Any) -> dict[str, Any]:
    """The declaration of a small feed, as in its defs.yaml, with `changes`."""
    base: dict[str, Any] = {
        "name": "small",
        "description": "Made readings of two stations.",
        "source": {"kind": "csv", "path": str(path), "station_field": "place", "time_field": "at"},
        "cadence": "PT1H",
        "seasons": ["P1D"],
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-05-01T00:00:00Z",
        "freshness": "PT6H",
        "stations": [{"id": station} for station in STATIONS],
        "columns": [
            {
                "name": "temperature", "label": "temp", "field": "t", "source_unit": "degC", "unit": "degF",
                "range": [-60, 130], "max_step": 25,
            },
            {
                "name": "windspeed", "label": "wind", "field": "w", "source_unit": "m/s", "unit": "mph",
                "range": [0, 150],
            },
            {"name": "pressure", "field": "p", "source_unit": "hPa", "unit": "hPa", "range": [870, 1085]},
        ],
        "targets": ["temperature"],
        "window": {"steps": 5, "columns": ["temperature", "windspeed", "pressure"], "look_back": 24},
        "horizons": [1, 6],
        "gap_policy": {"max_steps": 3},
        "split": {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P4D"},
        "candidates": {"linear": {}, "persistence": {}, "seasonal_naive": {}},
    }  # fmt: skip
    return {**base, **changes}


def small_feed(path: Path, **changes: Any) -> Feed:
    return Feed.parse(declaration(path, **changes))


def write_readings(path: Path, hours: int = HOURS, seed: int = 7, swing: float = 6.0) -> Path:
    """Write hourly readings in degC, m/s and hPa: a daily cycle of `swing` degC, drifting weather and three faults."""
    rng = np.random.default_rng(seed)
    rows: list[list[str]] = []
    for number, station in enumerate(STATIONS):
        hour = np.arange(hours)
        weather = np.cumsum(rng.normal(0, 0.25, hours))
        weather -= np.convolve(weather, np.ones(240) / 240, mode="same")
        level = 10 + swing * np.sin(2 * np.pi * (hour - 9 - number) / 24) + weather
        wind = np.abs(rng.normal(4, 2, hours))
        pressure = 1013 + np.cumsum(rng.normal(0, 0.1, hours)) % 20
        for at in range(hours):
            time = (START + timedelta(hours=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
            gone = "" if rng.random() < 0.02 else f"{pressure[at]:.1f}"
            rows.append([station, time, f"{level[at]:.2f}", f"{wind[at]:.2f}", gone])
    rows[500][3] = "470.0"  # a wind that no anemometer survives
    rows[900][2] = "-40.0"  # an impossible step down and back
    rows.insert(1200, rows[1200])  # delivered twice
    return write_rows(path, rows)


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["place", "at", "t", "w", "p"])
        writer.writerows(rows)
    return path
