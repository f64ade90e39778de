"""The suite that Great Expectations runs on bronze: generated from the declaration, failing with examples."""

import numpy as np
import pandas as pd
import pytest

from aerocast.feed.declaration import Feed
from aerocast.tables.expectations import Verdict, rules, validate


@pytest.fixture
def bronze(feed: Feed) -> pd.DataFrame:
    """A hundred rows that are as they should be."""
    time = pd.date_range("2024-01-01", periods=100, freq="h", tz="UTC")
    values = {column.name: np.full(100, np.mean(column.range)) for column in feed.columns}
    return pd.DataFrame({"station": "AAA", "time": time, **values, "segment": "s", "flags": None, "month": "2024-01"})


def failed(feed: Feed, frame: pd.DataFrame) -> dict[str, Verdict]:
    return {verdict.rule.name: verdict for verdict in validate(feed, [frame]) if not verdict.passed}


def test_suite_follows_declaration(feed: Feed) -> None:
    found = {rule.name: rule for rule in rules(feed)}
    assert found["temperature_in_range"].arguments == {"column": "temperature", "min_value": -60.0, "max_value": 130.0}
    assert found["station_declared"].arguments["value_set"] == ["AAA", "BBB"]
    assert not found["temperature_measured"].blocking
    assert found["key_unique"].blocking


def test_good_rows_pass_with_column_missing_throughout(feed: Feed, bronze: pd.DataFrame) -> None:
    bronze["pressure"] = np.nan
    assert failed(feed, bronze) == {}


def test_fault_fails_its_rule_with_rows(feed: Feed, bronze: pd.DataFrame) -> None:
    bronze.loc[3, "windspeed"] = 1048.0
    bronze.loc[5, "time"] = bronze.loc[4, "time"]
    bronze.loc[7, "station"] = "ZZZ"
    bronze.loc[:20, "temperature"] = np.nan
    found = failed(feed, bronze)
    assert found.keys() == {"windspeed_in_range", "key_unique", "station_declared", "temperature_measured"}
    assert found["windspeed_in_range"].examples[0]["windspeed"] == 1048.0
    assert found["windspeed_in_range"].unexpected == 1
    assert found["station_declared"].examples[0]["station"] == "ZZZ"
    assert found["temperature_measured"].unexpected == 21


def test_missing_column_fails_with_its_name(feed: Feed, bronze: pd.DataFrame) -> None:
    found = failed(feed, bronze.drop(columns="pressure"))
    assert found.keys() == {"columns", "pressure_in_range"}
    assert "pressure" in found["pressure_in_range"].observed


def test_several_frames_are_validated_together(feed: Feed, bronze: pd.DataFrame) -> None:
    later = bronze.assign(time=bronze["time"] + pd.Timedelta(days=31), month="2024-02")
    later.loc[:14, "temperature"] = np.nan  # too few in this frame, enough in both
    later.loc[3, "windspeed"] = 1048.0
    found = {verdict.rule.name: verdict for verdict in validate(feed, iter([bronze, later]))}
    assert [name for name, verdict in found.items() if not verdict.passed] == ["windspeed_in_range"]
    assert (found["windspeed_in_range"].unexpected, found["windspeed_in_range"].rows) == (1, 200)
    assert found["windspeed_in_range"].examples[0]["month"] == "2024-02"
    assert found["temperature_measured"].unexpected == 15
    later.loc[:50, "temperature"] = np.nan
    assert not {v.rule.name: v for v in validate(feed, [bronze, later])}["temperature_measured"].passed
