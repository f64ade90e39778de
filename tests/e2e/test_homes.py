"""Homes as people treat them: under any path, moved, copied, and with MLflow's database lost, damaged or unusable."""

import os
import shutil
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed.declaration import Feed
from aerocast.models import candidates
from aerocast.models.tracking import ALIAS, Tracker, model_name
from aerocast.releases import release
from aerocast.storage import mark, rooms
from aerocast.storage.home import home_of
from aerocast.storage.settings import Settings
from aerocast_assets.keys import key
from cli.ask import ask_server
from tests import PROJECT
from tests.factories.feeds import small_feed, write_readings
from tests.harness.graph import champion_version, metadata, refresh

KEY = ("small", "temperature")
CHAMPION = dg.AssetKey([*KEY, "champion"])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Feed:
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT))
    readings = write_readings(tmp_path / "readings.csv", hours=60 * 24)
    return small_feed(
        readings,
        end="2024-03-01T00:00:00Z",
        horizons=[1],
        candidates={"linear": {}, "persistence": {}, "seasonal_naive": {}},
    )


def run(
    feed: Feed, home: Path, monkeypatch: pytest.MonkeyPatch, *kinds: str, **config: object
) -> tuple[dg.ExecuteInProcessResult, str]:
    """A run in this home with an instance of its own, and its log."""
    monkeypatch.setenv("AEROCAST_HOME", str(home))
    steps = {kind if kind == "champion" else "candidates" for kind in kinds}
    ops = {"__".join([*KEY, step]): {"config": config} for step in steps}
    selection = [dg.AssetKey([*KEY, kind]) for kind in kinds] or None
    with dg.DagsterInstance.get() as instance:
        result = refresh(feed, home, instance, selection=selection, config={"ops": ops} if ops else None)
        said = "\n".join(event.message for event in instance.all_logs(result.run_id))
    assert result.success, said
    return result, said


def trained(home: Path) -> candidates.Candidate:
    found = candidates.read_candidate(home, *KEY, "linear")
    assert found is not None
    return found


def test_home_is_moved_copied_and_loses_mlflow(tmp_path: Path, small: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    first = home_of(Settings(home=str(tmp_path / "month=1999-01" / "it's 100% #1")))
    first = Path(first)
    run(small, first, monkeypatch)
    version, made = champion_version(first), trained(first)
    assert Tracker(first).knows(made)
    assert [name for name, own in rooms.files(first) if not own] == [], "all that a home holds is known to `clean`"

    moved = tmp_path / "temperature=1" / "moved [x]"
    moved.parent.mkdir()
    shutil.move(first, moved)
    again, _ = run(small, moved, monkeypatch)
    layers = ("raw", "bronze", "silver", "windows")
    assert {metadata(again, key(small, layer))["status"] for layer in layers} == {"unchanged"}
    assert metadata(again, CHAMPION)["status"] == "unchanged"
    answer, _ = ask_server(moved, small)
    assert answer["model"]["version"] == version
    assert not first.exists()

    copy = tmp_path / "a copy"
    shutil.copytree(moved, copy)
    kept = {path: path.stat().st_mtime_ns for path in moved.rglob("*") if path.is_file()}
    (copy / "mlflow.db").unlink()
    _, said = run(small, copy, monkeypatch, "linear", "champion", force=True)
    assert "mlflow.db was missing: a new one was created" in said
    client = Tracker(copy).client
    assert client.get_model_version_by_alias(model_name(*KEY), ALIAS).tags["release"] == champion_version(copy)
    run_of = client.get_run(trained(copy).mlflow_run_id)
    assert {"test_rmse_1", "test_skill_1", "test_coverage_1", "test_composite"} <= run_of.data.metrics.keys()

    (copy / "mlflow.db").write_bytes(b"damaged")
    _, said = run(small, copy, monkeypatch, "champion", force=True)
    assert "mlflow.db is damaged" in said
    assert [path.read_bytes() for path in copy.glob("mlflow-2*.db")] == [b"damaged"]
    assert Tracker(copy).knows(trained(copy)), "written again from the candidate's own file"

    (copy / "mlflow.db").unlink()
    (copy / "mlflow.db").mkdir()
    _, said = run(small, copy, monkeypatch, "linear", "champion", force=True)
    assert "training, judging and serving go on without it" in said
    assert trained(copy).mlflow_run_id == ""
    run(small, copy, monkeypatch, "champion", release=version)
    assert champion_version(copy) == version
    lineage = release.load(copy, *KEY, champion_version(copy)).manifest.lineage
    assert lineage.parameters == trained(copy).parameters
    assert lineage.validation
    assert {path: path.stat().st_mtime_ns for path in moved.rglob("*") if path.is_file()} == kept


def test_makefile_works_in_folder_with_blank_and_removes_no_foreign_file(tmp_path: Path) -> None:
    checkout, home = tmp_path / "my files" / "it's #1 (x)", tmp_path / "my files" / "home $1"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".aerocast", "tests", "benchmarks", "docs", "__pycache__")
    shutil.copytree(PROJECT, checkout, ignore=unwanted)
    (checkout / ".venv").symlink_to(PROJECT / ".venv")
    strangers = [tmp_path / "my", tmp_path / "my files" / "photo.jpg", home / "notes.txt"]
    mark.ensure_mark(home)
    for stranger in strangers:
        stranger.write_text("mine")
    (checkout / ".pytest_cache").mkdir(exist_ok=True)
    variables = {**os.environ, "AEROCAST_HOME": str(home), "PYTHONPATH": str(checkout)}

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-o", ".venv/.installed", *arguments]  # what is installed is no matter here
        return subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, timeout=240)

    assert f"no tables under {home} yet" in make("sql").stderr
    refused = make("clean")
    assert refused.returncode != 0
    assert "with --yes it is removed without a question" in refused.stderr
    done = make("clean", "YES=1")
    assert done.returncode == 0, done.stderr
    assert not (home / mark.NAME).exists()
    assert not (checkout / ".pytest_cache").exists()
    assert all(stranger.read_text() == "mine" for stranger in strangers)
