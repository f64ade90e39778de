"""The feed component as `dg` shows it: listed, documented with a sample that works, and scaffolded for a new feed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dagster.components.core.snapshot import get_package_entry_snap
from dagster_shared.serdes.objects.package_entry import EnvRegistryKey, json_for_all_components

from aerocast.feed.declaration import Feed
from aerocast_assets.component import FeedComponent
from aerocast_assets.feeds import TYPE
from tests.harness.checkout import copy_project

Dg = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    return copy_project(tmp_path_factory.mktemp("stranger"), "aerocast", "aerocast_assets")


@pytest.fixture(scope="module")
def dg(project: Path) -> Dg:
    def run(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("dg")), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(project), "AEROCAST_HOME": str(project / "home")}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_component_is_listed_with_its_summary(dg: Dg) -> None:
    components = {each["key"]: each["summary"] for each in json.loads(dg("list", "components", "--json"))["items"]}
    assert components[TYPE].startswith("One feed: ")


def test_component_is_documented_field_by_field(dg: Dg) -> None:
    assert "docs/feeds.md" in dg("utils", "inspect-component", TYPE, "--description")
    schema = json.loads(dg("utils", "inspect-component", TYPE, "--defs-yaml-json-schema"))["properties"]["attributes"]
    parts = {"Feed": schema, **schema["$defs"]}.items()
    fields = {f"{part}.{name}": each for part, own in parts for name, each in own["properties"].items()}
    assert len(fields) > 100
    assert [name for name, each in fields.items() if not each.get("description")] == []
    for option in ("--defs-yaml-schema", "--defs-yaml-example-values", "--scaffold-params-schema"):
        assert yaml.safe_load(dg("utils", "inspect-component", TYPE, option))


def test_sample_of_component_page_is_a_valid_feed() -> None:
    snap = get_package_entry_snap(EnvRegistryKey.from_typename(TYPE), FeedComponent)
    (namespace,) = json_for_all_components([snap])
    (page,) = namespace["componentTypes"]
    assert page["description"]
    assert page["owners"]
    sample = yaml.safe_load(page["example"])
    assert sample["type"] == TYPE
    assert Feed.parse(sample["attributes"]).name == "garden"


def test_scaffolded_feed_is_checked_and_loaded(project: Path, dg: Dg) -> None:
    dg("scaffold", "defs", TYPE, "garden")
    assert (project / "aerocast_assets/defs/garden/defs.yaml").is_file()
    dg("check", "yaml")
    assets = {each["asset_key"] for each in json.loads(dg("list", "defs", "--json"))["assets"]}
    assert {"garden/raw", "garden/temperature/champion", "garden/temperature/forecasts"} <= assets
