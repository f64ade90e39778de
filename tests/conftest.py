"""Shared fixtures: seeds, hypothesis profiles, feeds, homes and Dagster instances."""

import atexit
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from hypothesis import HealthCheck, settings

from aerocast.feed.declaration import Feed
from aerocast.storage.home import ObjectHome
from aerocast_assets.feeds import find_feed
from tests import PROJECT
from tests.factories.feeds import small_feed, write_readings
from tests.harness.object_store import new_home, object_store

# At the very end DuckDB's bindings list objects that other modules still hold; that would bury pytest's last line.
atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))

SEED = "AEROCAST_TEST_SEED"

# How long an example takes says nothing on a busy machine; fixtures that examples share are read, not changed.
settings.register_profile(
    "default",
    max_examples=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help=f"seed of all random tests (default: ${SEED}, or a new one)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set one seed for the whole run; worker processes read it from their environment."""
    given = config.option.seed
    os.environ[SEED] = str(given if given is not None else os.environ.get(SEED, random.SystemRandom().randrange(2**32)))
    if config.option.timeout is None and settings.get_current_profile_name() == "nightly":
        config.option.timeout = 0  # thousands of examples take what they take
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = os.environ[SEED]


def pytest_report_header() -> str:
    return f"seed {os.environ[SEED]}, hypothesis profile {settings.get_current_profile_name()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"The same random choices again: --seed {os.environ[SEED]}")


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of the whole run."""
    return int(os.environ[SEED])


@pytest.fixture
def chance(request: pytest.FixtureRequest, seed: int) -> random.Random:
    """Random choices of one test."""
    print(f"--seed {seed}")  # shown when the test fails
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture(scope="session")
def noaa() -> Feed:
    """The declared feed noaa."""
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
    """An object store that the environment names."""
    with pytest.MonkeyPatch.context() as patch, object_store(patch):
        yield


@pytest.fixture
def bucket(objects: None, tmp_path: Path) -> ObjectHome:
    """An empty home in a bucket of its own."""
    return new_home(tmp_path / "work")


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory."""
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def instance(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of the project's dagster.yaml, stored under the home."""
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT))
    with dg.DagsterInstance.get() as made:
        yield made


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """A CSV of synthetic readings: two stations, hourly, four months, with faults."""
    return write_readings(tmp_path / "readings.csv")


@pytest.fixture
def feed(readings: Path) -> Feed:
    """A small feed that reads `readings`."""
    return small_feed(readings)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path for installed packages, whose modules are unloaded after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of tests/e2e before pytest selects by marker."""
    for item in items:
        if item.path.is_relative_to(PROJECT / "tests/e2e"):
            item.add_marker("e2e")
