"""The feeder against a real server and a real lake: what it asks and posts, where it goes on, and what it survives."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged, PostedOutcome
from aerocast.lake import Lake
from feeder.journal import Asked, Journal, Passed, Pending, Settled, State
from tests.factories.releases import COLUMNS, STATIONS, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # a client and a server as processes

START = datetime(2013, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = datetime(2013, 10, 19, tzinfo=UTC)  # where the training of `factories.releases.manifest` ends
HOURS = 18 * 24 + 60  # 60 hours beyond it


def write_silver(home: Path, hours: int = HOURS, holes: dict[tuple[str, int, int], None] | None = None) -> None:
    """Silver of three stations; `holes` (station, hour, column) were not measured and carry the last value forward."""
    time = [START + at * HOUR for at in range(hours)]
    parts = []
    for number, station in enumerate(STATIONS):
        columns: dict[str, pa.Array] = {
            "station": pa.array([station] * hours),
            "time": pa.array(time, pa.timestamp("us", "UTC")),
        }
        for index, (name, *_) in enumerate(COLUMNS):
            level = (
                50 + 10 * np.sin(np.arange(hours) / 4 + number)
                if index == 0
                else np.full(hours, 9.0 + 1006 * (index == 2))
            )
            gone = {at for held, at, column in holes or {} if (held, column) == (station, index)}
            columns[name] = pa.array(level)
            columns[f"{name}_age"] = pa.array([int(at in gone) for at in range(hours)], pa.int16())
        columns["month"] = pa.array([f"{moment:%Y-%m}" for moment in time])
        parts.append(pa.table(columns))
    months = sorted({f"{moment:%Y-%m}" for moment in time})
    Lake(home).replace("noaa/silver", pa.concat_tables(parts), months)


def command(home: Path, url: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "feeder", "--feed", "noaa", "--url", url, "--home", str(home), *arguments]


def feed(home: Path, url: str, *arguments: str) -> str:
    done = subprocess.run(command(home, url, *arguments), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def feeding(home: Path, url: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A feeder in the background, and what it says."""
    process = subprocess.Popen(command(home, url, *arguments), stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        yield process, said
    finally:
        process.kill()
        process.wait()


def records(home: Path) -> tuple[list[Logged], list[PostedOutcome]]:
    found = [predictions.read_segment(path) for path in predictions.closed_segments(home, "noaa")]
    return [one for each in found for one in each.predictions], [one for each in found for one in each.outcomes]


def state(home: Path) -> State:
    """What a feeder that stopped has left, its journal included."""
    journal = Journal(home, "noaa")
    try:
        return journal.state
    finally:
        journal.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path, 1)
    write_tail(tmp_path)
    write_silver(tmp_path)
    return tmp_path


def test_recorded_feed_is_requested_and_its_outcomes_posted(home: Path) -> None:
    with Server(home) as server:
        out = feed(home, server.url)
        assert server.process.poll() is None
    asked, posted = records(home)
    origins = [FIRST + at * HOUR for at in range(60)]
    assert sorted((one.origin, one.station) for one in asked if one.origin) == sorted(
        (origin, station) for origin in origins for station in STATIONS
    )
    assert [one.origin for one in asked] == sorted(one.origin for one in asked if one.origin), "in the order of time"
    assert all((one.graph, one.reasons) == ("sequence", ()) for one in asked), "each with a whole window"
    expected = {
        (one.id, part.horizon) for one in asked for part in one.forecasts if part.time and part.time < FIRST + 60 * HOUR
    }
    assert Counter((one.id, one.horizon) for one in posted) == Counter(dict.fromkeys(expected, 1))
    actual = {one.station: one for one in posted if one.station == "LGA"}["LGA"].actual
    assert 40 <= actual <= 60
    assert f"asked 180  posted {len(posted):,}" in out
    assert "0001-00000001: rmse" in out
    assert f"{180 * 3 - len(posted)} forecasts reach beyond the newest reading" in out


def test_forecast_uses_readings_of_its_origin(home: Path) -> None:
    """Persistence of what was measured at the origin: the sequence, its order and its station are right."""
    with Server(home) as server:
        feed(home, server.url, "--until", "2013-10-19T03:00")
    asked, _ = records(home)
    assert len(asked) == 12
    for one in asked:
        assert one.origin
        assert one.station
        hour = (one.origin - START) // HOUR
        level = 50 + 10 * np.sin(hour / 4 + STATIONS.index(one.station))
        assert one.forecasts[0].value == pytest.approx(level, abs=1e-3)
        assert one.forecasts[0].time == one.origin + HOUR


