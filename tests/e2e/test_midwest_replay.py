"""A real poller's log through the HTTP door: each reading once, and its change of unit is a sensor fault.

The log re-delivers most readings many times, some out of order, and its temperature turns from degF to degC on
2026-01-27 at 23:15 without a word. The feed declares degF, and must not learn from what came after.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx
import pandas as pd
import pytest

from aerocast.contracts import declared
from aerocast.contracts.drift_state import Fault
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables import faults
from aerocast_assets.keys import key
from tests import PROJECT
from tests.harness.graph import check, metadata, refresh
from tests.harness.server import Server

DATA = Path(os.environ.get("AEROCAST_TEST_DATA", PROJECT.parent / "shared" / "data")) / "nws_stream_midwest_2025_26"
FIELDS = ("temperature", "humidity", "wind_speed", "sea_level_pressure")
CHANGED = datetime(2026, 1, 27, 23, 15, tzinfo=UTC)
POST = 60  # messages at a time

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"no test data at {DATA} (AEROCAST_TEST_DATA)")


def column(name: str, field: str, unit: str, span: list[float], **more: Any) -> dict[str, Any]:
    return {"name": name, "field": field, "source_unit": unit, "unit": unit, "range": span, **more}


def declare() -> Feed:
    """The three stations as that poller named their fields, and with the unit it had at first."""
    return Feed.parse(
        {
            "name": "replay",
            "description": "What a poller of the National Weather Service recorded.",
            "source": {"kind": "push"},
            "cadence": "PT5M",
            "seasons": ["PT1H"],
            "start": "2025-12-01T00:00:00Z",
            "end": "2026-01-29T12:00:00Z",
            "freshness": "PT6H",
            "stations": [{"id": station} for station in ("KMDW", "KMKE", "KMSN")],
            "columns": [
                column("temperature", "temperature", "degF", [-60, 130], max_step=20, label="temp"),
                column("humidity", "humidity", "percent", [0, 101]),
                column("windspeed", "wind_speed", "km/h", [0, 300], max_step=100, label="wind"),
                column("pressure", "sea_level_pressure", "hPa", [870, 1085], max_step=15),
            ],
            "targets": ["temperature"],
            "window": {"steps": 3, "columns": ["temperature"], "look_back": 12},
            "horizons": [1],
            "gap_policy": {"max_steps": 6},
            "split": {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "PT30M"},
            "candidates": {"linear": {}, "persistence": {}, "seasonal_naive": {}},
        }
    )


@dataclass(frozen=True)
class Replayed:
    """`messages` as they arrived; `first` and `again` are two rounds of the graph, up to what models are trained on."""

    feed: Feed
    home: Path
    messages: pd.DataFrame
    first: dg.ExecuteInProcessResult
    again: dg.ExecuteInProcessResult

    def rows(self, name: str) -> pd.DataFrame:
        with duckdb.connect() as con:
            return Lake(self.home).relation(con, f"replay/{name}").to_arrow_table().to_pandas()


def posts(messages: pd.DataFrame) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(messages), POST):
        part = messages.iloc[start : start + POST]
        rows = part[["station_id", "time_utc", *FIELDS]].to_dict("records")
        yield [
            {"station": row.pop("station_id"), "time": row.pop("time_utc").isoformat()}
            | {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in rows
        ]


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    home, feed = tmp_path_factory.mktemp("replay"), declare()
    messages = pd.concat([pd.read_parquet(path) for path in sorted(DATA.glob("K*_stream.parquet"))], ignore_index=True)
    messages = messages.sort_values(["file", "line"], kind="stable")
    declared.publish(home, feed)
    with Server(home) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for number, body in enumerate(posts(messages)):
            sent = client.post("/observations/replay", json=body, headers={"Idempotency-Key": f"poll-{number}"})
            assert sent.is_success, sent.text
    layers = [key(feed, name) for name in ("raw", "bronze", "silver", "windows", "evaluation")]
    layers.append(key(feed, "temperature", "training_set"))
    with dg.DagsterInstance.ephemeral() as instance:
        first = refresh(feed, home, instance, selection=layers)
        again = refresh(feed, home, instance, selection=layers)
        yield Replayed(feed, home, messages, first, again)


def test_raw_holds_every_message_and_bronze_each_reading_once(replayed: Replayed) -> None:
    sent = replayed.messages[["station_id", "time_utc"]]
    assert (len(sent), len(sent.drop_duplicates())) == (5522, 321)
    assert len(replayed.rows("raw")) == len(sent)
    kept = replayed.rows("bronze")[["station", "time"]]
    assert len(kept) == len(kept.drop_duplicates()) == 321
    assert replayed.rows("quarantine")["column"].notna().all(), "no reading was put aside as a whole"
    assert set(kept.itertuples(index=False, name=None)) == set(
        sent.drop_duplicates().itertuples(index=False, name=None)
    )


def test_changed_unit_is_sensor_fault_at_every_station(replayed: Replayed) -> None:
    with duckdb.connect() as con:
        found: tuple[Fault, ...] = faults.read_faults(con, Lake(replayed.home), "replay/faults")
    firsts = replayed.messages[replayed.messages["time_utc"] >= CHANGED].groupby("station_id")["time_utc"].min()
    assert {fault.station: (fault.column, fault.kind, fault.start, fault.end) for fault in found} == {
        station: ("temperature", "unit_change", first.to_pydatetime(), None) for station, first in firsts.items()
    }
    assert all(" degC " in fault.detail for fault in found)


def test_readings_in_degc_are_quarantined_with_reason(replayed: Replayed) -> None:
    quarantined, bronze = replayed.rows("quarantine"), replayed.rows("bronze")
    wrong = replayed.messages[replayed.messages["time_utc"] >= CHANGED].drop_duplicates(["station_id", "time_utc"])
    assert set(zip(quarantined["column"], quarantined["rule"], strict=True)) == {("temperature", "sensor_fault")}
    assert len(quarantined) == len(wrong)
    assert quarantined["reason"].str.contains("temperature of K.* is faulty").all()
    right = replayed.messages[replayed.messages["time_utc"] < CHANGED].drop_duplicates(["station_id", "time_utc"])
    sent = set(right[["station_id", "time_utc", "temperature"]].itertuples(index=False, name=None))
    believed = bronze[bronze["temperature"].notna()]
    assert set(believed[["station", "time", "temperature"]].itertuples(index=False, name=None)) == sent
    doubted = bronze[bronze["temperature"].isna()]
    assert (doubted["flags"] == "temperature=sensor_fault").all()
    others = [column.name for column in replayed.feed.columns if column.name != "temperature"]
    assert doubted[others].notna().any(axis=None), "the rest stays"


def test_no_model_was_trained_on_faulty_readings(replayed: Replayed) -> None:
    assert replayed.again.success
    windows = replayed.rows("temperature/windows")
    assert len(windows) > 0
    # Beyond the change the last good temperature is filled in, as far as the gap policy goes, and its age is known.
    assert windows["time"].max() < CHANGED + 6 * replayed.feed.cadence
    assert (windows[windows["time"] >= CHANGED]["temperature_age"] > 0).all()
    outcomes = windows[windows["y_temperature_1"].notna()]
    assert (outcomes["time"] + replayed.feed.cadence).max() < CHANGED
    own = key(replayed.feed, "windows")
    seen, left = (metadata(run, own)["dagster/row_count"] for run in (replayed.first, replayed.again))
    assert seen > left == len(windows)  # before anything was diagnosed they were among them


def test_check_reports_fault(replayed: Replayed) -> None:
    sensors = check(replayed.first, "sensors")
    assert not sensors.passed
    assert (sensors.description or "").count("temperature, unit_change") == 3
