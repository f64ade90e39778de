"""The loop that broke in older systems: after a retrain, the *running* server answers with the new version.

Everything is real: readings in a file, Dagster on a real instance, releases on disk, a server process, HTTP.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import duckdb
import httpx
import pytest

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.models.tracking import Tracker, model_name
from aerocast.releases import release
from aerocast_assets.assets.forecasts import picture_path
from aerocast_assets.keys import key
from tests.factories.feeds import HOURS, small_feed, write_readings
from tests.harness.graph import check, first_run, metadata, refresh
from tests.harness.server import Server
from tests.harness.waits import until

PATIENCE = 120.0
SEQUENCE = [[50.0, 8.0, 1012.0]] * 5


@dataclass
class Traffic:
    """What clients saw while requests flowed."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def versions(self) -> list[str]:
        """Versions in the order of their first answer."""
        return list(dict.fromkeys(version for _, version in self.answers))


@contextmanager
def flowing(url: str) -> Iterator[Traffic]:
    """Two clients ask without a pause, one by station and one by sequence, until the block ends."""
    seen, stop = Traffic(), threading.Event()

    def ask(question: dict[str, object]) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/predict", json=question)
                    seen.answers.append((answer.status_code, answer.json()["model"]["version"]))
                except (httpx.HTTPError, KeyError) as error:
                    seen.errors.append(repr(error))
                time.sleep(0.005)

    clients = [threading.Thread(target=ask, args=(q,)) for q in ({"station": "AAA"}, {"sequence": SEQUENCE})]
    for client in clients:
        client.start()
    try:
        yield seen
    finally:
        stop.set()
        for client in clients:
            client.join()


def champion_alias(home: Path) -> str:
    """Config hash of the model version that MLflow's alias names."""
    found = Tracker(home).client.get_model_version_by_alias(model_name("small", "temperature"), "champion")
    return str(found.tags["config_hash"])


def test_retrain_reaches_running_server_without_failed_request(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance
) -> None:
    readings = tmp_path / "readings.csv"
    feed = small_feed(readings)
    write_readings(readings, hours=24 * 75, swing=2.0)
    assert refresh(feed, home, instance).success
    first = release.current(home, "small", "temperature")
    assert first is not None
    assert (
        champion_alias(home) == release.load(home, "small", "temperature", first.version).manifest.lineage.config_hash
    )

    with Server(home, ("--poll-seconds", "0.1")) as server, flowing(server.url) as seen:
        until(lambda: first.version in seen.versions(), PATIENCE, "answers of the new version")
        # The world changes: days swing five times as far, and there are newer readings to learn it from.
        write_readings(readings, hours=HOURS, swing=10.0)
        result = refresh(feed, home, instance)
        assert result.success
        second = release.current(home, "small", "temperature")
        assert second is not None
        until(lambda: second.version in seen.versions(), PATIENCE, "answers of the new version")
        models = httpx.get(f"{server.url}/models").json()
        health = httpx.get(f"{server.url}/health").json()

    assert second.version != first.version
    assert metadata(result, key(feed, "temperature", "champion"))["promoted"] is True
    assert seen.errors == []
    assert {status for status, _ in seen.answers} <= {200, 201}
    assert seen.versions() == [first.version, second.version], "the server must move to the new version and stay there"
    assert first.version in str(models)
    assert second.version in str(models)
    assert health["status"] == "ok"
    assert (
        champion_alias(home) == release.load(home, "small", "temperature", second.version).manifest.lineage.config_hash
    )
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/temperature/promotions").order("delivery").fetchdf()
    assert list(rows["version"]) == [first.version, second.version]
    assert rows["incumbent_composite"].iloc[1] > rows["composite"].iloc[1], "judged on the same rows, and better"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Path]:
    """A feed and a home in which its graph has run once; tests work on copies."""
    place = tmp_path_factory.mktemp("trained")
    feed = small_feed(write_readings(place / "readings.csv"))
    first_run(place / "home", feed)
    return feed, place / "home"


@pytest.fixture
def feed(trained: tuple[Feed, Path]) -> Feed:
    return trained[0]


@pytest.fixture
def again(trained: tuple[Feed, Path], home: Path) -> Path:
    """A copy of the trained home."""
    shutil.copytree(trained[1], home, dirs_exist_ok=True)
    return home


def test_unchanged_data_keeps_champion(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    before = release.current(again, "small", "temperature")
    result = refresh(feed, again, instance)
    assert result.success
    for name in ("linear", "persistence", "seasonal_naive", "sequence", "champion", "forecasts"):
        assert metadata(result, key(feed, "temperature", name))["status"] == "unchanged", name
    assert release.current(again, "small", "temperature") == before


def test_training_on_same_rows_is_no_gain(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    before = release.current(again, "small", "temperature")
    steps = ("small__temperature__candidates", "small__temperature__champion")
    config = {"ops": {step: {"config": {"force": True}} for step in steps}}
    forced = refresh(feed, again, instance, config=config)
    assert forced.success
    assert metadata(forced, key(feed, "temperature", "linear"))["status"] == "computed"
    assert str(metadata(forced, key(feed, "temperature", "champion"))["decision"]).startswith("Kept")
    assert release.current(again, "small", "temperature") == before


def test_weak_candidate_is_refused_with_its_numbers(readings: Path, home: Path, instance: dg.DagsterInstance) -> None:
    proud = small_feed(readings, promotion={"min_skill": 0.95})
    result = refresh(proud, home, instance)
    assert not result.success, "nothing may be forecast by a model that was refused"
    assert release.current(home, "small", "temperature") is None
    assert not check(result, "skill_above_zero").passed
    shown = metadata(result, key(proud, "temperature", "champion"))
    assert shown["promoted"] is False
    assert "min_skill" in shown["decision"]
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/temperature/promotions").fetchdf()
    assert list(rows["promoted"]) == [False]
    assert rows["skill"].iloc[0] < 0.95
    versions = Tracker(home).client.search_model_versions(f"name='{model_name('small', 'temperature')}'")
    assert [found.tags["verdict"] for found in versions] == ["refused"], "it stays registered, with the reason"


def test_candidates_never_saw_rows_that_judge_them(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    current = release.current(again, "small", "temperature")
    assert current is not None
    lineage = release.load(again, "small", "temperature", current.version).manifest.lineage
    with duckdb.connect() as con:
        rows = Lake(again).relation(con, "small/temperature/promotions").select("test_start").fetchall()
    assert lineage.trial_end is not None
    assert lineage.trial_end + max(feed.horizons) * feed.cadence < rows[0][0] < lineage.training_end
    assert lineage.delta_versions.keys() == {"raw", "bronze", "silver", "windows"}


def test_forecasts_cover_stations_and_horizons(feed: Feed, again: Path) -> None:
    with duckdb.connect() as con:
        rows = Lake(again).relation(con, "small/temperature/forecasts").order("station, horizon").fetchdf()
    wanted = [(station, horizon) for station in feed.station_ids for horizon in feed.horizons]
    assert list(zip(rows["station"], rows["horizon"], strict=True)) == wanted
    assert (rows["lower"] < rows["value"]).all()
    assert (rows["value"] < rows["upper"]).all()
    assert picture_path(again, feed, "temperature").read_bytes().startswith(b"\x89PNG")


def test_lost_files_are_written_again(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    names = ("candidates/small/temperature/linear.msgpack", "releases/small/temperature/current.json")
    for name in names:
        (again / name).unlink()
    assert refresh(feed, again, instance).success
    assert [name for name in names if not (again / name).exists()] == []
