"""Rules for imports and folders that import-linter cannot state."""

import re
from pathlib import Path

from tests import PROJECT

SHELLS = ("aerocast_assets", "serving", "feeder", "cli", "demo", "benchmarks")
TESTS = PROJECT / "tests"
PRIVATE = re.compile(r"\bdagster\._|\bdagster\.components\.core\b|\bdagster_shared\b")


def folders(path: Path) -> set[str]:
    return {each.name for each in path.iterdir() if each.is_dir() and any(each.rglob("*.py"))}


def test_only_compat_touches_private_modules_of_dagster() -> None:
    code = [path for room in ("aerocast", *SHELLS) for path in (PROJECT / room).rglob("*.py")]
    private = {path.relative_to(PROJECT).as_posix() for path in code if PRIVATE.search(path.read_text())}
    assert private == {f"aerocast_assets/_compat/{name}.py" for name in ("__init__", "components", "storage", "ui")}


def test_folders_of_tests_mirror_rooms() -> None:
    rooms = folders(PROJECT / "aerocast") | {shell.removeprefix("aerocast_") for shell in SHELLS}
    assert folders(TESTS) == rooms | {"e2e", "project", "factories", "harness"}
    assert list(TESTS.glob("test_*.py")) == []


def test_subfolders_of_tests_mirror_packages_of_room() -> None:
    assert folders(TESTS / "assets") <= folders(PROJECT / "aerocast_assets")
    for room in folders(PROJECT / "aerocast"):
        assert folders(TESTS / room) <= folders(PROJECT / "aerocast" / room), room


def test_no_script_hides_a_package() -> None:
    """A script's own folder is searched first: one of a package's name would be imported in its place."""
    scripts = {path.stem for path in (PROJECT / "benchmarks").glob("*.py")}
    assert scripts & {"aerocast", "tests", *SHELLS} == set()