def test_restart_repeats_nothing_and_resumes(home: Path) -> None:
    with Server(home) as server:
        feed(home, server.url, "--until", "2013-10-20T00:00")
        first = logged_lines(home)
        feed(home, server.url, "--until", "2013-10-20T00:00")
        assert logged_lines(home) == first
        assert state(home).counts["asked"] == 25 * 3
        feed(home, server.url)
    asked, posted = records(home)
    assert Counter((one.origin, one.station) for one in asked).most_common(1)[0][1] == 1
    assert len(asked) == 180
    assert Counter((one.id, one.horizon) for one in posted).most_common(1)[0][1] == 1
    assert len(posted) == 180 * 3 - 3 * (1 + 6 + 24)


@pytest.mark.e2e
def test_killed_feeder_repeats_at_most_requests_in_flight(home: Path) -> None:
    kills = 0
    with Server(home) as server:
        while kills < 4:
            with feeding(home, server.url, "--rate", "60") as (process, _):
                goal = len(logged_lines(home)) + 60
                until(partial(lambda goal: len(logged_lines(home)) > goal, goal))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        feed(home, server.url)
    asked, posted = records(home)
    counted = Counter((one.origin, one.station) for one in asked)
    assert len(counted) == 180, "none was left out"
    assert len(asked) - 180 <= kills
    outcomes = Counter((one.id, one.horizon) for one in posted)
    assert max(outcomes.values()) == 1, "what is posted again by id is not taken again"
    assert len(outcomes) >= 180 * 3 - 3 * 31


def logged_lines(home: Path) -> list[str]:
    return [line for path in (home / "log/noaa").glob("*") for line in path.read_text().splitlines()]


@pytest.mark.e2e
def test_dead_server_is_awaited(home: Path) -> None:
    """It comes back on the same port without its memory of ids; then the pairs of numbers are posted."""
    with Server(home) as server, feeding(home, server.url, "--rate", "100") as (process, said):
        until(lambda: len(logged_lines(home)) > 100)
        server.process.kill()
        server.process.wait()
        until(lambda: any("no server answers" in line for line in said))
        port = server.url.rsplit(":", 1)[1]
        with Server(home, ("--port", port)):
            assert process.wait(240) == 0
    asked, posted = records(home)
    assert len({(one.origin, one.station) for one in asked}) == 180
    # An outcome that was kept, but whose answer died with the server, is posted once more: at most the one on its way.
    assert 0 <= len(posted) - (180 * 3 - 3 * 31) <= 1
    pairs = [one for one in posted if one.id is None]
    assert pairs
    assert all(one.predicted is not None and one.station in STATIONS for one in pairs)
    assert "Traceback" not in "".join(said)


def test_gaps_are_not_bridged_and_unmeasured_outcomes_not_posted(tmp_path: Path) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    hole = 18 * 24 + 10
    write_silver(tmp_path, holes={("JFK", hole, 2): None, ("LGA", hole, 0): None})
    with Server(tmp_path) as server:
        out = feed(tmp_path, server.url)
    asked, posted = records(tmp_path)
    origins = {station: {one.origin for one in asked if one.station == station} for station in STATIONS}
    moment = START + hole * HOUR
    missing = {station: {FIRST + at * HOUR for at in range(60)} - origins[station] for station in STATIONS}
    after = {moment + at * HOUR for at in range(5)}  # five whole steps make a window: the first four are too few
    assert missing == {"JFK": after, "LGA": after, "EWR": set()}
    short = next(one for one in asked if one.station == "JFK" and one.origin == moment + 5 * HOUR)
    assert short.reasons == ("short_sequence",)
    measured = {(one.id, one.horizon) for one in posted}
    gone = {
        (one.id, part.horizon)
        for one in asked
        for part in one.forecasts
        if part.time == moment and one.station == "LGA"
    }
    assert gone
    assert not gone & measured
    assert "skipped 9" in out


def test_every_target_of_feed_is_requested(home: Path) -> None:
    publish(home, 2, target="pressure")
    with Server(home) as server:
        feed(home, server.url, "--until", "2013-10-19T01:00")
        assert state(home).counts == {"asked": 12, "posted": 6}
    asked, posted = records(home)
    assert Counter(one.target for one in asked) == {"temperature": 6, "pressure": 6}
    assert Counter(one.target for one in posted) == {"temperature": 3, "pressure": 3}
    assert all(900 < one.actual < 1085 for one in posted if one.target == "pressure")


