"""The loop, closed: the world changes, errors rise, one retrain, a promotion, the running server follows, calm again.

Everything is real but the daemon: simulated readings through the door of every source, a server process, the feeder as
a process, both sensors on a real instance, their runs executed here. The feed's time is set by hand, three days a step.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import dagster as dg
import duckdb
import httpx
import pytest

from aerocast import predictions, release
from aerocast.drift import state
from aerocast.drift.state import DriftState, Heat
from aerocast.feed import Feed, SimulatedSource
from aerocast.lake import Lake
from aerocast_assets.feeds import find_feed
from tests.conftest import PROJECT
from tests.looping import DAY, HOUR, Loop, set_clock
from tests.making import check, refresh
from tests.serving.making import Server

TARGET = "temperature"
PATIENCE = 20.0
STEP = 3 * DAY
CALM, MOST, AFTER = 2, 9, 2  # steps: before the heatwave, until it is over for the loop, and watched after that


@pytest.fixture
def feed() -> Feed:
    """The heatwave as it is declared: `make demo-drift` shows the same with a daemon."""
    return find_feed("heatwave")


@dataclass
class World:
    """A feed, step by step; `seen` are the drift states after each step."""

    feed: Feed
    home: Path
    live: Loop
    retrain: Loop
    server: Server
    seen: list[DriftState] = field(default_factory=list)

    def step(self, now: datetime) -> Heat:
        """Readings up to `now` arrive, the feeder asks about each, an hour later all is examined; the sensors tick."""
        self.live.at(now - HOUR)
        self.executed(self.live)
        self.ask()
        self.live.at(now)
        self.executed(self.live)
        found = state.read(self.home, self.feed.name)
        assert found is not None
        self.seen.append(found)
        self.executed(self.retrain)
        return found.of(TARGET)

    def executed(self, loop: Loop) -> None:
        for run in loop.tick():
            assert run.success, [event.message for event in run.all_events if event.is_failure]

    def ask(self) -> None:
        """The feeder asks for every new reading and ends; then the server closes its segment of the log."""
        command = [sys.executable, "-m", "serving.feeder", "--feed", self.feed.name, "--url", self.server.url]
        fed = subprocess.run(command, cwd=PROJECT, env={**os.environ}, capture_output=True, text=True, timeout=120)
        assert fed.returncode == 0, fed.stderr
        deadline = time.monotonic() + PATIENCE
        folder = predictions.place(self.home, self.feed.name)
        while list(folder.glob("*.open")) and time.monotonic() < deadline:
            time.sleep(0.05)

    def served(self) -> str:
        """The version that answers now."""
        answer = httpx.post(f"{self.server.url}/predict", json={"feed": self.feed.name, "station": "SIM1"}).json()
        return str(answer["model"]["version"])

    def follows(self, version: str) -> bool:
        deadline = time.monotonic() + PATIENCE
        while self.served() != version and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.served() == version


def current(home: Path, feed: Feed) -> str:
    pointer = release.current(home, feed.name, TARGET)
    assert pointer is not None
    return pointer.version


@pytest.mark.timeout(900)
def test_the_world_changes_and_the_platform_heals_itself_once(
    feed: Feed, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(feed.source, SimulatedSource)
    onset = feed.source.onset
    monkeypatch.setenv("AEROCAST_LOG_SECONDS", "0.2")
    set_clock(home, feed, onset - CALM * STEP)
    assert refresh(feed, home, instance, ("2024-01", "2024-04")).success
    first = current(home, feed)
    with Server(home) as server:
        loops = Loop(feed, home, instance, sensor="live"), Loop(feed, home, instance)
        world = World(feed, home, *loops, server)
        now = onset - CALM * STEP
        for _ in range(CALM):
            now += STEP
            assert not world.step(now).hot
        assert world.retrain.runs == [], "calm is left alone"
        assert world.served() == first

        heats = []
        while len(heats) < MOST and not (heats and world.retrain.runs and not heats[-1].hot):
            now += STEP
            heats.append(world.step(now))
        assert any(heat.hot for heat in heats), "the heatwave was not noticed"
        (run,) = world.retrain.runs
        assert run.dagster_run.tags["retrain_reason"].startswith("drift temperature: SIM1: RMSE")
        second = current(home, feed)
        assert second != first, "nothing was promoted"
        assert world.follows(second), "the running server must answer with what was trained"
        assert not heats[-1].hot, "the retrain did not help"

        for _ in range(AFTER):
            now += STEP
            assert not world.step(now).hot
        assert len(world.retrain.runs) == 1, "no second retrain"
        assert heats[-1].edges == world.seen[-1].of(TARGET).edges == 1
        assert world.served() == second
        assert check(world.live.runs[-1], "temperature_retraining_helped").passed

    lineage = release.load(home, feed.name, TARGET, second).manifest.lineage
    assert lineage.since is not None
    assert abs(lineage.since - onset) < 2 * DAY, "it learned the new regime from where that began"
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, f"{feed.name}/{TARGET}/promotions").order("delivery").fetchdf()
    assert list(rows["version"]) == [first, second]
    assert rows["p_value"].iloc[1] <= feed.promotion.max_p
    worst = max(heat.rmse or 0.0 for heat in heats)
    last = world.seen[-1].of(TARGET).rmse
    assert last is not None
    assert last < worst / 2, f"errors were {worst:.2f} at their worst and are {last:.2f} now"
