"""A wide file of a market, with ids that people use, becomes a served release by its declaration alone."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from tests.harness.graph import champion_version, first_run

pytestmark = pytest.mark.e2e
STATIONS = ["Nürnberg Süd (2)", "06610", "sensor.roof"]


def wide_file(path: Path, days: int) -> Path:
    """Hour-ending loads of three stations in local time, with decimal commas, in UTF-16."""
    lines = ["Bericht", ";".join(["Tag", "Stunde", *STATIONS])]
    for hour in range(24 * days):
        day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        loads = [100 + 10 * at + 20 * math.sin(hour / 24 * 2 * math.pi) + hour % 7 for at in range(len(STATIONS))]
        lines.append(
            ";".join([f"{day:%d.%m.%Y}", str(day.hour + 1), *(f"{load:.2f}".replace(".", ",") for load in loads)])
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-16")
    return path


def test_wide_file_with_odd_ids_is_served(tmp_path: Path) -> None:
    source = {
        "kind": "csv",
        "path": str(wide_file(tmp_path / "loads.csv", 80)),
        "wide": "{station}",
        "time_field": ["Tag", "Stunde"],
        "time_format": "%d.%m.%Y %H",
        "time_marks": "hour_ending",
        "timezone": "Etc/GMT-1",
        "format": {"delimiter": ";", "decimal": ",", "encoding": "utf-16", "skip": 1},
    }
    feed = Feed.parse(
        {
            "name": "market",
            "description": "Loads of a market.",
            "source": source,
            "cadence": "PT1H",
            "seasons": ["P1D"],
            "start": "2023-12-31T23:00:00Z",
            "end": "2024-03-20T23:00:00Z",
            "freshness": "P1D",
            "stations": [{"id": each} for each in STATIONS],
            "columns": [{"name": "load", "field": "MW", "source_unit": "MW", "unit": "MW", "range": [0, 1000]}],
            "targets": ["load"],
            "window": {"steps": 5, "columns": ["load"], "look_back": 24},
            "horizons": [1, 3],
            "gap_policy": {"max_steps": 3},
            "split": {"block": "P2D"},
            "candidates": {"linear": {}, "xgboost": {}, "persistence": {}, "seasonal_naive": {}},
        }
    )
    home = tmp_path / "home"
    first_run(home, feed)
    assert champion_version(home, "market", "load")
    with duckdb.connect() as con:
        bronze = Lake(home).relation(con, "market/bronze")
        assert set(bronze.aggregate("station, count(*)", "station").fetchall()) == {
            (each, 24 * 80) for each in STATIONS
        }