def test_new_and_late_readings_are_followed(tmp_path: Path) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    late = 18 * 24 + 29
    write_silver(tmp_path, 18 * 24 + 30, {("EWR", late, column): None for column in range(3)})
    with Server(tmp_path) as server, feeding(tmp_path, server.url, "--follow") as (process, said):
        until(lambda: state_of(tmp_path).get("asked") == 89)
        write_silver(tmp_path, 18 * 24 + 30)
        until(lambda: state_of(tmp_path).get("asked") == 90)
        write_silver(tmp_path, 18 * 24 + 40)
        until(lambda: state_of(tmp_path).get("asked") == 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(240) == 0
    asked, posted = records(tmp_path)
    assert len({(one.origin, one.station) for one in asked}) == len(asked) == 120
    assert len(posted) == len({(one.id, one.horizon) for one in posted}) == 120 * 3 - 3 * 31
    assert any("temperature rmse" in line for line in said)


def state_of(home: Path) -> Counter[str]:
    """Counts out of the files of a living feeder: what was folded, and what the journal adds."""
    counts: Counter[str] = Counter()
    path = home / "feeder/noaa.json"
    if path.exists():
        folded = msgspec.json.decode(path.read_bytes(), type=State)
        counts.update(folded.counts)
        journal = home / f"feeder/noaa.{folded.generation}.journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        counts.update(msgspec.json.decode(line)["event"] for line in lines)
    return counts


def test_absent_server_is_awaited(home: Path) -> None:
    with feeding(home, "http://127.0.0.1:9", "--follow") as (process, said):
        until(lambda: any("no server answers at http://127.0.0.1:9" in line for line in said))
        process.send_signal(signal.SIGTERM)
        assert process.wait(240) == 0
    assert "Traceback" not in "".join(said)


def refused(home: Path, url: str, *arguments: str) -> str:
    done = subprocess.run(command(home, url, *arguments), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("feeder: ")
    return line


def test_faults_raise_one_sentence(tmp_path: Path) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    with Server(tmp_path) as server:
        assert "there are no readings of noaa" in refused(tmp_path, server.url)
        assert "does not serve mars; it serves noaa" in refused(tmp_path, server.url, "--feed", "mars")
        assert "does not exist" in refused(tmp_path / "none", server.url)
        write_silver(tmp_path)
        with feeding(tmp_path, server.url, "--rate", "5"):
            until(lambda: len(logged_lines(tmp_path)) > 0)
            assert "another feeder of noaa runs" in refused(tmp_path, server.url)
        (tmp_path / "feeder/noaa.json").write_text("{")
        assert "is damaged" in refused(tmp_path, server.url)


def test_invalid_time_is_reported(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "http://127.0.0.1:9", "--since", "noon"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "'noon' is not a time" in done.stderr


def pending(name: str, hour: int) -> Pending:
    return Pending(name, "temperature", "JFK", 1, START + hour * HOUR, 50.0, "0001-00000001")


def test_journal_is_compacted_and_survives_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "noaa")
    for hour in range(10):
        journal.record(Asked("temperature", "JFK", START + hour * HOUR, "v", (pending(str(hour), hour + 1),)))
    for hour in range(8):
        journal.record(Settled(str(hour), 1, "posted"))
    journal.record(Passed("temperature", "JFK", START + 20 * HOUR, "skipped"))
    (path,) = (tmp_path / "feeder").glob("*.journal")
    journal._lock.close()  # as a kill leaves it: nothing folded, a line half written
    with path.open("ab") as stream:
        stream.write(b'{"event": "asked", "tar')
    again = Journal(tmp_path, "noaa")
    assert {one.id for one in again.pending} == {"8", "9"}
    assert again.origin("temperature", "JFK") == START + 20 * HOUR
    assert again.state.counts == {"asked": 10, "posted": 8, "skipped": 1}
    assert [one.name for one in (tmp_path / "feeder").glob("*.journal")] == [f"noaa.{again.state.generation}.journal"]
    again.close()
    assert {one.id for one in Journal(tmp_path, "noaa").pending} == {"8", "9"}


def test_long_journal_is_compacted_while_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feeder.journal.FOLD", 7)
    journal = Journal(tmp_path, "noaa")
    for hour in range(100):
        journal.record(Asked("temperature", "JFK", START + hour * HOUR, "v", (pending(str(hour), hour + 1),)))
    assert journal.state.generation > 10
    assert len(list((tmp_path / "feeder").glob("*.journal"))) == 1
    journal.close()
    found = state(tmp_path)
    assert (found.counts, len(found.pending)) == ({"asked": 100}, 100)
