"""A live feed with many readings a step, through the real graph and the real server, asked within a step."""

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
from aerocast.lake.fingerprints import MonthContent
from aerocast.storage.home import Home
from aerocast_assets.automation import live
from tests.factories.drift import set_clock
from tests.factories.feeds import START, small_feed, write_rows
from tests.harness.graph import refresh
from tests.harness.loop import LiveLoop
from tests.harness.server import Server

pytestmark = pytest.mark.e2e  # whole loops of the asset graph and a server

DAYS = 40
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOW = START + DAYS * timedelta(days=1)  # an hour begins
LAYERS = ("silver", "temperature/windows")


def write(path: Path, minutes: int) -> Path:
    """Readings each five minutes up to so many minutes after NOW: temperatures that rise and fall within an hour."""
    at = np.arange(0, DAYS * 1440 + minutes + 1, 5)
    rng = np.random.default_rng(5)
    level = 10 + 6 * np.sin(2 * np.pi * at / 1440) + rng.normal(0, 0.4, DAYS * 288 + 300)[: len(at)]
    times = [(START + int(minute) * MINUTE).strftime("%Y-%m-%dT%H:%M:%SZ") for minute in at]
    return write_rows(
        path,
        [
            [name, time, f"{t:.2f}", "4.0", "1013.0"]
            for name in ("AAA", "BBB")
            for time, t in zip(times, level, strict=True)
        ],
    )


def held(home: Home) -> dict[str, dict[str, MonthContent]]:
    lake = Lake(home)
    return {name: lake.ledger(f"small/{name}").content(lake.months(f"small/{name}")) for name in LAYERS}


def ask(home: Home, log: bool = False) -> dict[str, Any]:
    """One answer of the real server; if it logs that, its log is closed with it."""
    with Server(home, settings={"AEROCAST_LOG": str(log)}) as server:
        response = httpx.post(server.url + "/predict", json={"station": "AAA"}, timeout=60)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def values(answer: dict[str, Any]) -> list[tuple[int, str, float]]:
    return [(each["horizon"], each["time"], each["value"]) for each in answer["forecasts"]]


def rows(home: Home, name: str, columns: str, where: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return Lake(home).relation(con, f"small/{name}").filter(where).select(columns).fetchall()


@pytest.fixture
def fed(tmp_path: Path, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Feed:
    """The small feed with readings each five minutes, five minutes into an hour, with a champion."""
    monkeypatch.setattr(live, "ROOM", timedelta(0))
    split = {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P2D"}
    feed = small_feed(write(tmp_path / "readings.csv", 5), poll="PT5S", split=split, freshness="PT2H")
    set_clock(home, feed, NOW + 5 * MINUTE)
    assert refresh(feed, home, instance).success
    return feed


def test_forecasts_within_step_use_whole_steps(fed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    tick, path = LiveLoop(fed, home, instance), Path(fed.source.path)
    first, before = ask(home, log=True), held(home)
    assert first["origin"] == f"{NOW - HOUR:%Y-%m-%dT%H:%M:%SZ}"
    step = {"time": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "whole": False, "readings": 2, "usual": 12.0, "fullness": 0.1667}
    assert (first["newest_step"], first["degraded"]) == (step, False)
    assert "(2 of usually 12 readings)" in first["notes"][0]

    write(path, 40)
    set_clock(home, fed, NOW + 40 * MINUTE)
    assert tick.run(tick.asks()).success
    second = ask(home)
    assert values(second) == values(first)
    assert second["newest_step"]["readings"] == 9
    assert held(home) == before, "neither training nor drift sees the step that is not over"
    issued = rows(home, "temperature/forecasts", "horizon, origin, value", "station = 'AAA'")
    assert {origin for _, origin, _ in issued} == {NOW - HOUR}
    assert [value for *_, value in sorted(issued)] == pytest.approx([value for *_, value in values(first)], abs=1e-3)
    judged = rows(home, "outcomes", "actual", f"time = TIMESTAMPTZ '{NOW}'")
    assert judged
    assert {actual for (actual,) in judged} == {None}, "an outcome of a step that is not over is not judged"

    set_clock(home, fed, NOW + HOUR + 10 * MINUTE)
    assert "every month is up to date" in tick.said(), "a station that fell silent is waited for"
    set_clock(home, fed, NOW + HOUR + fed.freshness)
    request = tick.asks()
    assert request.tags["aerocast/live"] == "readings are new in 2024-02"
    assert tick.run(request).success
    third = ask(home)
    assert third["origin"] == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    assert (third["newest_step"]["whole"], third["newest_step"]["fullness"]) == (True, 0.75)
    assert "every month is up to date" in tick.said()
