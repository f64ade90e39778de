"""`aerocast run` as a person meets it, in a project of its own: what it says, and how it is stopped."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from cli.run import POOR
from tests.factories.feeds import declaration, write_readings
from tests.harness.checkout import copy_project

Run = Callable[..., subprocess.CompletedProcess[str]]
FEEDS = {"small": {}, "strict": {"promotion": {"min_skill": 0.999}}}
# A message of a library, a length of time as Python writes it, a truth value, a traceback.
NOISE = re.compile(r"Warning|WARN:|torchvision|Traceback|\b(True|False|None)\b|\d:\d\d:\d\d[^Z]|site-packages")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that declares two small feeds and nothing else, under a path with a blank."""
    packages = ("aerocast", "aerocast_assets", "serving", "cli", "demo")
    folder = copy_project(tmp_path_factory.mktemp("a project") / "of mine", *packages)
    defs, readings = folder / "aerocast_assets" / "defs", write_readings(folder / "readings.csv")
    for old in defs.glob("*/defs.yaml"):
        shutil.rmtree(old.parent)
    for name, changes in FEEDS.items():
        (defs / name).mkdir()
        attributes = declaration(readings, name=name, **changes)
        file = {"type": "aerocast_assets.component.FeedComponent", "attributes": attributes}
        (defs / name / "defs.yaml").write_text(yaml.safe_dump(file))
    return folder


def environment(project: Path, home: Path) -> dict[str, str]:
    own = {"AEROCAST_HOME": str(home), "DAGSTER_HOME": str(project), "PYTHONPATH": str(project)}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli", *arguments]


@pytest.fixture(scope="module")
def run(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("home") / "with a blank"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=project,
            env=environment(project, home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run


def test_run_is_quiet_and_ends_with_its_checks(run: Run) -> None:
    done = run("run", "--feed", "small")
    assert done.returncode == 0, done.stdout
    assert NOISE.findall(done.stdout) == []
    assert "small/bronze ... done in" in done.stdout
    assert "small/bronze_checks ... passed in" in done.stdout
    assert "validation_rmse" not in done.stdout
    assert len(done.stdout.splitlines()) < 100
    last = done.stdout.partition("\nChecks\n------\n")[2].splitlines()
    assert re.fullmatch(r"  \d+ passed(, \d+ warned)?", last[0])
    for line in last[1:]:
        assert re.match(r"  WARNED small/\S+ \S+: \S", line), "each says why"
    verbose = run("run", "--feed", "small", "--verbose")
    assert verbose.returncode == 0
    assert "0 computed," in verbose.stdout
    assert "  small/bronze ...\n" in verbose.stdout, "a line when a step begins"


def test_forced_run_recomputes_all_but_deliveries(run: Run) -> None:
    done = run("run", "--feed", "small", "--force")
    assert done.returncode == 0, done.stdout
    computed, unchanged = map(int, re.findall(r"(\d+) computed, (\d+) unchanged", done.stdout)[0])
    assert computed > unchanged


def test_run_without_good_model_has_own_status_and_lists_candidates(run: Run) -> None:
    done = run("run", "--feed", "strict")
    assert done.returncode == POOR == 3, done.stdout
    sentence = (
        "No model was good enough for temperature: at no horizon is one better than both baselines by more than 0.999"
    )
    assert done.stdout.count(sentence) == 3, "as it runs, under the candidates, and of the check"
    for kind in ("linear", r"persistence \(baseline\)", r"seasonal_naive \(baseline\)"):
        assert re.search(rf"^  {kind} +6 +[\d.]+ +[\d.]+ +[+-][\d.]+ +[+-][\d.]+$", done.stdout, re.MULTILINE), kind
    assert "Candidates for temperature" in done.stdout
    assert "FAILED strict/temperature/champion skill_above_zero" in done.stdout
    assert NOISE.findall(done.stdout) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["Materialising", "raw ..."])
def test_interrupted_run_ends_without_traceback(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int, moment: str
) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        command("run", "--feed", "small"),
        cwd=project,
        env=environment(project, home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = b""
    while moment.encode() not in said:
        said += os.read(process.stdout.fileno(), 4096)
    process.send_signal(number)
    said += process.communicate()[0]
    assert process.returncode == status, said.decode()
    assert "Stopped. Finished work is kept" in said.decode()
    assert NOISE.findall(said.decode()) == []
    monkeypatch.setenv("AEROCAST_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(project))
    with dg.DagsterInstance.get() as instance:
        assert [run for run in instance.get_runs() if not run.is_finished] == [], "nothing holds a slot forever"
