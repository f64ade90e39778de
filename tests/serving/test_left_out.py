"""Whatever lies where the server reads: it serves what it has, names the file, and takes a sound one up again."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from aerocast.contracts import declared, tail
from serving import predictor
from serving.schemas import PredictRequest
from tests.factories.feeds import small_feed
from tests.factories.served_files import DECLARED, FILES, POINTER, POSTED, READING, write_every_file
from tests.harness.reader import Reader
from tests.harness.server import metric
from tests.harness.waits import until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_every_file(tmp_path)
    return tmp_path


def bytes_of(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.with_name(f".{path.name}.sound").read_bytes()[:-9])


def huge(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


FAULTS: dict[str, Callable[[Path], object]] = {
    "empty": bytes_of(b""),
    "zeros": bytes_of(bytes(5000)),
    "binary": bytes_of(bytes(range(256)) * 20),
    "cut": cut,
    "no object": bytes_of(b"[]"),
    "no UTF-8": bytes_of(b'{"version": "\xff\xfe", "instant": "\xc0"}'),
    "a surrogate": bytes_of(b'{"version": "\\ud800", "name": "\\ud800"}'),
    "deep": bytes_of(b'{"more": ' + b"[" * 200_000),
    "a naive time": bytes_of(b'{"instant": "2024-01-01T00:00:00", "started": "2024-01-01T00:00:00", "name": 3}'),
    "huge": huge,
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to what cannot be read": lambda path: path.symlink_to("/proc/self/mem"),
}


def place(path: Path, fault: str) -> None:
    """The fault in a file's place; the sound one is beside it until `restore`."""
    path.rename(path.with_name(f".{path.name}.sound"))
    FAULTS[fault](path)


def restore(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.with_name(f".{path.name}.sound").rename(path)


def test_damaged_file_is_named_and_last_good_content_serves(home: Path) -> None:
    reader = Reader(home)
    assert reader.left_out() == {}
    for name in (*FILES, DECLARED):
        for fault in FAULTS:
            place(home / name, fault)
            found = reader.left_out()
            assert list(found) == [name], (fault, found)
            assert found[name].reason
            assert "\n" not in found[name].reason
            assert found[name].since
            reader.works()
            restore(home / name)
            assert reader.left_out() == {}, fault
        assert f'aerocast_file_failures_total{{file="{name}"}}'.encode() in reader.metrics.text()


def test_server_started_with_damaged_files_names_them(home: Path) -> None:
    for fault in FAULTS:
        for name in (*FILES, DECLARED):
            place(home / name, fault)
        reader = Reader(home)
        health = reader.look()
        found = {each.file for each in health.left_out}
        assert {POINTER, DECLARED} <= found, (fault, found)
        assert health.status == "no release"
        assert reader.metrics.text()
        for name in (*FILES, DECLARED):
            restore(home / name)
        assert reader.left_out() == {}, fault


def test_file_in_place_of_folder_is_named(home: Path) -> None:
    reader = Reader(home)
    assert reader.left_out() == {}
    for folder in ("releases", "releases/noaa", "releases/noaa/temperature", "tail", "declared"):
        for fault in ("empty", "binary", "a folder", "a pipe", "a link to itself"):
            place(home / folder, fault)
            found = reader.left_out()
            if not (folder == "declared" and fault == "a folder"):  # an empty one says that nothing is declared
                assert any(name.startswith(folder) for name in found), (fault, found)
            assert reader.metrics.text()
            assert predictor.predict(reader.store, PredictRequest(station="JFK")).prediction.forecasts
            restore(home / folder)
            assert reader.left_out() == {}, (folder, fault)


def test_damaged_post_buffer_is_named(home: Path) -> None:
    reader = Reader(home)
    assert reader.left_out() == {}
    for fault in ("empty", "zeros", "binary", "a folder", "a pipe", "a link to itself"):
        for path in (home / "observations").glob("small.sqlite*"):
            path.rmdir() if path.is_dir() else path.unlink()
        FAULTS[fault](home / POSTED)
        assert POSTED in reader.left_out(), fault
        reader.works()


TABLE: dict[str, Any] = {
    "stations": np.array(["JFK"]),
    "columns": np.array(["temperature", "windspeed", "pressure"]),
    "ends": np.array([2]),
    "time": np.array(["2013-12-30T17", "2013-12-30T18"], dtype="datetime64[s]"),
    "values": np.ones((2, 3), dtype=np.float32),
    "age": np.zeros((2, 3), dtype=np.float32),
}
ODD = {
    "texts for numbers": {"values": np.full((2, 3), "warm")},
    "numbers for texts": {"stations": np.array([7])},
    "times of the year 5 billion": {"time": np.array([1 << 57, 1 << 58]).astype("datetime64[s]")},
    "no times": {"time": np.array(["NaT", "NaT"], dtype="datetime64[s]")},
    "too many ends": {"ends": np.array([1, 2])},
    "ends that fall": {"ends": np.array([3])},
    "another shape": {"age": np.zeros(6, dtype=np.float32)},
    "no dimension": {"columns": np.array("temperature")},
    "an object": {"values": np.array([[None] * 3] * 2)},
}


def test_tail_without_usable_rows_is_left_out(home: Path) -> None:
    reader = Reader(home)
    assert reader.left_out() == {}
    for name, odd in ODD.items():
        buffer = io.BytesIO()
        np.savez(buffer, **{**TABLE, **odd})
        (home / tail.document_name("noaa")).write_bytes(buffer.getvalue())
        assert list(reader.left_out()) == ["tail/noaa.npz"], name
        reader.works()


def test_tail_with_malformed_header_is_left_out(home: Path) -> None:
    """numpy parses it as code: its tokenizer and its parser have errors of their own."""
    reader = Reader(home)
    assert reader.left_out() == {}
    path = home / tail.document_name("noaa")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for odd in (b"(", b"'", b"\\", b"\0", b"[", b"\xff"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data.replace(b"{'descr'", odd + b"'descr'"))
        assert list(reader.left_out()) == ["tail/noaa.npz"], odd
    reader.works()


@pytest.mark.e2e
def test_running_server_names_left_out_file_and_serves(
    home: Path, serve: Callable[..., tuple[Any, httpx.Client]]
) -> None:
    _, http = serve()
    until(lambda: http.get("/health").json()["status"] == "ok")
    (home / DECLARED).write_bytes(b"\xff\xfe")
    shutil.move(home / "tail/noaa.npz", home / "aside")
    os.mkfifo(home / "tail/noaa.npz")
    until(lambda: {each["file"] for each in http.get("/health").json()["left_out"]} == {DECLARED, "tail/noaa.npz"})
    assert metric(http, "aerocast_files_left_out") == 2
    assert http.get("/health").json()["status"] == "degraded"
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200
    assert http.post("/observations/small", content=READING).status_code == 202
    shutil.move(home / "aside", home / "tail/noaa.npz")
    declared.publish(home, small_feed(home))
    until(lambda: http.get("/health").json()["left_out"] == [])
    assert json.loads(http.get("/health").text)["status"] == "ok"
