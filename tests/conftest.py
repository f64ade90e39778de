"""Fixtures that several parts share: the real feed, a small made one, homes and Dagster instances of their own."""

import atexit
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed import Feed
from aerocast.home import ObjectHome
from aerocast_assets.feeds import find_feed
from tests.making import small_feed, write_readings
from tests.objects import new_home, object_store

# At the very end DuckDB's bindings list objects that other modules still hold; that would bury pytest's last line.
atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def noaa() -> Feed:
    """The declared feed of real readings."""
    return find_feed("noaa")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty AEROCAST_HOME."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("AEROCAST_HOME", str(place))
    return place


@pytest.fixture(scope="session")
def objects() -> Iterator[None]:
    """An object store, which the environment names while tests that want one run."""
    with pytest.MonkeyPatch.context() as patch, object_store(patch):
        yield


@pytest.fixture
def bucket(objects: None, tmp_path: Path) -> ObjectHome:
    """An empty home in a bucket of its own."""
    return new_home(tmp_path / "work")


@pytest.fixture
def instance(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A real instance: the project's dagster.yaml, stored under the home."""
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT))
    with dg.DagsterInstance.get() as made:
        yield made


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """A CSV of made readings: two stations, hourly, four months, with faults."""
    return write_readings(tmp_path / "readings.csv")


@pytest.fixture
def feed(readings: Path) -> Feed:
    """A small feed that reads `readings`."""
    return small_feed(readings)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole loops first: they wait for processes most of the time, and one that began last would be waited for."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
