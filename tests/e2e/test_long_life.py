"""Ninety simulated days of one home: a polled feed, a daemon killed every week, and what people do to a home meanwhile.

Everything is real: a project folder with the feed's declaration, `dagster-daemon`, the server, the commands, SIGKILL.
The feed's clock stands still while a stride's readings are taken up, so that a busy machine changes nothing.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import duckdb
import httpx
import numpy as np
import psutil
import pytest
import yaml
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.releases import release
from aerocast_assets.automation.upkeep import JOB, upkeep
from aerocast_assets.keys import RETRAIN_OF
from tests import PROJECT
from tests.factories.feeds import START, declaration
from tests.harness.checkout import copy_project
from tests.harness.graph import definitions
from tests.harness.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

PACKED = PROJECT / "tests" / "data" / "home_before" / "home.tar.gz"
PACKAGES = ("aerocast", "aerocast_assets", "serving", "cli", "demo")
FIRST, LAST, STRIDE = 31, 121, 3  # days since START; the home of before ends with January
CHANGE = 45  # from that day on days swing further
DAY = timedelta(days=1)
PATIENCE = 300.0
CALM = "every month is up to date"  # what a tick says that has looked at all months
TARGET = "temperature"


def readings(stations: tuple[str, ...], first: int, last: int) -> list[str]:
    """Lines of the days from `first` to before `last`, the same whenever they are asked for."""
    hour = np.arange(first * 24, last * 24)
    lines = []
    for number, station in enumerate(stations):
        noise = np.random.default_rng([11, number]).normal(0, 0.4, (LAST + 1) * 24)[hour]
        swing = np.where(hour < CHANGE * 24, 6.0, 11.0)
        level = 10 + swing * np.sin(2 * np.pi * (hour - 9 - number) / 24) + 4 * np.sin(hour / 71) + noise
        wind = 4 + 2 * np.sin(hour / 31)
        for at, celsius, speed in zip(hour.tolist(), level, wind, strict=True):
            when = (START + timedelta(hours=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
            lines.append(f"{station},{when},{celsius:.2f},{470 if at % 251 == 0 else speed:.2f},1013.0")
    return lines


@dataclass
class Week:
    """What the home was like when it ended."""

    day: int
    served: str = ""
    size: int = 0
    deliveries: int = 0  # that raw remembers
    ticks: float = 0.0  # seconds, the median of the live sensor's


@dataclass
class Life:
    """One home and the processes around it."""

    root: Path
    chance: random.Random
    home: Path
    stations: tuple[str, ...] = ("AAA", "BBB")
    changes: dict[str, Any] = field(default_factory=dict)
    deaths: int = 0
    struck: int = 0  # runs that died with it
    held: str = ""
    weeks: list[Week] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def file(self) -> Path:
        return self.root / "readings.csv"

    @property
    def environment(self) -> dict[str, str]:
        own = {"AEROCAST_HOME": str(self.home), "DAGSTER_HOME": str(self.project), "PYTHONPATH": str(self.project)}
        return {**os.environ, **own, "HOME_BEFORE": str(self.root), "OMP_NUM_THREADS": "1", "AEROCAST_LOG_SECONDS": "1"}

    def declare(self, **changes: Any) -> Feed:
        """Writes the declaration, as a person would."""
        self.changes |= changes
        said = declaration(
            Path("$HOME_BEFORE/readings.csv"),
            **{
                "stations": [{"id": station} for station in self.stations],
                "poll": "PT1S",
                "split": {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P1D"},
                # Whether the better one wins is other tests' business: here each retrain brings a release.
                "promotion": {"min_skill": -10, "min_gain": -10, "max_p": 1},
                "retraining": {"max_age": "P20D", "min_span": "P3D", "cool_down": "PT6H", "settle": "P1D"},
                **self.changes,
            },
        )
        folder = self.project / "aerocast_assets" / "defs" / "small"
        folder.mkdir(exist_ok=True)
        text = yaml.safe_dump({"type": "aerocast_assets.component.FeedComponent", "attributes": said})
        (folder / "defs.yaml").write_text(text)
        return Feed.parse(said)

    def command(self, *arguments: str) -> str:
        """What a command of AeroCast says; it must end well."""
        made = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.project, env=self.environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
        return made.stdout

    def at(self, day: int) -> None:
        """The readings up to this day are in the file, and the feed lives there."""
        known = (clock.now(self.home, "small") - START) // DAY if clock.document(self.home, "small").read() else FIRST
        with self.file.open("a") as out:
            out.writelines(f"{line}\n" for line in readings(self.stations, known, day))
        clock.document(self.home, "small").write(clock.Clock(START + day * DAY, datetime.now(UTC), speed=0.0))

    def used(self) -> int:
        """Bytes of all files of the home."""
        return sum(each.stat().st_size for each in self.home.rglob("*") if each.is_file() and not each.is_symlink())


@contextmanager
def daemon(life: Life) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster-daemon` over the project; whatever it started is gone afterwards."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"]
    with (life.root / "daemon.log").open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=life.project, env=life.environment)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """A power cut: the process and all that it started."""
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for child in family:
            if child.is_running():
                child.kill()


def until(check: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, f"waited in vain until {what}: {log.read_text(errors='replace')[-3000:]}"
        time.sleep(0.2)


def instance_of(life: Life) -> dg.DagsterInstance:
    """The project's instance as it lies in the home now."""
    os.environ |= {"AEROCAST_HOME": str(life.home)}
    return dg.DagsterInstance.from_config(str(life.project))


