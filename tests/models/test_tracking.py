"""MLflow's database survives kills, moves, deletions and damage; what it has lost is never missed, only mended."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest

from aerocast.contracts.manifest import TrainingRows
from aerocast.models.candidates import Candidate
from aerocast.models.tracking import ALIAS, Curves, Tracker
from aerocast.models.tracking_database import FILE, TrackingUnavailable
from aerocast.models.tracking_rows import LoggedRows
from tests.factories.releases import graph, intervals

pytestmark = pytest.mark.e2e  # MLflow's own import takes seconds

OPEN = (
    "import sys; from pathlib import Path; from aerocast.models.tracking import Tracker;"
    " Tracker(Path(sys.argv[1])).client"
)
TIME = datetime(2024, 1, 1, tzinfo=UTC)
MODEL = "noaa.temperature"


def candidate(**changes: object) -> Candidate:
    read = TrainingRows("ab" * 32, 100, TIME, TIME, TIME, 3600, 3600, ("train",))
    made = Candidate(
        feed="noaa", target="temperature", kind="linear", config_hash="c" * 64, data_version="d" * 64,
        delta_versions={"windows": 7}, code_version="e" * 64, graph=graph(), features=("temperature_0",),
        intervals=intervals(), start=TIME, end=TIME, rows=80, seconds=1.5, validation={"validation_rmse_1": 1.25},
        mlflow_run_id="", model_uri="", read=read, parameters={"alpha": 0.5},
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def record(tracker: Tracker, **changes: object) -> Candidate:
    """A training that MLflow has, registered as champion."""
    curves = Curves([(0, {"rmse": 2.0}), (1, {"rmse": 1.5})])
    made = tracker.record(candidate(**changes), {"dagster_run_id": "r"}, curves)
    tags, text = {"release": "0001-cccccccc", "verdict": "promoted"}, "Promoted. Release [0001](http://x)."
    tracker.register(made, tags, champion=True, text=text)
    return made


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Candidate]:
    """A home with one training: tests work on copies, which it must survive to be copied to."""
    home = tmp_path_factory.mktemp("before") / "home"
    home.mkdir()
    return home, record(Tracker(home))


@pytest.fixture
def copy(before: tuple[Path, Candidate], tmp_path: Path) -> Path:
    return Path(shutil.copytree(before[0], tmp_path / "a copy #1"))


def test_unused_run_is_deleted_with_its_graph(copy: Path, before: tuple[Path, Candidate]) -> None:
    tracker = Tracker(copy)
    kept, other = before[1], record(tracker, config_hash="f" * 64)
    later = datetime.now(UTC) + timedelta(days=1)
    files = sum(path.is_file() for path in (copy / "mlflow").rglob("*"))
    assert tracker.prune("noaa", later, {kept.mlflow_run_id}) == 1
    assert tracker.knows(kept)
    assert not tracker.knows(other)
    versions = tracker.client.search_model_versions(f"name='{MODEL}'")
    assert [version.run_id for version in versions] == [kept.mlflow_run_id]
    assert sum(path.is_file() for path in (copy / "mlflow").rglob("*")) == files / 2
    assert tracker.prune("noaa", later, {kept.mlflow_run_id}) == 0
    assert tracker.prune("midwest", later, ()) == 0


def test_mlflow_shows_parameters_and_metrics(before: tuple[Path, Candidate]) -> None:
    home, made = before
    tracker = Tracker(home)
    rows = LoggedRows("noaa", "temperature", "evaluation", "cd" * 32, 7, ("temperature_0",), 20, TIME, TIME)
    scores = {"test_rmse_6": 1.75, "test_skill": 0.25}
    for _ in range(2):  # a trial that is repeated adds nothing
        tracker.add_scores(made.mlflow_run_id, scores, {"release": "0001-cccccccc"}, rows)
    run = tracker.client.get_run(made.mlflow_run_id)
    assert run.data.params == {"alpha": "0.5"}
    assert {"rmse": 1.5, "validation_rmse_1": 1.25, "test_rmse_6": 1.75, "test_skill": 0.25}.items() <= dict(
        run.data.metrics
    ).items()
    tags = {"feed": "noaa", "target": "temperature", "kind": "linear", "release": "0001-cccccccc"}
    assert tags.items() <= run.data.tags.items()
    inputs = {each.tags[0].value: each.dataset for each in run.inputs.dataset_inputs}
    assert len(inputs) == len(run.inputs.dataset_inputs) == 2
    assert {each.name for each in inputs.values()} == {"noaa/temperature/windows"}
    assert {context: each.digest for context, each in inputs.items()} == {
        "training": ("ab" * 32)[:36],
        "evaluation": ("cd" * 32)[:36],
    }
    assert json.loads(inputs["training"].profile)["learned"] == 80
    assert json.loads(inputs["evaluation"].profile)["rows"] == 20
    assert run.info.run_name == "temperature linear"
    assert run.data.tags["mlflow.note.content"] == "Promoted. Release [0001](http://x)."
    logged = tracker.client.get_logged_model(made.model_uri.removeprefix("models:/"))
    assert logged.name == "noaa-temperature-linear"
    import mlflow

    signature = mlflow.models.get_model_info(made.model_uri).signature
    assert signature.inputs.input_names() == ["features"]
    assert tracker.client.get_registered_model(MODEL).tags == {"feed": "noaa", "target": "temperature"}
    version = tracker.client.get_model_version_by_alias(MODEL, ALIAS)
    assert version.tags == {"release": "0001-cccccccc", "verdict": "promoted"}
    assert version.description == "Promoted. Release [0001](http://x)."
    assert tracker.notes == []


def test_copied_home_keeps_history_and_leaves_original_alone(copy: Path, before: tuple[Path, Candidate]) -> None:
    old, made = before
    state = {path: path.stat().st_mtime_ns for path in old.rglob("*")}
    tracker = Tracker(copy)
    again = record(tracker, config_hash="f" * 64)
    assert tracker.notes == [f"the home was {old} before: MLflow's paths were updated"]
    import mlflow

    for each in (made, again):
        assert mlflow.onnx.load_model(each.model_uri).graph.output[0].name == "forecast"
        logged = tracker.client.get_logged_model(each.model_uri.removeprefix("models:/"))
        assert Path(logged.artifact_location).is_relative_to(copy)
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*")} == state
    with closing(sqlite3.connect(copy / FILE)) as con:
        assert str(old) not in "\n".join(con.iterdump())
    assert Tracker(copy).client.get_run(made.mlflow_run_id)


def _lost(home: Path) -> None:
    (home / FILE).unlink()


def _cut(home: Path) -> None:
    data = (home / FILE).read_bytes()
    (home / FILE).write_bytes(data[: len(data) // 2])


def _overwritten(home: Path) -> None:
    data = bytearray((home / FILE).read_bytes())
    data[8192:65536] = b"\xff" * (65536 - 8192)
    (home / FILE).write_bytes(data)


def _text(home: Path) -> None:
    (home / FILE).write_text("not a database")


def _foreign(home: Path) -> None:
    (home / FILE).unlink()
    with closing(sqlite3.connect(home / FILE)) as con, con:
        con.execute("CREATE TABLE stranger (a)")


def _newer(home: Path) -> None:
    with closing(sqlite3.connect(home / FILE)) as con, con:
        con.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


FAULTS = {
    _lost: "mlflow.db was missing: a new one was created",
    _cut: "mlflow.db is damaged",
    _overwritten: "mlflow.db is damaged",
    _text: "mlflow.db is damaged",
    _foreign: "mlflow.db is not a database of MLflow",
    _newer: "mlflow.db has the schema of another MLflow (ffffffffffff)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unusable_database_is_set_aside_and_recreated(
    copy: Path, before: tuple[Path, Candidate], fault: Callable[[Path], None]
) -> None:
    fault(copy)
    left = (copy / FILE).read_bytes() if (copy / FILE).exists() else None
    tracker = Tracker(copy)
    assert not tracker.knows(before[1])
    (note,) = tracker.notes
    assert note.startswith(FAULTS[fault])
    aside = [path.read_bytes() for path in copy.glob("mlflow-2*.db")]
    assert aside == ([left] if left else []), "nothing is ever deleted"
    assert tracker.knows(record(tracker))
    assert Tracker(copy).client.search_registered_models()


def test_run_deleted_by_user_is_logged_again(copy: Path, before: tuple[Path, Candidate]) -> None:
    made, tracker = before[1], Tracker(copy)
    assert tracker.knows(made)
    tracker.client.delete_run(made.mlflow_run_id)
    assert not tracker.knows(made)
    assert tracker.knows(record(tracker))
    tracker.client.delete_registered_model(MODEL)
    tracker.client.delete_experiment(tracker.client.get_experiment_by_name("noaa").experiment_id)
    again = Tracker(copy)
    assert again.knows(record(again))
    assert again.notes == ["MLflow's experiment noaa was deleted and has been restored: trainings continue in it"]
    shutil.rmtree(copy / "mlflow")
    assert again.knows(record(again))
    assert not again.follow(MODEL, "0" * 32, {})


def test_older_schema_is_upgraded_and_copy_kept(copy: Path, before: tuple[Path, Candidate]) -> None:
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from sqlalchemy import create_engine

    engine, config = create_engine(f"sqlite:///{copy / FILE}"), _get_alembic_config(f"sqlite:///{copy / FILE}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    engine.dispose()
    with closing(sqlite3.connect(copy / FILE)) as con:
        (revision,) = con.execute("SELECT version_num FROM alembic_version").fetchone()
    assert Tracker(copy).knows(before[1])
    assert (copy / f"mlflow-{revision}.db").exists()


def test_locked_database_skips_logging_with_warning(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aerocast.models.tracking_database._BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(copy / FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingUnavailable, match=r"mlflow\.db cannot be used: database is locked") as caught:
            record(Tracker(copy))
    assert len(str(caught.value).splitlines()) == 1
    assert record(Tracker(copy))


def test_database_killed_during_creation_is_recreated(tmp_path: Path) -> None:
    home = next(home for home in (tmp_path / str(number) for number in count()) if killed_while_making(home))
    assert Tracker(home).client.search_experiments()
    assert not list(home.glob("mlflow-new-*"))


def killed_while_making(home: Path) -> bool:
    """Kills a process that makes the database; whether it came in time."""
    home.mkdir()
    maker = subprocess.Popen([sys.executable, "-c", OPEN, str(home)])
    while maker.poll() is None and not any(each.stat().st_size for each in home.glob("mlflow-new-*.db")):
        time.sleep(0.001)
    maker.kill()
    maker.wait()
    return any(home.glob("mlflow-new-*.db")) and not (home / "mlflow.db").exists()


def test_two_processes_create_database_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for client in [pool.submit(_open, tmp_path) for _ in range(2)]:
            assert client.result(120) == 1


def _open(home: Path) -> int:
    return len(Tracker(home).client.search_experiments())
