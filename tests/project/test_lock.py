"""The lock: each package at one version that pyproject.toml allows, known by its hashes, from no named place."""

import json
import re
import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests import PROJECT

LOCK, MAKEFILE = PROJECT / "requirements.lock", PROJECT / "Makefile"
PINNED = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>\S+)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})*)")
PLACE = re.compile(r"\S*(?:://|@|\.whl|\.org|\.com|/\w+/)\S*|--(?:extra-)?index-url.*|--find-links.*")
UNLOCKED = {"torch"}  # a lock of one machine would tie it to that machine's build


def entries() -> list[str]:
    """The lock's lines without comments, a package each."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", "")
    return [re.sub(r"\s+", " ", line) for line in text.splitlines() if line and not line.startswith("#")]


def versions() -> dict[str, Version]:
    found = [match for entry in entries() if (match := PINNED.fullmatch(entry))]
    return {canonicalize_name(match["name"]): Version(match["version"]) for match in found}


def requirements() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in chain(project["dependencies"], *project["optional-dependencies"].values())]


def test_every_locked_package_has_one_version_and_hashes() -> None:
    found = {entry: PINNED.fullmatch(entry) for entry in entries()}
    assert [entry[:80] for entry, match in found.items() if not (match and match["hashes"])] == []
    assert len(found) == len(versions()) > 200


def test_lock_names_no_index_host_and_no_path() -> None:
    """Its comments, too, which name the command that wrote it."""
    text = LOCK.read_text(encoding="utf-8")
    assert PLACE.findall(text) == []


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_locked_version_is_one_that_project_allows(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    if name in UNLOCKED:
        assert name not in versions()
        assert f"pip install --quiet $(TORCH_INDEX) {requirement}\n" in MAKEFILE.read_text(encoding="utf-8")
    else:
        assert versions()[name] in requirement.specifier


def test_lock_of_pages_has_hashes_and_names_no_host() -> None:
    text = (PROJECT / "web/package-lock.json").read_text(encoding="utf-8")
    packages = {name: each for name, each in json.loads(text)["packages"].items() if name}
    assert [name for name, each in packages.items() if not each["integrity"].startswith("sha512-")] == []
    assert PLACE.findall(re.sub(r'"(?:@|node_modules/)[^"]*"|"integrity": "[^"]*"|"url": "[^"]*"', "", text)) == []
    assert "registry." not in text
    named = json.loads((PROJECT / "web/package.json").read_text(encoding="utf-8"))
    wanted = named["dependencies"] | named["devDependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted, "exact versions"


def test_setup_installs_nothing_that_has_no_hash() -> None:
    """But pip itself, torch, and the project without what it needs."""
    calls = re.findall(r"pip install (.+)", MAKEFILE.read_text(encoding="utf-8").partition("\nlock:")[0])
    others = ('--upgrade "pip>=', "$(TORCH_INDEX) torch==", "--no-deps ")
    assert [call for call in calls if not any(other in call for other in others)] == [
        "--quiet --require-hashes -r requirements.lock"
    ]
