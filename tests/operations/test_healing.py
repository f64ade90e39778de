"""Damaged documents are replaced by what they follow from, or removed, and named; sound ones are left alone."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from aerocast.contracts import drift_state, requests
from aerocast.contracts.drift_state import DriftState
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.models.candidates import candidate_path
from aerocast.monitoring.evaluation.watch import update_state
from aerocast.operations.healing import heal
from aerocast.promotion import table
from aerocast.releases import release
from tests.factories.challengers import publish_challenger
from tests.factories.feeds import small_feed
from tests.factories.releases import damage, publish

NOW = datetime(2024, 4, 1, tzinfo=UTC)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "no UTF-8": lambda data: b"\xff" + data,
    "no UTF-8 in a text": lambda data: re.sub(rb': ?"', lambda match: match[0] + b"\xff", data, count=1),
    "deep": lambda data: b'{"more": ' + b"[" * 200_000,
    "another document": lambda data: b"[]",
}


@pytest.fixture
def noaa_like(tmp_path: Path) -> Feed:
    """The small feed under the name of the releases of the tests."""
    return small_feed(tmp_path / "readings.csv", name="noaa")


@pytest.fixture
def documents(home: Path, noaa_like: Feed) -> dict[str, Path]:
    version = publish(home, 1)
    manifest = release.load(home, "noaa", "temperature", version).manifest
    about = table.Context(run_id="run", feed_time=NOW, version=version)
    table.record_choice(Lake(home), noaa_like, "temperature", manifest, about, "better", "verdict", "segment")
    publish_challenger(home, 2.0)
    drift_state.document(home, "noaa").write(DriftState("noaa", NOW, NOW))
    requests.request_retrain(home, "noaa", "temperature", "too old")
    candidate = candidate_path(home, "noaa", "temperature", "linear")
    candidate.parent.mkdir(parents=True)
    candidate.write_bytes(b"no candidate")
    place = home / "releases/noaa/temperature"
    return {
        "pointer": place / "current.json",
        "challenger": place / "challenger.json",
        "drift": home / "drift/noaa.json",
        "request": home / "requests/noaa/temperature.json",
    }


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_document_is_replaced_and_named(
    home: Path, noaa_like: Feed, documents: dict[str, Path], how: str
) -> None:
    assert len(heal(home, noaa_like)) == 1, "the candidate, which is none"
    assert heal(home, noaa_like) == []
    serving = release.current(home, "noaa", "temperature")
    assert serving
    for name, path in documents.items():
        path.write_bytes(DAMAGES[how](path.read_bytes()))
        (note,) = heal(home, noaa_like)
        assert str(path) in note
        assert path.exists() == (name == "pointer")
        assert heal(home, noaa_like) == []
    again = release.current(home, "noaa", "temperature")
    assert again
    assert again.version == serving.version, "as the table of promotions has it"
    assert release.challenger(home, "noaa", "temperature") is None
    assert requests.open_requests(home, "noaa") == {}


def test_pointer_of_lost_release_is_removed(home: Path, noaa_like: Feed, documents: dict[str, Path]) -> None:
    documents["pointer"].write_bytes(b"{")
    for path in documents["pointer"].parent.glob("0001-*"):
        path.rename(home / "lost")
    assert any("pointer" in note for note in heal(home, noaa_like))
    assert release.current(home, "noaa", "temperature") is None


def test_document_that_cannot_be_read_is_left_alone(home: Path, noaa_like: Feed, documents: dict[str, Path]) -> None:
    heal(home, noaa_like)
    for path in documents.values():
        path.unlink()
        path.mkdir()  # as a disk that refuses
    assert heal(home, noaa_like) == []
    assert all(path.is_dir() for path in documents.values())


def test_damaged_release_stops_no_examination(
    home: Path, noaa_like: Feed, documents: dict[str, Path], con: duckdb.DuckDBPyConnection
) -> None:
    (model,) = documents["pointer"].parent.glob("0001-*/model.onnx")
    damage(model)
    judged = update_state(con, Lake(home), home, noaa_like)
    assert (judged.state.diagnoses, judged.state.of("temperature").hot) == ((), False)
