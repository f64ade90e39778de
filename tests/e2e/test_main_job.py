"""`make run` on the real readings: killed in step after step, watched by a reader, finished, repeated, and judged.

Raw and bronze are killed two hundred times in `test_crash_doors`, replaced months in `test_crash_tables`.

One home goes through all of it, in order; the tests below look at what was seen.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.lake import Lake
from aerocast.releases import release
from tests import PROJECT

STEPS = ("silver", "windows", "temperature/candidates", "temperature/champion", "temperature/forecasts")
BEGUN = " ...\n"  # ends the line of a step that begins
TABLES = ("noaa/raw", "noaa/bronze", "noaa/quarantine", "noaa/silver", "noaa/temperature/windows")


@dataclass
class Reader:
    """Reads every table and release, as somebody else would, and keeps what it saw."""

    home: Path
    rows: dict[str, set[tuple[tuple[str, int], ...]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    looks: int = 0

    def look(self) -> None:
        lake, self.looks = Lake(self.home), self.looks + 1
        for name in TABLES:
            with duckdb.connect() as con:
                try:
                    found = lake.relation(con, name).aggregate("month, count(*)", "month").fetchall()
                except AeroCastError as error:
                    if "does not exist" not in str(error):
                        self.broken.append(str(error))
                    continue
            self.rows.setdefault(name, set()).update((tuple(row),) for row in found)
        entries = release.history(self.home, "noaa", "temperature")
        self.broken += [entry.error for entry in entries if entry.error]
        current = release.current(self.home, "noaa", "temperature")
        if current is not None:
            release.load(self.home, "noaa", "temperature", current.version)


@dataclass(frozen=True)
class Finished:
    home: Path
    killed: list[str]
    said: str  # by the runs that were killed
    reader: Reader
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]


def start(home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "AEROCAST_HOME": str(home), "DAGSTER_HOME": str(PROJECT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "run", "--verbose"],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_in(step: str, reader: Reader, moment: float) -> tuple[bool, str]:
    """SIGKILLs a run, with all its children, `moment` seconds after `step` began; whether it still lived, and what it
    said. The reader looks whenever a step begins, while it goes on.
    """
    process = start(reader.home)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.strip() == f"noaa/{step} ...":
            time.sleep(moment)
            break
        if line.endswith(BEGUN):
            reader.look()
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    reader.look()
    return alive, "".join(said)


def finish(reader: Reader) -> subprocess.CompletedProcess[str]:
    """A run to its end; the reader looks whenever a step begins, while it goes on."""
    process = start(reader.home)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.endswith(BEGUN):
            reader.look()
    return subprocess.CompletedProcess(process.args, process.wait(), "".join(said))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Finished:
    # A path that a table's reader, a database's URL or a shell may take for something else.
    home = tmp_path_factory.mktemp("main") / "month=1999-01" / "it's 100% {a,b} [x] #1 é"
    chance = random.Random(seed)
    reader = Reader(home)
    tried = {step: kill_in(step, reader, chance.uniform(0.0, 0.4)) for step in STEPS}
    first, second = finish(reader), finish(reader)
    killed = [step for step, (alive, _) in tried.items() if alive]
    return Finished(home, killed, "".join(said for _, said in tried.values()), reader, first, second)


def test_run_was_killed_in_every_step(finished: Finished) -> None:
    assert finished.killed == list(STEPS)


def test_run_completes_after_kills(finished: Finished) -> None:
    assert finished.first.returncode == 0, finished.first.stdout[-3000:]
    assert finished.said.count("was killed; continuing from what it had finished") >= 1


def test_no_partial_table_or_release_was_visible(finished: Finished) -> None:
    assert finished.reader.broken == []
    assert finished.reader.looks > 5 * len(STEPS), "it looked while things were made"
    assert set(finished.reader.rows) == set(TABLES)
    whole = {name: {(item,) for item in Lake(finished.home).rows(name).items()} for name in TABLES}
    for name in TABLES:
        assert finished.reader.rows[name] <= whole[name], f"{name}: a month was seen with other rows than at the end"


def test_readings_balance_after_kills(finished: Finished) -> None:
    rows = {name: sum(Lake(finished.home).rows(name).values()) for name in TABLES}
    assert rows["noaa/raw"] == 26_115
    assert rows["noaa/bronze"] == 26_115
    assert rows["noaa/quarantine"] == 3
    with duckdb.connect() as con:
        faults = (
            Lake(finished.home)
            .relation(con, "noaa/quarantine")
            .order('time, "column"')
            .select('"column", rule, reason')
            .fetchall()
        )
    assert [fault[:2] for fault in faults] == [("windspeed", "range"), ("dew_point", "step"), ("temperature", "step")]
    assert "1048.36 mph" in faults[0][2]
    assert "13.1 degF" in faults[2][2]


def test_summary_is_readable(finished: Finished) -> None:
    said = finished.first.stdout
    for text in ("26,115", "xgboost", "persistence", "seasonal_naive", "Promoted", "serving 0001-", "forecast for JFK"):
        assert text in said
    assert "90% interval" in said
    assert "Next: `aerocast up`" in said
    assert "Traceback" not in said


def test_second_run_reports_nothing_to_do(finished: Finished) -> None:
    assert finished.second.returncode == 0
    assert "0 computed, 14 unchanged" in finished.second.stdout


def test_champion_beats_baselines(finished: Finished) -> None:
    """Ridge on the last 24 hours of JFK reaches 1.038, 3.339 and 5.903 degF on the same span."""
    current = release.current(finished.home, "noaa", "temperature")
    assert current is not None
    metrics = release.load(finished.home, "noaa", "temperature", current.version).manifest.metrics
    jfk = metrics.stations["JFK"]
    assert jfk[1].mae < 1.038
    assert jfk[6].mae < 3.339
    assert jfk[24].mae < 5.903
    # Persistence is the better baseline at each horizon here, so skill is skill against persistence.
    for horizon, least in {1: 0.18, 6: 0.35, 24: 0.18}.items():
        assert metrics.horizons[horizon].skill > least
    assert metrics.sequence[1].skill >= 0.08


def test_manifest_is_plain_json(finished: Finished) -> None:
    current = release.current(finished.home, "noaa", "temperature")
    assert current is not None
    path = release.folder(finished.home, "noaa", "temperature") / current.version / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["lineage"]["delta_versions"].keys() == {"raw", "bronze", "silver", "windows"}
    assert {name: graph["file"] for name, graph in manifest["graphs"].items()} == {
        "station": "model.onnx",
        "sequence": "sequence.onnx",
        "trial": "trial.onnx",
    }
