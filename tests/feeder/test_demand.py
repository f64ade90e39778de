"""Made readings of demand: their shape, and that they reach a server."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import declared
from aerocast.ingest.channels.observations import HttpChannel
from aerocast_assets.feeds import find_feed
from feeder.demand import CADENCE, ZONE, readings
from tests.harness.server import Server

START = datetime(2014, 3, 3, tzinfo=ZONE).astimezone(UTC)  # a Monday
DAY = timedelta(days=1)


@given(st.integers(0, 5), st.integers(0, 60_000), st.integers(0, 40), st.integers(0, 40))
def test_reading_depends_on_seed_and_instant_alone(seed: int, at: int, early: int, late: int) -> None:
    place = START + at * CADENCE
    whole = list(readings(place - early * CADENCE, place + (late + 1) * CADENCE, "VIC", seed))
    assert len(whole) == early + late + 1
    assert list(readings(place, place + CADENCE, "VIC", seed)) == [whole[early]]


@pytest.mark.parametrize("seed", [0, 7])
def test_days_and_weeks_have_a_shape_within_the_rules(seed: int) -> None:
    rows = [*readings(START, START + 52 * 7 * DAY, "VIC", seed)]
    local = [datetime.fromisoformat(row["time"]).astimezone(ZONE) for row in rows]
    power = [row["Demand"] for row in rows]

    def average(days: range, hours: range) -> float:
        return mean(
            value for value, time in zip(power, local, strict=True) if time.weekday() in days and time.hour in hours
        )

    assert average(range(5), range(24)) > 1.05 * average(range(5, 7), range(24))
    assert average(range(5), range(17, 20)) > average(range(5), range(7, 10)) > 1.1 * average(range(5), range(2, 5))
    demand, temperature = find_feed("demand").columns
    for column in (demand, temperature):
        values, (low, high) = [row[column.field] for row in rows], column.range
        assert low <= min(values) < max(values) <= high
        assert max(abs(after - before) for before, after in pairwise(values)) < (column.max_step or 0)


def test_other_seed_gives_other_readings() -> None:
    first, second = (list(readings(START, START + DAY, "VIC", seed)) for seed in (1, 2))
    assert [row["Demand"] for row in first] != [row["Demand"] for row in second]


def test_readings_reach_a_server_each_once(tmp_path: Path) -> None:
    feed = find_feed("demand")
    declared.publish(tmp_path, feed)
    span = ["--since", "2014-12-01T00:10:00Z", "--until", "2014-12-08", "--speed", "2e5"]
    with Server(tmp_path) as server:
        command = [sys.executable, "-m", "feeder.demand", *span, "--url", server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    rows = [row for batch in HttpChannel(tmp_path, "demand").take(feed) for row in batch.table.to_pylist()]
    times = [row["time"] for row in rows]
    first = datetime(2014, 12, 1, 0, 30, tzinfo=UTC)
    assert times == [first + at * CADENCE for at in range(7 * 48 - 1)]
    assert done.stdout == f"posted {len(times)} readings of demand\n"
    assert all(float(row["Demand"]) > 0 for row in rows)


@pytest.mark.parametrize("option", [["--speed", "0"], ["--since", "noon"], ["--seed", "-1"]])
def test_options_that_make_no_sense_are_refused(option: list[str]) -> None:
    command = [sys.executable, "-m", "feeder.demand", "--since", "2014-12-01", "--until", "2014-12-02", *option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert option[0] in done.stderr


def test_server_that_is_not_there_is_a_sentence() -> None:
    command = [sys.executable, "-m", "feeder.demand", "--since", "2014-12-01", "--until", "2014-12-02"]
    done = subprocess.run([*command, "--url", "http://127.0.0.1:9"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "no server answers" in done.stderr
