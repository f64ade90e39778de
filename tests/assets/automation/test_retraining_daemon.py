"""A real daemon, killed in the middle of a retrain and started again: the edge is acted on once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import msgspec
import psutil
import pytest

from aerocast.retraining.memory import RetrainMemory
from tests import PROJECT
from tests.factories.drift import DAY, hot, set_clock, write_heat
from tests.factories.feeds import small_feed, write_readings
from tests.harness.graph import refresh
from tests.harness.waits import until

T = datetime(2024, 5, 1, tzinfo=UTC)
LIMITS = {"min_span": "P3D", "cool_down": "PT6H", "settle": "P1D"}
PATIENCE = 240.0
# The code location of the daemon: the feed of this test and nothing else.
LOCATION = """
from pathlib import Path
from tests.factories.feeds import small_feed
from tests.harness.graph import definitions
defs = definitions(Path({home!r}), small_feed(Path({readings!r}), **{changes!r}))
"""


@contextmanager
def daemon(location: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster-daemon run` over one file; whatever it started is gone afterwards."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "--python-file", str(location)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*command, "--working-directory", str(PROJECT)], stdout=out, stderr=out, cwd=PROJECT, env={**os.environ}
        )
    children: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in children:
            if child.is_running():
                child.kill()


def runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(tags={"aerocast/retrain": "small/temperature"})))


def ticks(instance: dg.DagsterInstance) -> list[dg.DagsterInstance]:
    """The sensor's finished ticks, newest first."""
    (state,) = (each for each in instance.all_instigator_state() if each.name == "small_retrain")
    found = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=100)
    return [tick for tick in found if tick.status.value in ("SKIPPED", "SUCCESS")]


def cursor(instance: dg.DagsterInstance) -> RetrainMemory:
    (state,) = (each for each in instance.all_instigator_state() if each.name == "small_retrain")
    return msgspec.json.decode(state.instigator_data.cursor, type=dict[str, RetrainMemory])["temperature"]


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="processes are killed by signal")
def test_killed_daemon_resumes_edge_once(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    readings, log = write_readings(tmp_path / "readings.csv"), tmp_path / "daemon.log"
    changes = {"end": "2024-12-01T00:00:00Z", "poll": "PT1S", "retraining": LIMITS}
    feed = small_feed(readings, **changes)
    set_clock(home, feed, T)
    assert refresh(feed, home, instance, ("2024-01", "2024-05")).success
    write_heat(home, feed, hot(T, onset=T - 10 * DAY))
    location = tmp_path / "location.py"
    location.write_text(LOCATION.format(home=str(home), readings=str(readings), changes=changes))

    with daemon(location, log) as first:
        until(lambda: bool(runs(instance)), PATIENCE, "a run on the edge")
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        first.wait()
    with daemon(location, log):
        until(lambda: runs(instance)[0].is_finished, PATIENCE, "the end of the run")
        done = time.time()
        until(lambda: sum(tick.timestamp > done for tick in ticks(instance)) >= 3, PATIENCE, "three more ticks")
    for child in children:  # the code server of the killed daemon would end by itself, half a minute later
        if child.is_running():
            child.kill()

    (run,) = runs(instance)
    assert run.status is dg.DagsterRunStatus.SUCCESS, log.read_text()
    assert run.tags["retrain_reason"].startswith("drift temperature")
    (attempt,) = cursor(instance).attempts
    assert attempt.outcome in ("promoted", "refused")
    said = str(ticks(instance)[0].skip_reason)
    assert "hot since 2024-05-01 00:00 (edge 1), but waiting until" in said
