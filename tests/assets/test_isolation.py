"""One broken part under `defs/` takes nothing else down: the others load and run, and it is shown with its reason."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from aerocast_assets.feeds import TYPE, declarations, find_feed
from aerocast_assets.loading import load
from tests import PROJECT
from tests.factories.feeds import declaration
from tests.harness.checkout import copy_project

pytestmark = pytest.mark.e2e  # a code location for each kind of broken part

GOOD = ("good", "better")


def text(name: str, **changes: object) -> str:
    return yaml.safe_dump({"type": TYPE, "attributes": declaration(Path("x.csv"), name=name, **changes)})


@pytest.fixture
def defs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The defs folder of a project of its own, with two good feeds."""
    package = f"strange_{os.getpid()}_{abs(hash(tmp_path))}"
    place = tmp_path / package / "defs"
    place.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(f'[tool.dg.project]\nroot_module = "{package}"\n')
    for folder in (place, place.parent):
        (folder / "__init__.py").write_text("")
    shutil.copy(PROJECT / "aerocast_assets/defs/platform.py", place)
    for name in GOOD:
        write(place / name / "defs.yaml", text(name))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield place
    for module in [each for each in sys.modules if each.split(".")[0] == package]:
        del sys.modules[module]


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def broken_parts(defs: Path) -> None:
    """One of each kind of mistake."""
    files: dict[str, str | bytes] = {
        "misspelt/defs.yaml": text("misspelt", cadance="PT1H", seasons="daily"),
        "named/defs.yaml": text("good"),
        "typed/defs.yaml": text("typed").replace(TYPE, f"{TYPE}t"),
        "untyped/defs.yaml": "attributes: {}\n",
        "empty/defs.yaml": "",
        "latin/defs.yaml": text("latin").replace("Made", "M\xe4de").encode("latin-1"),
        "syntax/defs.yaml": "type: [a\nattributes: {",
        "double/defs.yaml": text("double") + "---\n" + text("double"),
        "again/defs.yaml": text("again").replace("  seasons:\n", "  seasons: [P7D]\n  seasons:\n"),
        "deep/er/defs.yaml": text("er"),
        "raises.py": "raise RuntimeError('no luck')\n",
        "exits.py": "import sys\nsys.exit(3)\n",
        "grammar.py": "def (:\n",
        "thief.py": "import dagster as dg\n\n\n@dg.asset(key=['good', 'raw'])\ndef stolen(): ...\n",
    }
    for name, content in files.items():
        write(defs / name, content)
    (defs / "folder/defs.yaml").mkdir(parents=True)
    (defs / "nowhere").mkdir()
    (defs / "nowhere/defs.yaml").symlink_to(defs / "gone.yaml")


REASONS = {
    "misspelt": "misspelt/defs.yaml:2: cadance: no such field; did you mean cadence?",
    "named": "name: 'good' must be the folder's name, 'named'",
    "typed": "FeedComponentt' is not a component; a feed's is",
    "untyped": "type: is missing",
    "empty": "this one is empty",
    "latin": "byte 0xe4 is not UTF-8",
    "syntax": "syntax/defs.yaml:2: not one YAML document",
    "double": "not one YAML document",
    "again": "seasons: named twice",
    "deep": "must lie directly in",
    "folder": "cannot be read: Is a directory",
    "nowhere": "cannot be read: No such file",
    "raises": "raises.py: RuntimeError: no luck",
    "exits": "exits.py: SystemExit: 3",
    "grammar": "grammar.py: SyntaxError: invalid syntax",
    "thief": "Duplicate asset key",
}


