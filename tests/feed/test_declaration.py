"""The declaration: what is right loads, and every mistake names its field, its value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast_assets.feeds import DEFS, find_feed
from tests.factories.feeds import declaration


def test_declared_feeds_are_valid() -> None:
    names = [path.parent.name for path in DEFS.glob("*/defs.yaml")]
    assert "noaa" in names
    assert [find_feed(name).name for name in names] == names


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cadance": "PT1H"}, ["cadance", "allowed here", "cadence"]),
        ({"cadence": "PT7H"}, ["cadence", "PT7H", "divide a day"]),
        ({"horizons": [6, 1]}, ["horizons", "[6, 1]", "rise"]),
        ({"horizons": [1, 1]}, ["horizons", "1", "twice"]),
        ({"horizons": [0]}, ["horizons[0]", "0", "greater than or equal to 1"]),
        ({"targets": ["humidity"]}, ["targets", "humidity", "allowed: temperature, windspeed, pressure"]),
        ({"stations": []}, ["stations", "at least 1"]),
        ({"stations": [{"id": "A <B>"}]}, ["stations[0].id", "A <B>"]),
        ({"stations": [{"id": "A", "timezone": "Mars/Base"}]}, ["stations[0].timezone", "Mars/Base", "IANA"]),
        ({"candidates": {"linear": {}}}, ["candidates", "persistence", "seasonal_naive"]),
        ({"candidates": {"arima": {}, "persistence": {}, "seasonal_naive": {}}}, ["candidates", "arima", "gru"]),
        (
            {"candidates": {"linear": {"penalty": 1}, "persistence": {}, "seasonal_naive": {}}},
            ["candidates.linear.penalty", "allowed", "penalties"],
        ),
        ({"window": {"columns": ["temperature"], "look_back": 3}}, ["window.look_back", "3"]),
        (
            {"window": {"columns": ["temperature"], "look_back": 47, "profile": 2}},
            ["window.profile", "2 seasons are 48 steps, more than window.look_back (47)"],
        ),
        ({"seasons": ["P1D", "P7D"]}, ["window.look_back", "168 steps"]),
        ({"seasons": ["PT90M"]}, ["seasons[0]", "PT1H30M", "multiple of the cadence PT1H"]),
        ({"seasons": ["P1D", "PT12H"]}, ["seasons", "P1D, PT12H", "rise"]),
        ({"seasons": []}, ["seasons", "at least 1"]),
        ({"holidays": "XX"}, ["holidays", "'XX'", "ISO 3166"]),
        ({"stations": [{"id": "A", "holidays": "DE-QQ"}]}, ["stations[0].holidays", "'DE-QQ'", "DE-BY"]),
        ({"holidays": {"country": "DE"}}, ["holidays", "must be text"]),
        ({"operating_hours": ["Mo-Fr 6-22"]}, ["operating_hours[0]", "'Mo-Fr 6-22'", "Mo-Fr 06:00-22:30"]),
        ({"season": 24}, ["season", "did you mean seasons?"]),
        ({"end": "2023-01-01T00:00:00Z"}, ["end", "later than start"]),
        ({"split": {"test": 0.4, "validation": 0.3, "calibration": 0.2}}, ["split", "30 %"]),
        (
            {"horizons": [1, 168], "split": {"block": "P7D"}},
            ["split.block", "P7D is too short for forecasts P7D ahead", "P9D would do"],
        ),
        ({"horizons": [1, 4], "split": {"block": "PT4H"}}, ["split.block", "forecasts PT4H ahead", "PT5H would do"]),
        ({"name": "Small Feed"}, ["name", "Small Feed"]),
    ],
)
def test_mistake_names_field_value_and_rule(change: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(declaration(Path("x.csv"), **change))
    for text in expected:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"unit": "degX"}, ["columns[0].unit", "degX", "not a unit"]),
        ({"unit": "hPa"}, ["columns[0]", "degC", "does not convert", "hPa"]),
        ({"unit": "mW", "source_unit": "dBm"}, ["columns[0].source_unit", "'dBm'", "'mW'", "logarithmic"]),
        (
            {"unit": "Mbit", "source_unit": "percent"},
            ["columns[0].source_unit", "'percent' does not convert", "'Mbit'"],
        ),
        ({"unit": "ug/m^3", "source_unit": "ppb"}, ["columns[0].source_unit", "'ppb'", "gas", "molar_mass"]),
        ({"gas": "XE"}, ["columns[0].gas", "'XE'", "not a known gas", "NO2", "molar_mass"]),
        ({"gas": "NO2", "molar_mass": 46}, ["columns[0].molar_mass", "46", "beside gas NO2"]),
        ({"at": {"pressure": 0}}, ["columns[0].at.pressure", "0", "greater than 0"]),
        ({"former": [{"before": "2024-01-02T00:00:00Z", "source_unit": "ppb"}]}, ["columns[0].former[0].source_unit"]),
        ({"range": [5, 5]}, ["columns[0]", "range", "low < high"]),
        ({"max_step": 0}, ["columns[0].max_step", "0", "greater than 0"]),
        ({"rnge": [0, 1]}, ["columns[0]", "rnge", "allowed here", "range"]),
    ],
)
def test_mistake_in_column_names_column(change: dict[str, Any], expected: list[str]) -> None:
    wrong = declaration(Path("x.csv"))
    wrong["columns"][0] |= change
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(wrong)
    for text in expected:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"gas": "NO2"}, 1.9125),
        ({"gas": "O3"}, 1.9954),
        ({"gas": False}, 1.2474),  # an unquoted NO
        ({"gas": "SO2", "at": {"temperature": 25}}, 2.6186),
        ({"gas": "O3", "at": {"temperature": 0, "pressure": 1000}}, 2.1134),
        ({"molar_mass": 92.14}, 3.8304),
        ({"gas": "CO", "source_unit": "ppm", "unit": "mg/m^3"}, 1.1644),
        ({"gas": "NO2", "source_unit": "µg/m³", "unit": "ppb"}, 1 / 1.9125),
    ],
)
def test_share_of_gas_converts_to_its_mass_in_air(change: dict[str, Any], factor: float) -> None:
    declared = declaration(Path("x.csv"))
    declared["columns"][0] |= {"source_unit": "ppb", "unit": "ug/m3"} | change
    assert Feed.parse(declared).columns[0].conversion() == (pytest.approx(factor, rel=1e-4), 0)


def test_all_mistakes_are_reported_at_once() -> None:
    wrong = declaration(Path("x.csv"), cadence="often", horizons=["soon"])
    with pytest.raises(AeroCastError, match=r"(?s)cadence.*often.*horizons\[0\].*soon"):
        Feed.parse(wrong)


def test_unknown_feed_lists_known_feeds() -> None:
    with pytest.raises(AeroCastError, match=r"no feed 'nooa'; declared: .*noaa"):
        find_feed("nooa")


def test_invalid_yaml_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "defs.yaml").write_text("attributes: [unclosed")
    with pytest.raises(AeroCastError, match=r"bad/defs\.yaml:2: not one YAML document: "):
        find_feed("bad", tmp_path)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("1h", "write PT1H"),
        ("90 min", "write PT1H30M"),
        ("1 day 6 hours", "write P1DT6H"),
        ("01:00:00", "write PT1H"),
        ("pt1h", "write PT1H"),
        (3600, "write PT1H"),
        ("soon", "such as PT5M, PT1H or P30D"),
    ],
)
def test_duration_in_other_spelling_suggests_iso_8601(written: object, hint: str) -> None:
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(declaration(Path("x.csv"), freshness=written))
    assert str(caught.value).splitlines()[1:] == [
        f"  freshness: {written!r} is not allowed: {hint}"
        if hint.startswith("write")
        else f"  freshness: {written!r} is not allowed: it is a duration of ISO 8601, {hint}"
    ]


def test_consequences_of_mistake_are_not_reported() -> None:
    """A list whose items are all wrong is not too short, and a misspelt field is not missing."""
    wrong = declaration(Path("x.csv"), horizons=["soon"], cadance="PT1H")
    del wrong["cadence"]
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(wrong)
    cadence, horizon = str(caught.value).splitlines()[1:]
    assert cadence.startswith("  cadance: no such field; did you mean cadence? allowed here: name, ")
    assert horizon.startswith("  horizons[0]: 'soon' is not allowed: must be a valid integer")


def test_rules_between_fields_are_reported_together() -> None:
    window = {"columns": ["windspeed"], "look_back": 3}
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(declaration(Path("x.csv"), window=window, targets=["heat"], end="2023-01-01T00:00:00Z"))
    fields = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert fields == ["targets", "window.look_back", "end"]


def test_wrong_kind_and_its_parameters_are_reported_together() -> None:
    candidates = {"liner": {}, "xgboost": {"depht": 3}, "persistence": {}}
    with pytest.raises(AeroCastError) as caught:
        Feed.parse(declaration(Path("x.csv"), source={"kind": "cvs"}, candidates=candidates))
    told = str(caught.value)
    assert "source.kind: 'cvs' is not allowed: did you mean csv? one of csv, " in told
    assert "candidates.liner: 'liner' is not allowed: did you mean linear?" in told
    assert "candidates.xgboost.depht: no such field; did you mean depth?" in told
    assert "candidates: the baseline seasonal_naive is missing" in told


def test_declaration_survives_json() -> None:
    feed = Feed.parse(declaration(Path("x.csv"), freshness="P1DT6H"))
    dumped = feed.model_dump(mode="json")
    assert (dumped["freshness"], dumped["split"]["block"]) == ("P1DT6H", "P4D")
    assert Feed.parse(dumped) == feed == Feed.parse(feed.model_dump())


@pytest.mark.parametrize(("hours", "block"), [(168, "P9D"), (4, "PT5H"), (24, "P2D")])
def test_block_that_is_proposed_is_valid(hours: int, block: str) -> None:
    feed = Feed.parse(declaration(Path("x.csv"), horizons=[hours], split={"block": block}))
    assert feed.horizons == (hours,)


def test_split_that_leaves_too_little_training_is_refused() -> None:
    split = {"test": 0.34, "validation": 0.19, "calibration": 0.19}
    with pytest.raises(AeroCastError, match="leave less than 30 % to train on"):
        Feed.parse(declaration(Path("none.csv"), split=split))
