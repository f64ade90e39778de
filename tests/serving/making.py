"""What the tests of releases and of the server build: a tiny graph that keeps the contract, releases, tails, a home."""

import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from aerocast.contracts import tail
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import (
    ColumnInfo,
    FeedSnapshot,
    Graph,
    Graphs,
    Lineage,
    Manifest,
    Metrics,
    Scores,
    StationInfo,
)
from aerocast.features.windows import Grid, Place, WindowSpec, feature_names
from aerocast.releases import release
from aerocast.storage.home import Home

COLUMNS = (
    ("temperature", "temp", "degF", (-40.0, 125.0)),
    ("windspeed", "wind", "mph", (0.0, 150.0)),
    ("pressure", "pressure", "hPa", (870.0, 1085.0)),
)
NAMES = tuple(column[0] for column in COLUMNS)
STATIONS = ("JFK", "LGA", "EWR")
HORIZONS = (1, 6, 24)
NEWEST = np.datetime64("2013-12-30T18:00:00", "s")
HALF = 2.0


def spec(target: str = "temperature") -> WindowSpec:
    places = tuple(Place(name, "America/New_York", 40.0 + index, -73.0) for index, name in enumerate(STATIONS))
    labels = tuple(column[1] for column in COLUMNS)
    return WindowSpec(target, NAMES, labels, (), 5, 48, 24, 3600, HORIZONS, places)


def graph(bias: float = 0.0, features: int | None = None, horizons: tuple[int, ...] = HORIZONS, at: int = 0) -> bytes:
    """Persistence plus `bias` x horizon: `forecast[n, h] = features[n, at] + bias * h`."""
    width = len(feature_names(spec())) if features is None else features
    drift = np.array([[bias * step for step in horizons]], dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["features", "first"], ["last"], axis=1),
        helper.make_node("Add", ["last", "drift"], ["forecast"]),
    ]
    body = helper.make_graph(
        nodes,
        "persistence",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("forecast", TensorProto.FLOAT, ["n", len(horizons)])],
        [
            numpy_helper.from_array(np.array([at], dtype=np.int64), "first"),
            numpy_helper.from_array(drift, "drift"),
        ],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def intervals(target: str = "temperature") -> Intervals:
    """As wide as HALF wherever recent variability has no say (one driver, exponents 0)."""
    count = len(HORIZONS)
    return Intervals(0.9, HORIZONS, (HALF,) * count, (f"{target}_std24",), (0.0,), (1.0,), ((0.0,),) * count, 100)


def manifest(number: int = 1, feed: str = "noaa", target: str = "temperature", **changes: Any) -> Manifest:
    """A manifest whose config_hash depends on `number`."""
    units = {column[0]: column[2] for column in COLUMNS}
    window = spec(target)
    scores = Scores(rows=100, rmse=1.5 + number, mae=1.1, mse=2.25, composite=0.2, skill=0.25, coverage=0.9)
    known: dict[str, Any] = {
        "feed": FeedSnapshot(
            name=feed,
            description="a feed of the tests",
            stations=tuple(StationInfo(name, name.title(), "America/New_York") for name in STATIONS),
            columns=tuple(ColumnInfo(*column) for column in COLUMNS),
            targets=("temperature", "pressure"),
            gap_steps=6,
            freshness=timedelta(hours=6),
            end=datetime(2013, 12, 31, tzinfo=UTC),
        ),
        "target": target,
        "unit": units[target],
        "kind": "linear",
        "horizons": HORIZONS,
        "window": window,
        "graphs": Graphs(Graph("model.onnx", tuple(feature_names(window)), intervals(target))),
        "metrics": Metrics(overall=scores, horizons=dict.fromkeys(HORIZONS, scores)),
        "lineage": Lineage(
            run_id=f"run-{number}",
            config_hash=f"{number:08x}" + "ab" * 28,
            data_version=f"silver@{number}",
            delta_versions={"noaa/silver": number},
            training_start=datetime(2013, 1, 1, tzinfo=UTC),
            training_end=datetime(2013, 10, 19, tzinfo=UTC),
            code_version="test",
            created_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
            reason="first" if number == 1 else "drift temperature",
        ),
    }
    return Manifest(**{**known, **changes})


