"""Code versions: what a layer is made by counts wherever it is written, and nothing else does."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aerocast
from aerocast.common import closure
from aerocast.common.closure import NOT_COUNTED, Package, parse_source
from tests.harness.checkout import copy_project

SOURCES = sorted(Path(aerocast.__file__).parent.rglob("*.py"))
VERSIONS = """
import json
from aerocast_assets.definitions import defs
keys = defs().get_repository_def().asset_graph
found = {key.to_user_string(): keys.get(key).code_version for key in keys.get_all_asset_keys()}
print(json.dumps(found))
"""


def meaning(text: str) -> str:
    return parse_source(text.encode(), "aerocast").meaning


# One module ----------------------------------------------------------------------------------------------------------


@given(st.sampled_from(SOURCES))
@settings(max_examples=20, deadline=None)
def test_comments_and_formatting_leave_version_unchanged(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert meaning(ast.unparse(ast.parse(text))) == meaning(text)


@given(st.sampled_from([path for path in SOURCES if re.search(r"^[A-Z_]+ = \d+", path.read_text(), re.MULTILINE)]))
@settings(max_examples=10, deadline=None)
def test_changed_constant_changes_version(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert meaning(re.sub(r"^([A-Z_]+ = )(\d+)", r"\g<1>1\2", text, count=1, flags=re.MULTILINE)) != meaning(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"""A."""\nx = 1', '"""B."""\nx = 1', True),
        ('def f():\n    """A."""\n    return 1', "def f():\n    return 1", True),
        ('class C:\n    """A."""\n    x = 1\n    """Of x."""', 'class C:\n    """B."""\n    x = 1', True),
        ("if TYPE_CHECKING:\n    import a", "if typing.TYPE_CHECKING:\n    import b", True),
        ("x = f(\n    1,\n)", "x = f(1)", True),
        ("if TYPE_CHECKING:\n    x = 1\nelse:\n    x = 2", "x = 2", False),
        ("x = 1", "x = True", False),
        ("x = 1", "x = 1.0", False),
        ("x = 'a'", "x = b'a'", False),
        ("x = None", "x = ()", False),
        ("f(a, b)", "f(b, a)", False),
        ("x = [a, [b]]", "x = [[a], b]", False),
        ("def f(): 'words'", "def f(): return 'words'", False),
    ],
)
def test_module_version_ignores_docstrings_and_type_checking_imports(one: str, other: str, same: bool) -> None:
    assert (meaning(one) == meaning(other)) == same


def test_type_checking_import_is_not_followed() -> None:
    text = b"""
import aerocast.a
from aerocast import b
from . import c
from .d import x
from .. import e
if TYPE_CHECKING:
    from aerocast import f
else:
    from aerocast import g
def late():
    from aerocast.h import y
"""
    imports = set(parse_source(text, "aerocast.room").imports)
    assert imports == {
        ("aerocast.a", None),
        ("aerocast", "b"),
        ("aerocast.room", "c"),
        ("aerocast.room.d", "x"),
        ("aerocast", "e"),
        ("aerocast", "g"),
        ("aerocast.h", "y"),
    }


# One package ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A package in which `build` reaches `deep` through a room, and round again."""
    folder = tmp_path / "aerocast"
    (folder / "room").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "build": "from aerocast.room import part\nimport json\ndef f():\n    from aerocast import lake\n",
        "room/__init__": "from aerocast import beside\n",
        "room/part": "from aerocast.room.deep import X\nfrom aerocast.room.deep import Y\n",
        "room/deep": "from aerocast import build\nX, Y = 1, 2\n",
        "beside": "",
        "lake": "from aerocast import beside\n",
        "whole": "from aerocast.room import beside\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_closure_follows_modules_and_packages_of_imported_names(small: Path) -> None:
    package = Package(small)
    assert package.closure("aerocast.build") == ["aerocast.build", "aerocast.room.deep", "aerocast.room.part"]
    assert package.closure("aerocast.whole") == ["aerocast.beside", "aerocast.room", "aerocast.whole"]
    assert package.closure("aerocast.lake") == ["aerocast.beside", "aerocast.lake"], "what is asked for counts"
    with pytest.raises(ValueError, match=r"aerocast\.nothing is not a module"):
        package.version("aerocast.nothing")


