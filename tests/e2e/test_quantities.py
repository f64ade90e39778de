"""Energy, a meter's total and a gas through the whole graph: what is trained on, served and judged adds up."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx
import numpy as np
import pytest

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast_assets.keys import key
from tests.factories.drift import set_clock
from tests.factories.feeds import START, small_feed
from tests.harness.graph import refresh
from tests.harness.server import Server

pytestmark = pytest.mark.e2e  # a training, runs of the asset graph and a server

DAYS = 80
HALF = timedelta(minutes=30)
NOW = START + timedelta(days=DAYS)
COLUMNS = [
    {
        "name": "energy", "field": "kwh", "source_unit": "kWh", "unit": "kWh", "range": [0, 50], "quantity": "sum",
        "non_negative": True, "gap": "none",
    },
    {
        "name": "used", "field": "meter", "source_unit": "Wh", "unit": "kWh", "range": [0, 1e7], "quantity": "counter",
        "max_step": 50, "gap": "interpolate",
    },
    {"name": "no2", "field": "no2", "source_unit": "ppb", "unit": "µg/m³", "gas": "NO2", "range": [0, 500]},
]  # fmt: skip


def energy() -> np.ndarray:
    """Half-hourly kWh of one station: nothing at night, up to 3 at noon."""
    half_hour = np.arange(DAYS * 48)
    day = np.maximum(np.sin(2 * np.pi * (half_hour - 12) / 48), 0)
    return np.round(day * (3 + np.random.default_rng(3).normal(0, 0.2, len(day))), 2)


def write(path: Path) -> Path:
    """Readings of two stations; the second one's meter is exchanged in the middle, and one half-hour is lost."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["place", "at", "kwh", "meter", "no2"])
        for station, scale in (("AAA", 1.0), ("BBB", 2.0)):
            kwh = energy() * scale
            totals = 5e6 + 1000 * np.cumsum(kwh)
            if station == "BBB":
                totals[DAYS * 24 :] -= totals[DAYS * 24] - 1e5
            for at, (own, total) in enumerate(zip(kwh, totals, strict=True)):
                if station == "AAA" or at != 480:
                    time = (START + at * HALF).strftime("%Y-%m-%dT%H:%M:%SZ")
                    writer.writerow([station, time, f"{own:.2f}", f"{total:.0f}", "20"])
    return path


@pytest.fixture
def fed(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> Feed:
    feed = small_feed(
        write(tmp_path / "readings.csv"),
        columns=COLUMNS,
        targets=["energy"],
        window={"steps": 5, "columns": ["energy"], "look_back": 24},
        end=f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
        split={"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P2D"},
        promotion={"min_skill": -9},  # nothing at night is what seasonal naive says, too
    )
    set_clock(home, feed, NOW)
    assert refresh(feed, home, instance).success
    return feed


def silver(home: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        return Lake(home).relation(con, "small/silver").order("station, time").to_arrow_table().to_pylist()


def test_energy_is_trained_on_served_and_judged_as_sum(fed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    hourly = energy().reshape(-1, 2).sum(axis=1)
    rows = silver(home)
    first, second = ([row for row in rows if row["station"] == station] for station in ("AAA", "BBB"))
    assert [row["energy"] for row in first] == pytest.approx(hourly.tolist())
    lost = second[240]
    assert (lost["energy"], lost["energy_age"], lost["energy_count"]) == (None, None, 1)
    used = [row["used"] for row in second if row["used_age"] == 0]
    assert len(used) == len(second) - 2, "the first step, and that of the exchange"
    assert sum(used) == pytest.approx(2 * hourly[1:].sum(), rel=0.01)
    assert {round(row["no2"], 2) for row in rows} == {38.25}
    with Server(home) as server:
        answer = httpx.post(server.url + "/predict", json={"station": "AAA"}, timeout=60).json()
    assert not answer["degraded"]
    assert all(each["lower"] >= 0 for each in answer["forecasts"])
    noon = next(each for each in answer["forecasts"] if each["horizon"] == 6)
    assert abs(noon["value"] - hourly[-24 + 5]) < 1.5
    assert refresh(fed, home, instance, ["2024-03"], [key(fed, "evaluation")]).success