def newest_tick(instance: dg.DagsterInstance, sensor: str) -> Any:
    """The sensor's newest finished tick; None before the first."""
    for state in instance.all_instigator_state():
        if state.name == sensor:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=5)
            return next((tick for tick in ticks if tick.status.value in ("SKIPPED", "SUCCESS", "FAILURE")), None)
    return None


def settled(life: Life, instance: dg.DagsterInstance, day: int, since: float) -> bool:
    """Whether all readings of the day are in bronze, nothing runs, and the live sensor sees nothing to do."""
    span = Lake(life.home).span("small/bronze")
    if span is None or span[1] < START + day * DAY - timedelta(hours=1):
        return False
    if not_finished(instance):
        return False
    tick = newest_tick(instance, "small_live")
    # A tick that only waited for a run has not looked: what that run changed may ask for another month.
    return tick is not None and tick.timestamp > since and CALM in (tick.skip_reason or "")


def settle(life: Life, instance: dg.DagsterInstance, day: int) -> None:
    since = time.time()
    until(lambda: settled(life, instance, day, since), f"day {day} was taken up", life.root / "daemon.log")


def ask(life: Life, server: Server, day: int) -> None:
    """A forecast of every station that the serving release knows."""
    serving = release.current(life.home, "small", TARGET)
    assert serving is not None
    known = release.load(life.home, "small", TARGET, serving.version).manifest.feed.stations
    newest = START + day * DAY - timedelta(hours=1)
    for station in sorted({each.id for each in known} & set(life.stations)):
        body = {"station": station}

        def fresh(body: dict[str, str] = body) -> bool:
            answer = httpx.post(f"{server.url}/predict", json=body, timeout=60)
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            return answer.is_success and datetime.fromisoformat(answer.json()["origin"]) >= newest

        until(fresh, f"{station} was forecast from day {day}", life.root / "daemon.log")
    served = httpx.get(f"{server.url}/models", timeout=60).json()
    life.weeks[-1].served = serving.version
    assert serving.version in str(served)
    httpx.get(f"{server.url}/routine-retrain-check", timeout=60).raise_for_status()


def week(life: Life, server: Server, instance: dg.DagsterInstance, day: int) -> None:
    """A day is taken up, three more come, and the power fails: in some weeks while the last readings are taken up."""
    with daemon(life) as process:
        for ahead in (0, STRIDE):
            life.at(day + ahead)
            settle(life, instance, day + ahead)
            if ahead == STRIDE and (day - FIRST) // 7 in RETRAINED:
                retrain(life, server, instance)
            ask(life, server, day + ahead)
        if (day - FIRST) // 7 in STRUCK:
            life.at(day + 7)
            until(lambda: started(instance), "a run was under way", life.root / "daemon.log")
            time.sleep(life.chance.uniform(0, 2))
        assert process.poll() is None, "it lived until then"
        life.struck += not_finished(instance)
        kill(process)
        life.deaths += 1


def retrain(life: Life, server: Server, instance: dg.DagsterInstance) -> None:
    """A person asks for one over HTTP; the server follows if it is promoted."""
    url, known = f"{server.url}/routine-retrain-check", len(instance.get_runs(RETRAINS))
    asked = httpx.post(url, json={"force": True}, timeout=60).json()
    assert asked["request"], asked

    def ended() -> bool:
        runs = instance.get_runs(RETRAINS)
        return len(runs) > known and all(run.is_finished for run in runs)

    until(ended, "the retrain had ended", life.root / "daemon.log")
    assert instance.get_runs(RETRAINS, limit=1)[0].is_success


def not_finished(instance: dg.DagsterInstance) -> int:
    return len(instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)))


def started(instance: dg.DagsterInstance) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]), limit=1))


def declaration_changed(life: Life) -> None:
    """A column goes, another one's range is narrower."""
    columns = declaration(life.file)["columns"]
    columns[1]["range"] = [0, 100]
    window = {"steps": 5, "columns": ["temperature", "windspeed"], "look_back": 24}
    life.declare(columns=columns[:2], window=window)


def station_added(life: Life) -> None:
    life.stations = ("AAA", "BBB", "CCC")
    life.declare()


def station_removed(life: Life) -> None:
    life.stations = ("AAA", "CCC")
    life.declare()


def rolled_back(life: Life) -> None:
    """To the oldest release that there is, until a person lifts it."""
    life.held = release.versions(life.home, "small", TARGET)[0]
    life.command("rollback", "--feed", "small", "--target", TARGET, "--to", life.held)


def lifted(life: Life) -> None:
    life.command("lift", "--feed", "small")