def publish(home: Home, number: int = 1, bias: float = 0.0, **changes: Any) -> str:
    """Write and promote release `number`; its forecasts carry `bias`."""
    made = manifest(number, **changes)
    version = release.write(home, made, {"model.onnx": graph(bias)})
    release.promote(home, made.feed.name, made.target, version)
    return version


def point(home: Path, version: str, previous: str | None = None, feed: str = "noaa") -> None:
    """Move current.json by hand, as a fault would: `promote` refuses a damaged release."""
    place = home / "releases" / feed / "temperature"
    extra = f', "previous": "{previous}"' if previous else ""
    (place / "beside").write_text(f'{{"version": "{version}", "promoted_at": "2024-06-01T00:00:00Z"{extra}}}')
    (place / "beside").rename(place / "current.json")


def damage(path: Path) -> None:
    """Flip one bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def grid(station: str, rows: int = 48, newest: np.datetime64 = NEWEST, level: float = 40.0) -> Grid:
    """Every reading measured: temperature `level` + hours, a steady wind and pressure."""
    time_ = newest + np.arange(1 - rows, 1) * np.timedelta64(3600, "s")
    values = np.stack([level + np.arange(rows) / 4, np.full(rows, 9.0), np.full(rows, 1015.0)], axis=1)
    return Grid(station, time_, NAMES, values.astype(np.float32), np.zeros((rows, 3), dtype=np.float32))


def gappy(station: str, column: int, age: int) -> Grid:
    """The newest `age` values of one column carried forward."""
    made = grid(station)
    made.age[-age:, column] = np.arange(1, age + 1)
    made.values[-age:, column] = made.values[-age - 1, column]
    return made


def write_tail(home: Home, feed: str = "noaa", **others: Grid) -> None:
    """JFK whole, LGA with pressure 3 steps old, EWR 4 steps behind, unless `others` says otherwise."""
    late = grid("EWR", newest=NEWEST - np.timedelta64(4, "h"))
    tail.write(home, feed, {"JFK": grid("JFK"), "LGA": gappy("LGA", 2, 3), "EWR": late, **others})


def until(check: Callable[[], bool], seconds: float = 120) -> None:
    """Poll instead of sleeping: a slow machine is slow, not wrong."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def metric(http: Any, name: str) -> float:
    """The value of the first metric whose line starts so."""
    lines = http.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[-1])


@dataclass
class Server:
    """`python -m serving` on a free loopback port, as a user starts it."""

    home: Home
    arguments: tuple[str, ...] = ("--poll-seconds", "0.1")
    settings: dict[str, str] = field(default_factory=dict)
    files: tuple[int, int] | None = None  # how many it may open, and to what it may raise that
    log: list[str] = field(default_factory=list)
    seconds: float = 0.0
    url: str = ""

    def __enter__(self) -> "Server":
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--port", "0", *self.arguments],
            env={**os.environ, "AEROCAST_HOME": str(self.home), **self.settings},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self._limit,
        )
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"on (http://\S+)", line)
            if found:
                self.url = found.group(1)
                break
        assert self.url, "".join(self.log)
        threading.Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True).start()
        self._wait_until_it_answers()
        self.seconds = time.perf_counter() - began
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()

    def _limit(self) -> None:
        if self.files:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.files)

    def _wait_until_it_answers(self) -> None:
        import httpx

        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                httpx.get(self.url + "/health")
                return
            except httpx.TransportError:
                time.sleep(0.005)
        raise AssertionError("".join(self.log))

    def memory(self) -> float:
        """Resident megabytes (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None, "every process has a resident size"
        return int(found.group(1)) / 1024
