"""A user's own kinds from an installed package: declared, trained, judged and served; the project names none."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import MODELS
from aerocast.lake import Lake
from aerocast.models import candidates, trainer
from aerocast.models.tracking import Tracker
from aerocast.releases import release
from aerocast_assets.keys import key
from tests.factories.feeds import declaration, small_feed
from tests.factories.packages import install_example
from tests.harness.graph import metadata, refresh

MORE = """
from toy_model import Toy


class Mute(Toy):
    kind = "mute"
    title = "A toy without a graph"
    serves = False
    takes_covariates = False

    @classmethod
    def fit(cls, data, parameters, log):
        assert not [name for name in data.names if "windspeed" in name or "pressure" in name], "covariates"
        return super().fit(data, parameters, log)


class Hungry(Toy):
    kind = "hungry"
    title = "A toy that needs CUDA"
    needs_cuda = True
"""
BASELINES = {"persistence": {}, "seasonal_naive": {}}
KINDS = {"mute": "toy_model.more:Mute", "hungry": "toy_model.more:Hungry", "torn": "toy_model.torn:Torn"}


def edit(folder: Path, module: str, old: str, new: str) -> None:
    path = folder / "toy_model" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def install(folder: Path) -> None:
    """The example package with more kinds beside its own; one of its modules cannot be imported."""
    install_example(folder, "toy_model", {"aerocast.models": KINDS})
    (folder / "toy_model/more.py").write_text(MORE)
    (folder / "toy_model/torn.py").write_text("import no_such_module\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the package; what it brings is forgotten after the test."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(MODELS, "_classes", {})
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_model"]:
        del sys.modules[name]


def declared(readings: Path, **kinds: dict[str, float]) -> Feed:
    """A feed of which two columns are covariates."""
    window = {"steps": 5, "columns": ["temperature"], "look_back": 24}
    return small_feed(readings, candidates={**kinds, **BASELINES}, window=window)


def test_parameters_of_installed_kind_are_checked_and_in_schema(installed: Path) -> None:
    base = declaration(Path("x.csv"))
    with pytest.raises(AeroCastError) as error:
        Feed.parse({**base, "candidates": {"toy": {"penlty": 1}, "tay": {}, "torn": {}, **BASELINES}})
    told = str(error.value)
    assert "candidates.toy.penlty: no such field; did you mean penalty?" in told
    assert (
        "candidates.tay: 'tay' is not allowed: did you mean toy? one of gru, linear, long_linear, lstm, persistence,"
        in told
    )
    assert (
        "candidates.torn: kind 'torn' (toy_model.torn:Torn) cannot be imported: No module named 'no_such_module'"
        in told
    )
    kinds = Feed.model_json_schema()["properties"]["candidates"]["properties"]
    assert kinds["toy"]["properties"]["penalty"]["default"] == 10.0
    assert kinds.keys() == {*MODELS.names()} - {"torn"}


@pytest.mark.e2e
def test_installed_kind_is_trained_judged_and_served(
    installed: Path, readings: Path, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_has_cuda", lambda: False)
    feed = declared(readings, toy={"penalty": 3.0}, mute={}, hungry={})
    result = refresh(feed, home, instance)
    assert result.success, [event.step_key for event in result.get_step_failure_events()]
    toy, mute = (candidates.read_candidate(home, "small", "temperature", kind) for kind in ("toy", "mute"))
    assert toy
    assert mute
    assert (bool(toy.graph), toy.forecasts, toy.parameters) == (True, None, {"seed": 0, "penalty": 3.0})
    assert not mute.graph
    assert mute.forecasts
    assert set(mute.features) < set(toy.features)
    assert toy.validation.keys() >= {"validation_rmse_1", "validation_rmse_6", "calibration_rmse_1"}
    with duckdb.connect() as con:
        scores = Lake(home).relation(con, "small/temperature/scores").filter("station = 'all' AND horizon = 0")
        found = {row[0]: row[1:] for row in scores.select("model, n, coverage, composite").fetchall()}
    assert found.keys() == {"toy", "mute", *BASELINES}
    assert len({n for n, _, _ in found.values()}) == 1, "all on the same rows"
    pointer = release.current(home, "small", "temperature")
    assert pointer
    assert release.load(home, "small", "temperature", pointer.version).manifest.kind == "toy"
    decision = metadata(result, key(feed, "temperature", "champion"))["decision"]
    assert "mute was scored, and is never promoted: it has no ONNX graph, so it cannot serve." in decision
    lacking = metadata(result, key(feed, "temperature", "hungry"))["lacking"]
    assert lacking == "hungry needs CUDA, and this machine has none"
    assert Tracker(home).knows(mute)


@pytest.mark.e2e
def test_kind_that_cannot_serve_is_not_promoted(
    installed: Path, readings: Path, home: Path, instance: dg.DagsterInstance
) -> None:
    refresh(declared(readings, mute={}), home, instance)
    assert release.current(home, "small", "temperature") is None
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/temperature/promotions").select("promoted, winner, reason").fetchall()
    assert [row[:2] for row in rows] == [(False, None)]
    assert rows[0][2].endswith("mute was scored, and is never promoted: it has no ONNX graph, so it cannot serve.")


@pytest.mark.e2e
def test_installed_kind_depends_on_its_own_code_only(installed: Path) -> None:
    """Another version of the package makes the candidate stale, whichever of its modules says something else."""

    def versions() -> dict[str, str]:
        text = (
            "import json; from aerocast_assets.assets.candidates import code\n"
            "print(json.dumps({kind: code(kind) for kind in ('toy', 'linear')}))"
        )
        path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
        env = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(done.stdout)
        return found

    first = versions()
    edit(installed, "__init__", "class Toy(", "# another word\nclass Toy(")
    assert versions() == first
    edit(installed, "__init__", '"IsNaN"', '"IsInf"')
    second = versions()
    assert second["toy"] != first["toy"]
    edit(installed, "arithmetic", "penalty *", "2 * penalty *")
    third = versions()
    assert third["toy"] != second["toy"]
    assert {each["linear"] for each in (first, second, third)} == {first["linear"]}
