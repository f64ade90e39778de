"""Every feature belongs to one group, and a group is what a person understands."""

from collections import defaultdict

import msgspec
import pytest

from aerocast.features.features import feature_names
from aerocast.features.grid import Ahead, WindowSpec
from aerocast.features.groups import feature_groups
from aerocast.features.sequences import sequence_names
from tests.factories.series import SPEC


def members(spec: WindowSpec, names: list[str]) -> dict[str, list[str]]:
    groups, owner = feature_groups(spec, names)
    found = defaultdict(list)
    for name, at in zip(names, owner, strict=True):
        found[groups[at]].append(name)
    return dict(found)


def test_station_features_have_one_group_each() -> None:
    spec = msgspec.structs.replace(SPEC, ahead=(Ahead("outlook", 3),))
    found = members(spec, feature_names(spec))
    assert set(found) == {
        "temperature, recent",
        "temperature, earlier seasons",
        "windspeed",
        "pressure",
        "humidity",
        "other stations",
        "calendar and sun",
        "station",
        "outlook, known ahead",
    }
    assert found["station"] == ["station_AAA", "station_BBB"]
    assert found["outlook, known ahead"] == [
        *(f"outlook_ahead_{horizon}" for horizon in (1, 6, 24)),
        "outlook_ahead_age",
    ]
    assert {"temperature_lag0", "temperature_age", "temperature_std24"} <= {*found["temperature, recent"]}
    assert not any("season" in name or name.startswith("near_") for name in found["temperature, recent"])


@pytest.mark.parametrize("column", ["wind_lag1", "near_wind", "a_season24_1", "station_x"])
def test_column_named_like_a_feature_is_a_group(column: str) -> None:
    spec = msgspec.structs.replace(SPEC, covariates=(column,))
    found = members(spec, feature_names(spec))
    assert f"{column}_lag0" in found[column]
    assert all(name.startswith(column) for name in found[column])


def test_sequence_features_have_no_other_stations() -> None:
    found = members(SPEC, sequence_names(SPEC))
    assert set(found) == {
        "temperature, recent", "temperature, earlier seasons", "windspeed", "pressure", "calendar and sun",
    }  # fmt: skip
