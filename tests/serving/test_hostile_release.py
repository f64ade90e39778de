"""A release that somebody who can write the bucket has made: whatever it holds, the one before it serves on."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from aerocast.common.errors import AeroCastError
from aerocast.contracts.manifest import Manifest
from aerocast.releases import contents, release
from aerocast.releases.contents import bundle_contents
from serving import graph as serving_graph
from serving import predictor
from serving.schemas import PredictRequest
from tests.factories.releases import HORIZONS, graph, manifest, point, publish
from tests.factories.tails import write_tail
from tests.harness.memory import memory_bounded
from tests.harness.reader import Reader

WIDTH = len(manifest().graphs.station.features)


def model(nodes: list[object], **constants: object) -> bytes:
    """A graph from `features` to `forecast`."""
    sizes = {"features": WIDTH, "forecast": len(HORIZONS)}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in sizes.items()]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "hostile", ends[:1], ends[1:], tensors)
    return bytes(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def repeating() -> bytes:
    """Copies its input for as long as the sun shines."""
    names = (("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, ["n", len(HORIZONS)]))
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in names]
    outputs = [helper.make_tensor_value_info(f"{name}2", kind, shape) for name, kind, shape in names[1:]]
    same = [helper.make_node("Identity", [name], [f"{name}2"]) for name in ("go", "x")]
    loop = helper.make_node(
        "Loop", ["most", "true", "few"], ["forecast"], body=helper.make_graph(same, "b", inputs, outputs)
    )
    first = helper.make_node("Gather", ["features", "first"], ["few"], axis=1)
    return model([first, loop], most=1 << 62, true=True, first=[0, 0, 0])


def large() -> bytes:
    """A tensor of 3.2 GB, of a size that is computed."""
    nodes = [
        helper.make_node("Shape", ["features"], ["shape"]),
        helper.make_node("Mul", ["shape", "times"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
        helper.make_node("Gather", ["features", "first"], ["few"], axis=1),
        helper.make_node("Add", ["few", "sum"], ["forecast"]),
    ]
    return model(nodes, times=[800_000_000 // WIDTH, 1], first=[0, 0, 0])


def of_other_feed() -> Manifest:
    made = manifest(2)
    return msgspec.structs.replace(made, feed=msgspec.structs.replace(made.feed, name="../../outside"))


HOSTILE: dict[str, tuple[Callable[[], Manifest], Callable[[], bytes], str]] = {
    "a loop": (lambda: manifest(2), repeating, "has the operator Loop"),
    "a large tensor": (lambda: manifest(2), large, "does not run"),
    "another feed": (of_other_feed, graph, "is not of noaa/temperature"),
    "a large file": (lambda: manifest(2), lambda: bytes(65 << 20), "more than"),
}


def plant(home: Path, made: Manifest, data: bytes) -> None:
    """Writes a release past all checks of the writer, and points to it."""
    version = "0002-00000002"
    place = home / "releases/noaa/temperature" / version
    place.mkdir()
    for name, content in bundle_contents(made, version, {"model.onnx": data}).items():
        (place / name).write_bytes(content)
    point(home, version)


@pytest.fixture
def reader(home: Path) -> Reader:
    publish(home, 1)
    write_tail(home)
    made = Reader(home)
    made.look()
    return made


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_release_keeps_old_one_serving(home: Path, reader: Reader, name: str) -> None:
    made, data, reason = HOSTILE[name]
    plant(home, made(), data())
    with memory_bounded(300):
        health = reader.look()
    (one,) = health.releases
    assert one.version
    assert one.version.startswith("0001-")
    assert reason in one.errors[0]
    assert predictor.predict(reader.store, PredictRequest(station="JFK")).prediction.forecasts
    with pytest.raises(AeroCastError):
        release.write(home, made(), {"model.onnx": repeating()})


def test_warm_up_ends(home: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an operator is written in bytes that nobody searches for."""
    monkeypatch.setattr(serving_graph, "WARM_UP_SECONDS", 0.5)
    monkeypatch.setattr(contents, "check_graph", lambda *_: None)
    plant(home, manifest(2), repeating())
    assert "terminate" in reader.look().releases[0].errors[0]