def moved(life: Life) -> None:
    away = life.home.with_name("another place")
    life.home.rename(away)
    life.home = away


def tracking_lost(life: Life) -> None:
    for each in life.home.glob("mlflow.db*"):
        each.unlink()


RETRAINS = dg.RunsFilter(tags={RETRAIN_OF: f"small/{TARGET}"})
STRUCK = (1, 4, 8, 11)  # weeks that end in the middle of a run
RETRAINED = (3, 5, 9, 11)  # weeks in which a person asks for a retrain: before, during and after the hold
EVENTS: dict[int, Callable[[Life], None]] = {
    2: declaration_changed,
    4: station_added,
    6: rolled_back,
    8: moved,
    9: tracking_lost,
    10: station_removed,
    11: lifted,
}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Life:
    """The ninety days, lived."""
    root = tmp_path_factory.mktemp("life")
    with tarfile.open(PACKED) as packed:
        packed.extractall(root, filter="data")
    made = Life(root, random.Random(seed), root / "home")
    copy_project(made.project, *PACKAGES)
    for other in (made.project / "aerocast_assets" / "defs").glob("*/defs.yaml"):
        shutil.rmtree(other.parent)
    settings = yaml.safe_load((made.project / "dagster.yaml").read_text())
    settings["run_coordinator"]["config"] = {"dequeue_interval_seconds": 1}
    settings["run_monitoring"]["poll_interval_seconds"] = 5
    (made.project / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEROCAST_HOME", str(made.home))
        live(made)
    return made


def live(life: Life) -> None:
    feed = life.declare()
    clock.document(life.home, "small").write(clock.Clock(START + FIRST * DAY, datetime.now(UTC), speed=0.0))
    for number in range((LAST - FIRST) // 7 + 1):
        day = FIRST + 7 * number
        life.weeks.append(Week(day))
        if event := EVENTS.get(number):
            event(life)
        with instance_of(life) as instance, Server(life.home) as server:
            if day + 7 <= LAST:
                week(life, server, instance, day)
            else:
                with daemon(life):
                    life.at(LAST)
                    settle(life, instance, LAST)
                    ask(life, server, LAST)
            maintained = dg.Definitions.merge(definitions(life.home, feed), upkeep(lambda: [feed]))
            assert maintained.resolve_job_def(JOB).execute_in_process(instance=instance).success
            measure(life, instance)
        print(life.weeks[-1], flush=True)


def measure(life: Life, instance: dg.DagsterInstance) -> None:
    this = life.weeks[-1]
    this.size = life.used()
    this.deliveries = len(Lake(life.home).ledger("small/raw").records)
    (state,) = (each for each in instance.all_instigator_state() if each.name == "small_live")
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=20)
    this.ticks = median(tick.end_timestamp - tick.timestamp for tick in ticks if tick.end_timestamp)


def test_books_balance_after_ninety_days(life: Life) -> None:
    """Every reading of a declared station is in bronze once, or in quarantine with its reason."""
    distinct = {tuple(line.split(",")[:2]) for line in life.file.read_text().splitlines()[1:]}
    wanted = {key for key in distinct if key[0] in life.stations}
    with duckdb.connect() as con:
        rows = Lake(life.home).relation(con, "small/bronze").select("station, time").fetchall()
    assert len(rows) == len(wanted)
    assert {(station, f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}") for station, at in rows} == wanted


def test_daemon_was_killed_every_week(life: Life) -> None:
    assert life.deaths == (LAST - FIRST) // 7
    assert life.struck > 0, "and sometimes in the middle of a run"


def test_expected_releases_serve(life: Life) -> None:
    """What a person chose while it was held; afterwards what the newest promotion says."""
    held = [each.served for number, each in enumerate(life.weeks) if 6 <= number < 11]
    assert held == [life.held] * 5, life.weeks
    before = {each.served for each in life.weeks[:6]}
    assert len(before) > 1, "a retrain within six weeks brought a release"
    assert life.weeks[-1].served not in before, "and again after the hold"
    pointer = release.current(life.home, "small", TARGET)
    assert pointer is not None
    with duckdb.connect() as con:
        rows = Lake(life.home).relation(con, f"small/{TARGET}/promotions").filter("promoted").order("delivery")
        newest = rows.select("version").fetchall()[-1][0]
    assert pointer.version == newest == life.weeks[-1].served


def test_checks_pass_at_end(life: Life) -> None:
    """Of the newest live run; the books' own check looks at every reading and value."""
    with instance_of(life) as instance:
        key = dg.AssetCheckKey(dg.AssetKey(["small", "bronze"]), "nothing_lost")
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert record.status.value == "SUCCEEDED", record


def test_disk_use_and_delivery_memory_stay_flat(life: Life) -> None:
    sizes = [each.size for each in life.weeks]
    growth = [after - before for before, after in pairwise(sizes)]
    assert median(growth[-4:]) <= 1.5 * median(growth[:4]), life.weeks
    assert sizes[-1] <= 20 * sizes[0], "it grows by days, not by all that was before them"
    assert life.weeks[-1].deliveries <= 2 * life.weeks[3].deliveries, life.weeks
