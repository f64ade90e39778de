"""`make demo-drift` as people run it: the loop with real processes until the new model serves, and then Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import duckdb
import psutil
import pytest

from aerocast import release
from aerocast.drift import state
from aerocast.lake import Lake
from aerocast_assets.keys import RETRAIN_OF
from tests.conftest import PROJECT

LIMIT = 900.0  # seconds on a machine that others use, too; a quiet one with two cores needs less than 180
CHAPTERS = ("history", "ok", "HEATWAVE BEGINS", "concept drift", "DRIFT DETECTED", "retrain started", "promoted")
LAST = "server answers"  # from here on the story only waits; how it cools is told by tests/assets/test_retraining.py

pytestmark = pytest.mark.timeout(LIMIT + 60)


def start(home: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "AEROCAST_HOME": str(home), "DAGSTER_HOME": str(PROJECT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "aerocast_assets", "demo"]
    with log.open("wb") as out:
        return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=out, stderr=out)


@dataclass(frozen=True)
class Told:
    status: int
    said: str
    home: Path
    left: list[psutil.Process]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    place = tmp_path_factory.mktemp("demo")
    process, family = start(place / "home", place / "log"), {}
    deadline = time.monotonic() + LIMIT
    try:
        while LAST not in (place / "log").read_text() and process.poll() is None and time.monotonic() < deadline:
            family |= {child.pid: child for child in psutil.Process(process.pid).children(recursive=True)}
            time.sleep(2)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
    left = psutil.wait_procs(list(family.values()), timeout=5)[1]
    return Told(process.wait(), (place / "log").read_text(), place / "home" / "demo-drift", left)


def test_every_chapter_happens_in_order(told: Told) -> None:
    assert told.status == 130, told.said[-3000:]
    places = [told.said.index(chapter) for chapter in (*CHAPTERS, LAST)]
    assert places == sorted(places), told.said
    assert "retrain_reason: drift temperature" in told.said
    assert "Traceback" not in told.said


def test_it_retrained_once_and_for_the_reason_it_says(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, pointer = state.read(told.home, "heatwave"), release.current(told.home, "heatwave", "temperature")
    assert seen is not None
    assert pointer is not None
    assert seen.of("temperature").edges == 1
    assert pointer.version.startswith("0002-")
    with duckdb.connect() as con:
        decisions = Lake(told.home).relation(con, "heatwave/temperature/promotions").order("delivery").fetchdf()
    assert list(decisions["promoted"]) == [True, True]
    assert decisions["retrain_reason"].iloc[1].startswith("drift temperature")
    assert decisions["p_value"].iloc[1] < 0.05
    monkeypatch.setenv("AEROCAST_HOME", str(told.home))
    monkeypatch.setenv("DAGSTER_HOME", str(told.home))
    with dg.DagsterInstance.get() as instance:
        assert len(instance.get_runs(dg.RunsFilter(tags={RETRAIN_OF: "heatwave/temperature"}))) == 1


def test_ctrl_c_leaves_no_process(told: Told) -> None:
    assert told.left == []
