"""Releases around a tiny graph that meets the contract of the server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from aerocast.contracts.explanations import pack
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
from aerocast.features.features import feature_names
from aerocast.features.grid import Place, WindowSpec
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
HALF = 2.0


def spec(target: str = "temperature") -> WindowSpec:
    places = tuple(Place(name, "America/New_York", 40.0 + index, -73.0) for index, name in enumerate(STATIONS))
    labels = tuple(column[1] for column in COLUMNS)
    return WindowSpec(target, NAMES, labels, (), 5, 48, 24, 3600, HORIZONS, places)


def graph(bias: float = 0.0, features: int | None = None, horizons: tuple[int, ...] = HORIZONS, at: int = 0) -> bytes:
    """A persistence graph with a trend: `forecast[n, h] = features[n, at] + bias * h`."""
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


def typical(target: str = "temperature") -> bytes:
    """Two rows that forecasts are explained against: the target's newest value is 50 in one and 60 in the other."""
    names = feature_names(spec(target))
    rows = np.ones((2, len(names)), dtype=np.float32)
    rows[:, names.index(f"{target}_lag0")] = 50, 60
    return pack(rows)


def intervals(target: str = "temperature") -> Intervals:
    """Intervals of HALF on either side, whatever the recent variability."""
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
        "graphs": Graphs(Graph("model.onnx", tuple(feature_names(window)), intervals(target), typical=typical(target))),
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


def write_release(home: Home, number: int = 1, data: bytes = b"graph") -> str:
    """Write release `number`, whose graph is `data`."""
    return release.write(home, manifest(number), {"model.onnx": data})


def publish(home: Home, number: int = 1, bias: float = 0.0, **changes: Any) -> str:
    """Write and promote release `number`; its forecasts carry `bias`."""
    made = manifest(number, **changes)
    version = release.write(home, made, {"model.onnx": graph(bias)})
    release.promote(home, made.feed.name, made.target, version)
    return version


def point(home: Path, version: str, previous: str | None = None, feed: str = "noaa") -> None:
    """Write current.json without the checks of `promote`, which refuses a damaged release."""
    place = home / "releases" / feed / "temperature"
    extra = f', "previous": "{previous}"' if previous else ""
    (place / "beside").write_text(f'{{"version": "{version}", "promoted_at": "2024-06-01T00:00:00Z"{extra}}}')
    (place / "beside").rename(place / "current.json")


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