@pytest.mark.parametrize("written", [True, False])
def test_cached_parse_is_used_only_for_same_bytes(small: Path, written: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not written)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    kept = small / "__pycache__" / f"closure.{sys.implementation.cache_tag}.json"
    before = Package(small).version("aerocast.build")
    assert kept.exists() == written
    assert Package(small).version("aerocast.build") == before
    deep = small / "room/deep.py"
    stamp = deep.stat()
    deep.write_text(deep.read_text().replace("1, 2", "1, 3"))
    os.utime(deep, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    after = Package(small).version("aerocast.build")
    assert after != before
    if written:
        for damage in (b"", b"{", kept.read_bytes()[:-9]):
            kept.write_bytes(damage)
            assert Package(small).version("aerocast.build") == after
    deep.write_text("# as before\n" + deep.read_text().replace("1, 3", "1, 2"))
    assert Package(small).version("aerocast.build") == before


def test_unwritable_cache_folder_still_gives_version(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(small / "build.py"))
    assert len(Package(small).version("aerocast.build")) == 12


# The layers ----------------------------------------------------------------------------------------------------------


def test_uncounted_modules_exist_and_are_listed_once() -> None:
    files = closure._files(Path(aerocast.__file__).parent)
    assert files.keys() >= NOT_COUNTED


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The domain and its assets, to be edited."""
    return copy_project(tmp_path_factory.mktemp("copy"), "aerocast", "aerocast_assets")


def versions(place: Path) -> dict[str, str]:
    """The code version of each asset that Dagster would load from there."""
    env = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run([sys.executable, "-c", VERSIONS], cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def edit(place: Path, module: str, old: str, new: str) -> None:
    path = place / "aerocast" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The layers of noaa, and raw of midwest, whose code is another."""
    assert before.keys() == after.keys()
    shown = {key for key in before if before[key] != after[key]}
    return {key.removeprefix("noaa/").removeprefix("temperature/") for key in shown if key.startswith("noaa/")} | {
        key for key in shown if key == "midwest/raw"
    }


@pytest.mark.e2e
def test_layer_version_covers_its_imports(copy: Path) -> None:
    models = {"persistence", "seasonal_naive", "linear", "xgboost", "sequence"}
    first = versions(copy)
    assert {key for key, version in first.items() if key.startswith("noaa/") and version} >= {
        *(f"noaa/{layer}" for layer in ("raw", "bronze", "silver", "windows", "evaluation")),
        *(f"noaa/temperature/{name}" for name in (*models, "champion", "forecasts")),
    }

    edit(copy, "common/units", '"""Checks and converts units', '"""Other words for units by pint')
    edit(copy, "tables/silver", "import math\n", "import math  # for angles\n\n")
    edit(copy, "ingest/brokers/kafka", "STEP = 5.0", "STEP = 6.0")
    edit(copy, "lake/writing", "_ATTEMPTS = 200", "_ATTEMPTS = 201")
    edit(copy, "feed/policies", "daily_budget: int = Field(default=2", "daily_budget: int = Field(default=3")
    assert changed(first, versions(copy)) == set(), "words, brokers, storage, what else can be declared"

    edit(copy, "common/units", "return 1.0, 0.0", "return 1.0, 1e-9")
    edit(copy, "ingest/sources/_nws_readings", "_DIGITS = 10", "_DIGITS = 9")
    second = versions(copy)
    assert changed(first, second) == {
        *("bronze", "silver", "windows", "champion", "evaluation", "anomalies", "midwest/raw")
    }

    edit(copy, "tables/quality/quarantine", "_EXCERPT = 60", "_EXCERPT = 61")
    edit(copy, "monitoring/evaluation/shadow", "0.3 * np", "0.4 * np")
    edit(copy, "models/kinds/_trees", "SHRINK = 200.0", "SHRINK = 210.0")
    third = versions(copy)
    assert changed(second, third) == {"bronze", "evaluation", "xgboost", "sequence"}

    edit(copy, "features/windows", "np.nan", "-np.nan")
    fourth = versions(copy)
    # An evaluation forecasts the newest steps again.
    assert changed(third, fourth) >= {"windows", "champion", "forecasts", "evaluation", *models}
    assert not changed(third, fourth) & {"raw", "bronze", "silver"}

    edit(copy, "promotion/scoring", 'ALL = "all"', 'ALL = "every"')
    assert changed(fourth, versions(copy)) >= {"champion", "forecasts", "evaluation"}
