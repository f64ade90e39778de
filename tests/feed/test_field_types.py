"""What `dg check yaml` says about a declaration: each mistake names its place and what is allowed."""

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aerocast.common import units
from aerocast.feed.declaration import Feed
from tests import PROJECT
from tests.factories.feeds import declaration


def mistakes(**changes: Any) -> list[tuple[str, str]]:
    """Place and message of every mistake that the JSON schema finds."""
    found = declaration(Path("readings.csv"))
    for name, value in changes.items():
        *parents, last = name.split("__")
        place: Any = found
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        place[last] = value
    # Tuples of the tests' Python are arrays of YAML.
    checked = jsonschema.Draft202012Validator(Feed.model_json_schema()).iter_errors(copy.deepcopy(found))
    return [(".".join(map(str, error.absolute_path)), error.message) for error in checked]


def test_valid_declaration_has_no_mistakes() -> None:
    assert mistakes() == []


@pytest.mark.parametrize(
    ("change", "value", "place", "says"),
    [
        ("cadense", "PT1H", "", "'cadense' is not one of ['name', 'description'"),
        ("seasons", ["daily"], "seasons.0", "'daily' does not match '^P"),
        ("cadence", "1 hour", "cadence", "'1 hour' does not match '^P"),
        ("cadence", "P", "cadence", "'P' does not match '^P"),
        ("columns__0__unit", "mphh", "columns.0.unit", "'mphh' is not one of ['degC', 'degF'"),
        ("columns__1__max_stepp", 3, "columns.1", "'max_stepp' is not one of ['name', 'label'"),
        ("candidates__xgbost", {}, "candidates", "'xgbost' is not one of ['gru', 'linear'"),
        ("candidates__gru", {"hiden": 3}, "candidates.gru", "'hiden' is not one of ['seed', 'hidden'"),
        ("candidates__gru", {"hidden": "big"}, "candidates.gru.hidden", "'big' is not of type 'integer'"),
    ],
)
def test_mistake_names_its_place_and_allowed_values(change: str, value: object, place: str, says: str) -> None:
    found = mistakes(**{change: value})
    assert {where for where, _ in found} == {place}
    assert any(message.startswith(says) for _, message in found)


def test_unit_pattern_agrees_with_pint() -> None:
    right = ["celsius", "ug/m^3", "Mbit/s", "m s^-1", "m/s**2", "1/min", "furlong/fortnight", "kilowatt", "hectopascal"]
    right += ["µg/m³", "μg/m³", "°C", "°F", "W/m²", "kg m⁻² s⁻¹", "g·m⁻³", "%", "°", "m s-1", "ugm-3", "Deg C"]
    right += ["EUR/MWh", "€/MWh", "kEUR", "veh/h", "okta", "NTU", "pH", "ppb", "m3/s", "kg m-2 s-1", "dBm"]
    wrong = ["mphh", "tempp", "bannana", "m s-", "Pa*", "*", "(m", "3", "m/s" * 40 + "!"]
    for unit in right:
        assert units.dimension(unit) is not None
        assert re.search(units.pattern(), unit)
    for unit in wrong:
        assert units.dimension(unit) is None
        assert not re.search(units.pattern(), unit)


def test_dg_check_yaml_reports_mistake(tmp_path: Path) -> None:
    feed = tmp_path / "aerocast_assets" / "defs" / "noaa"
    feed.mkdir(parents=True)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for module in ("__init__.py", "definitions.py", "defs/__init__.py"):
        shutil.copy(PROJECT / "aerocast_assets" / module, tmp_path / "aerocast_assets" / module)
    right = (PROJECT / "aerocast_assets" / "defs" / "noaa" / "defs.yaml").read_text()
    (feed / "defs.yaml").write_text(
        right.replace("  cadence:", "  cadense:").replace("source_unit: mph,", "source_unit: mphh,")
    )
    dg = Path(sys.executable).with_name("dg")
    if not dg.exists():
        pytest.skip("dg is not installed beside this Python")
    said = subprocess.run([dg, "check", "yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1
    assert "defs.yaml:13" in said.stdout  # the line of the misspelt field
    assert "'cadense' is not one of ['name'" in said.stdout
    assert "columns.3.source_unit" in said.stdout
    assert "'mphh' is not one of ['degC'" in said.stdout