def test_broken_part_is_left_out_and_named(defs: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken_parts(defs)
    write(defs / "own.py", "import dagster as dg\n\n\n@dg.asset\ndef own(): ...\n")
    found = load(defs.parent)
    specs = {spec.key.to_user_string(): spec for spec in found.resolve_all_asset_specs()}
    assert {"good/raw", "better/raw", "own"} <= specs.keys()
    notes = {name.split("/")[0]: spec for name, spec in specs.items() if name.endswith("/declaration")}
    assert notes.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in str(notes[name].description), name
        assert any(name in line and "is left out, everything else works: " in line for line in caplog.messages), name
    with dg.DagsterInstance.ephemeral() as instance:
        key = dg.AssetCheckKey(dg.AssetKey(["misspelt", "declaration"]), "valid")
        selection = dg.AssetSelection.checks(key)
        wanted = dg.evaluate_automation_conditions(found, instance=instance, asset_selection=selection)
        assert wanted.total_requested == 1, "the UI shows it failed without anybody asking"
        job = found.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={key})
        (shown,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert not shown.passed
    assert "seasons: 'daily' is not allowed" in str(shown.description)


DAILY = "{target: 'key:daily/silver', attributes: {partitions_def: {type: daily, start_date: '2024-01-01'}}}"
LOST = "import dagster as dg\n\njob = dg.define_asset_job('lost', dg.AssetSelection.assets('nowhere'))\n"


@pytest.mark.parametrize(
    ("part", "name", "content", "reason"),
    [
        ("lost", "lost.py", LOST, "no AssetsDefinition objects supply these keys"),
        (
            "daily",
            "daily/defs.yaml",
            f"{text('daily')}post_processing: {{assets: [{DAILY}]}}\n",
            "must have the same partitions definitions",
        ),
    ],
)
def test_part_whose_jobs_do_not_resolve_is_left_out(
    defs: Path, part: str, name: str, content: str, reason: str
) -> None:
    write(defs / name, content)
    specs = {spec.key.to_user_string(): spec for spec in load(defs.parent).resolve_all_asset_specs()}
    assert {"good/raw", "better/raw"} <= specs.keys()
    assert [key for key in specs if key.startswith(part)] == [f"{part}/declaration"]
    assert reason in str(specs[f"{part}/declaration"].description)


def test_sound_parts_give_no_notice(defs: Path) -> None:
    keys = load(defs.parent).resolve_asset_graph().get_all_asset_keys()
    assert dg.AssetKey(["better", "raw"]) in keys
    assert not [key for key in keys if key.path[-1] == "declaration"]


def test_shared_part_is_not_left_out(defs: Path) -> None:
    write(defs / "platform.py", "raise RuntimeError('nothing works without me')\n")
    with pytest.raises(RuntimeError, match="nothing works without me"):
        load(defs.parent)


def test_declaration_is_read_like_dagster(defs: Path) -> None:
    write(defs / "yml/defs.yml", text("yml"))
    write(defs / "stranger/defs.yaml", "type: dagster.DefsFolderComponent\n")
    assert [each.name for each in declarations(defs)] == ["better", "good", "yml"]
    assert find_feed("yml", defs).name == "yml"
    assert dg.AssetKey(["yml", "raw"]) in load(defs.parent).resolve_asset_graph().get_all_asset_keys()


# The commands, as processes of a checkout with a broken feed ---------------------------------------------------------

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path, home: Path) -> Run:
    """Runs a command of a checkout whose feed `noaa` is broken."""
    # The commands find Dagster's instance beside their own folder.
    place = copy_project(tmp_path / "checkout", "aerocast_assets", "cli", files=())
    for name in ("aerocast", "serving", "demo", "pyproject.toml", "dagster.yaml"):
        (place / name).symlink_to(PROJECT / name)
    noaa = place / "aerocast_assets/defs/noaa/defs.yaml"
    noaa.write_text(noaa.read_text().replace("cadence: PT1H", "cadence: 1h").replace("unit: mm", "unit: mmm"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=place,
            env={**os.environ, "AEROCAST_HOME": str(home), "DAGSTER_HOME": str(place), "PYTHONPATH": str(place)},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


def test_check_command_names_every_mistake_and_run_refuses_feed(checkout: Run, tmp_path: Path) -> None:
    checked = checkout("check")
    lines = checked.stdout.splitlines()
    assert (checked.returncode, checked.stderr) == (1, "")
    assert [line.split("noaa/defs.yaml")[1].split("; usual")[0] for line in lines[:-1]] == [
        ":13: cadence: '1h' is not allowed: write PT1H",
        ":29: columns[6].unit: 'mmm' is not a unit",
    ]
    assert re.fullmatch(r"1 of \d+ declarations not valid: noaa", lines[-1])
    refused = checkout("run", "--feed", "noaa")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: feed noaa is not valid:\n")
    assert ":13: cadence: '1h' is not allowed: write PT1H" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    own = tmp_path / "checkout/aerocast_assets/defs/heatwave"
    assert checkout("check", str(own), str(own / "defs.yaml")).stdout == "2 declarations valid: heatwave, heatwave\n"
    assert checkout("check", str(tmp_path / "none")).stderr.endswith("none cannot be read: No such file or directory\n")


def test_run_of_other_feed_mentions_broken_one_in_one_sentence(checkout: Run) -> None:
    ran = checkout("run", "--feed", "heatwave")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (warning,) = [line for line in (ran.stdout + ran.stderr).splitlines() if "is left out" in line]
    assert "noaa is left out, everything else works: " in warning
    assert "cadence: '1h' is not allowed: write PT1H (and 1 more: see `aerocast check`)" in warning
    assert "Traceback" not in ran.stdout + ran.stderr
