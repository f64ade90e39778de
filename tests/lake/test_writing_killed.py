"""kill -9 at random moments: what was committed stays whole, what was not is not there, and a re-run completes it.

A child process appends segments to raw and replaces three months of bronze at once; the parent reads all the while.
"""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from aerocast.common.months import month_span
from aerocast.lake import Lake

pytestmark = pytest.mark.e2e
RAW, BRONZE = "feed/raw", "feed/bronze"
MONTHS = ["2013-01", "2013-02", "2013-03"]
SEGMENTS = [f"segment-{i}" for i in range(400)]
ROWS = 200
KILLS = 25


def rows(month: str, mark: str) -> pa.Table:
    start = month_span(month)[0]
    return pa.table(
        {
            "station": ["A"] * ROWS,
            "time": pa.array([start + timedelta(minutes=i) for i in range(ROWS)], pa.timestamp("us", "UTC")),
            "mark": [mark] * ROWS,
            "month": [month] * ROWS,
        }
    )


def deliver(home: str, segments: list[str], started: Event | None = None) -> None:
    """The whole job from its beginning, as a re-run does it: what is there already is not written again."""
    lake = Lake(home)
    if started is not None:
        lake.append("feed/warm", rows(MONTHS[0], "warm"), str(os.getpid()))  # the engine's start takes longest
        started.set()
    for number, segment in enumerate(segments):
        if lake.append(RAW, rows(MONTHS[number % 3], segment), segment):
            lake.replace(BRONZE, pa.concat_tables([rows(month, segment) for month in MONTHS]), MONTHS)


def look(con: duckdb.DuckDBPyConnection, lake: Lake) -> int:
    """Reads both tables as anyone would; the number of segments seen. Fails on anything half written."""
    segments: dict[str, int] = {}
    if lake.exists(RAW):
        segments = dict(lake.relation(con, RAW).aggregate("mark, count(*)", "mark").fetchall())
        assert set(segments.values()) <= {ROWS}, "a segment is there once and whole, or not at all"
    if lake.exists(BRONZE):
        whole = lake.relation(con, BRONZE).aggregate("month, mark, count(*)", "month, mark").order("month").fetchall()
        assert [(month, count) for month, _, count in whole] == [(month, ROWS) for month in MONTHS]
        assert len({mark for _, mark, _ in whole}) == 1, "three months of one commit, never of two"
    return len(segments)


def test_writer_killed_at_random_moments_leaves_whole_commits(tmp_path: Path, chance: random.Random) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aerocast.lake"])
    lake, progress = Lake(tmp_path), [0]
    with duckdb.connect() as con:
        for _ in range(KILLS):
            started = context.Event()
            child = context.Process(target=deliver, args=(str(tmp_path), SEGMENTS, started))
            child.start()
            assert started.wait(60)
            wanted = progress[-1] + chance.randint(0, 5)
            while look(con, lake) < wanted:
                assert child.is_alive()
            time.sleep(chance.uniform(0.0, 0.05))
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join(30)
            assert child.exitcode == -signal.SIGKILL, "it was killed at work, not after it"
            progress.append(look(con, lake))
        done = SEGMENTS[: progress[-1] + 20]
        deliver(str(tmp_path), done)
        deliver(str(tmp_path), done)
        found = Counter(mark for (mark,) in lake.relation(con, RAW).select("mark").fetchall())
        assert found == dict.fromkeys(done, ROWS)
        assert look(con, lake) == len(done)
        orders = lake.relation(con, RAW).aggregate("mark, count(DISTINCT delivery)", "mark").fetchall()
        assert {count for _, count in orders} == {1}


def test_two_writers_killed_at_same_segments_append_each_once(tmp_path: Path, chance: random.Random) -> None:
    """Both deliver the same segments; either may die between its data files and its commit."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aerocast.lake"])
    lake = Lake(tmp_path)
    with duckdb.connect() as con:
        for _ in range(5):
            events = [context.Event() for _ in range(2)]
            children = [context.Process(target=deliver, args=(str(tmp_path), SEGMENTS, event)) for event in events]
            for child in children:
                child.start()
            assert all(event.wait(60) for event in events)
            time.sleep(chance.uniform(0.0, 0.2))
            for child in children:
                child.kill()
                child.join(30)
            seen = look(con, lake)
        deliver(str(tmp_path), SEGMENTS[: seen + 5])
        assert look(con, lake) == seen + 5
