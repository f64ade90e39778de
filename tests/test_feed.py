"""The declaration: what is right loads, and every mistake names its field, its value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast_assets.feeds import DEFS, find_feed
from tests.making import declaration


def test_every_declared_feed_is_valid() -> None:
    names = [path.parent.name for path in DEFS.glob("*/defs.yaml")]
    assert "noaa" in names
    assert [find_feed(name).name for name in names] == names


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cadance": "PT1H"}, ["cadance", "allowed here", "cadence"]),
        ({"cadence": "PT7H"}, ["cadence", "7:00:00", "divide a day"]),
        ({"horizons": [6, 1]}, ["horizons", "[6, 1]", "rise"]),
        ({"horizons": [1, 1]}, ["horizons", "1", "twice"]),
        ({"horizons": [0]}, ["horizons[0]", "0", "greater than or equal to 1"]),
        ({"targets": ["humidity"]}, ["targets", "humidity", "allowed: temperature, windspeed, pressure"]),
        ({"stations": []}, ["stations", "at least 1"]),
        ({"stations": [{"id": "A B"}]}, ["stations[0].id", "A B"]),
        ({"stations": [{"id": "A", "timezone": "Mars/Base"}]}, ["stations[0].timezone", "Mars/Base", "IANA"]),
        ({"candidates": {"linear": {}}}, ["candidates", "persistence", "seasonal_naive"]),
        ({"candidates": {"prophet": {}, "persistence": {}, "seasonal_naive": {}}}, ["candidates", "prophet", "gru"]),
        (
            {"candidates": {"linear": {"penalty": 1}, "persistence": {}, "seasonal_naive": {}}},
            ["candidates.linear.penalty", "allowed", "penalties"],
        ),
        ({"window": {"columns": ["temperature"], "look_back": 3}}, ["window.look_back", "3"]),
        ({"end": "2023-01-01T00:00:00Z"}, ["end", "later than start"]),
        ({"split": {"test": 0.4, "validation": 0.3, "calibration": 0.2}}, ["split", "30 %"]),
        ({"name": "Small Feed"}, ["name", "Small Feed"]),
    ],
)
def test_a_mistake_names_field_value_and_rule(change: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(declaration(Path("x.csv"), **change))
    for text in expected:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"unit": "degX"}, ["columns[0].unit", "degX", "no unit"]),
        ({"unit": "hPa"}, ["columns[0]", "degC", "does not convert", "hPa"]),
        ({"range": [5, 5]}, ["columns[0]", "range", "low < high"]),
        ({"max_step": 0}, ["columns[0].max_step", "0", "greater than 0"]),
        ({"rnge": [0, 1]}, ["columns[0]", "rnge", "allowed here", "range"]),
    ],
)
def test_a_mistake_in_a_column_names_it(change: dict[str, Any], expected: list[str]) -> None:
    wrong = declaration(Path("x.csv"))
    wrong["columns"][0] |= change
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(wrong)
    for text in expected:
        assert text in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    wrong = declaration(Path("x.csv"), cadence="often", horizons=["soon"])
    with pytest.raises(AeroCastError, match=r"(?s)cadence.*often.*horizons\[0\].*soon"):
        Feed.parse(wrong)


def test_an_unknown_feed_lists_those_there_are() -> None:
    with pytest.raises(AeroCastError, match=r"no feed 'nooa'; declared: .*noaa"):
        find_feed("nooa")


def test_a_declaration_that_is_not_yaml_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "defs.yaml").write_text("attributes: [unclosed")
    with pytest.raises(AeroCastError, match=r"bad/defs\.yaml is not YAML: .*line"):
        find_feed("bad", tmp_path)
