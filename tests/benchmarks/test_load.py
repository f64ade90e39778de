"""`make load`: what its clients are told of a server, the past that it makes, and its verdict."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aerocast.client import Client
from aerocast.features.grid import Grid
from tests.benchmarks.conftest import BENCHMARKS
from tests.factories.releases import NAMES, STATIONS, publish, spec
from tests.factories.tails import NEWEST, write_tail
from tests.harness.server import Server


@pytest.fixture(scope="module")
def load(_scripts_on_path: None) -> ModuleType:
    found = importlib.util.spec_from_file_location("load_script", BENCHMARKS / "load" / "__main__.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def long_grid(station: str, rows: int) -> Grid:
    times = NEWEST + np.arange(1 - rows, 1) * np.timedelta64(3600, "s")
    values = np.tile(np.arange(rows, dtype=np.float32)[:, None], (1, len(NAMES)))
    values[5] = np.nan
    return Grid(station, times, NAMES, values, np.zeros_like(values))


@pytest.fixture
def server(tmp_path: Path, load: ModuleType) -> Iterator[Server]:
    publish(tmp_path)
    write_tail(tmp_path)
    grids = {station: long_grid(station, load.PAST + 1) for station in STATIONS}
    feed = SimpleNamespace(name="noaa")
    load.write_history(tmp_path, SimpleNamespace(feed=feed, spec=spec(), grids=grids))
    with Server(tmp_path) as started:
        yield started


def test_plan_is_what_server_says_of_its_feed(load: ModuleType, server: Server) -> None:
    made = load.plan(server.url, "", None)
    assert (made["feed"], made["stations"], made["steps"]) == ("noaa", [*STATIONS], 5)
    assert made["middle"] == pytest.approx([42.5, 75.0, 977.5])
    assert json.loads(json.dumps(made)) == made


def test_past_is_history_to_the_server(load: ModuleType, server: Server) -> None:
    with Client(server.url) as client:
        for station in STATIONS:
            rows = client.history("noaa", station)
            assert len(rows) == load.PAST - 2, "what was not measured has no outcome, and forecasts none"
            assert set(rows["error"].to_pylist()) == {1.0}


@pytest.mark.parametrize(
    ("requests", "busy", "failures", "status"),
    [(100, 0, 0, 0), (100, 99, 0, 0), (100, 0, 1, 1), (100, 100, 0, 1), (0, 0, 0, 1)],
)
def test_status_tells_failures_from_a_busy_server(
    load: ModuleType, capsys: pytest.CaptureFixture[str], requests: int, busy: int, failures: int, status: int
) -> None:
    counts = {"requests": requests, "busy": busy, "failures": failures}
    own: dict[str, Any] = {"name": "Aggregated", "rate": 12.5, "p50": 3, "p99": 40, **counts}
    assert load.report({"figures": [own], "errors": ["why"]}, 4, 10) == status
    assert "why" in capsys.readouterr().out
