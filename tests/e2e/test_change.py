"""A declaration that changes under a full home: each change has its documented result, and so has the way back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from aerocast.contracts import declared, tail
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.releases import release
from aerocast_assets.keys import key
from tests.factories.feeds import declaration, small_feed, write_readings
from tests.harness.graph import check, metadata, refresh

Change = Callable[..., dg.ExecuteInProcessResult]
END = "2024-03-01T00:00:00Z"
CHAMPION = dg.AssetKey(["small", "temperature", "champion"])


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    return declaration(write_readings(tmp_path / "readings.csv", hours=24 * 60), end=END)


@pytest.fixture
def change(base: dict[str, Any], home: Path, instance: dg.DagsterInstance) -> Change:
    """Runs the feed's job over the home with the declaration and these changes; every run must do without a failure."""

    def run(**changes: Any) -> dg.ExecuteInProcessResult:
        result = refresh(Feed.parse({**base, **changes}), home, instance)
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        return result

    run()
    return run


def columns(home: Path, layer: str) -> set[str]:
    with duckdb.connect() as con:
        return set(Lake(home).relation(con, f"small/{layer}").columns)


def serves(home: Path, target: str = "temperature") -> Any:
    pointer = release.current(home, "small", target)
    assert pointer
    return release.load(home, "small", target, pointer.version).manifest


def computed(result: dg.ExecuteInProcessResult, *layers: str) -> list[int]:
    return [metadata(result, dg.AssetKey(["small", layer]))["months_computed"] for layer in layers]


def test_changed_columns_have_documented_result(base: dict[str, Any], change: Change, home: Path) -> None:
    """One that is taken out, renamed, added again and converted to another unit."""
    first, second, third = base["columns"]
    fewer = {"columns": ["temperature", "windspeed"], "look_back": 24}
    old = Lake(home).version("small/bronze")
    result = change(columns=[first, second], window=fewer)
    assert check(result, "columns").passed
    assert "pressure" not in columns(home, "bronze") | columns(home, "silver") | columns(home, "quarantine")
    with duckdb.connect() as con:
        assert "pressure" in Lake(home).relation(con, "small/bronze", version=old).columns, (
            "old versions stay as they were"
        )
    renamed = [first, second, {**third, "name": "air_pressure"}]
    result = change(columns=renamed, window={"columns": ["temperature", "air_pressure"], "look_back": 24})
    assert check(result, "columns").passed
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/bronze")
        assert rows.filter("air_pressure IS NOT NULL").count("*").fetchall()[0][0] > 2000, "history is read again"
    assert check(change(), "columns").passed, "and back to the declaration of before"
    assert columns(home, "bronze") >= {"temperature", "windspeed", "pressure"}
    metric = {**first, "unit": "degC", "range": [-50, 55], "max_step": 14}
    result = change(columns=[metric, second, third])
    assert computed(result, "bronze", "silver", "windows") == [2, 2, 2]
    made = serves(home)
    assert (made.unit, made.feed.column("temperature").unit) == ("degC", "degC"), (
        "one of degF could not answer any more"
    )
    assert "does not count: temperature is in degC, and was in degF" in metadata(result, CHAMPION)["decision"]
    assert tail.read_grids(home, "small")["AAA"].units[0] == "degC"
    shown = change(columns=[{**metric, "label": "t2m"}, second, third])
    assert computed(shown, "bronze", "silver") == [0, 0], "how a column is called in a CSV changes no reading"


def test_changed_stations_horizons_and_targets_have_documented_result(
    base: dict[str, Any], change: Change, home: Path
) -> None:
    before = serves(home)
    result = change(stations=[{"id": "AAA"}])
    decision = metadata(result, CHAMPION)["decision"]
    assert "could not be scored" not in decision
    assert "the incumbent has" in decision, "it is judged on the stations that are left"
    assert set(tail.read_grids(home, "small")) == {"AAA"}
    decision = metadata(change(stations=base["stations"]), CHAMPION)["decision"]
    assert set(tail.read_grids(home, "small")) == {"AAA", "BBB"}
    assert {place.id for place in serves(home).window.places} == {"AAA", "BBB"}, decision
    result = change(horizons=[1, 3, 6])
    assert serves(home).horizons == (1, 3, 6), metadata(result, CHAMPION)["decision"]
    assert "does not forecast 3 steps ahead" in metadata(result, CHAMPION)["decision"]
    fewer = change(horizons=[1])
    assert fewer.success
    assert 1 in serves(home).horizons
    change(targets=["temperature", "windspeed"], horizons=[1])
    found = declared.document(home, "small").read()
    assert found
    assert found.targets == ("temperature", "windspeed")
    change(horizons=[1])
    found = declared.document(home, "small").read()
    assert found
    assert found.retirement("windspeed") == "Target windspeed of feed small is retired: it is no longer declared."
    assert before.version in release.versions(home, "small", "temperature"), "no release is gone"


def test_changed_times_have_documented_result(base: dict[str, Any], change: Change, home: Path) -> None:
    """Window, cadence, start and end, and a source that is not read any more."""
    change(window={**base["window"], "look_back": 30})
    anything = {"min_skill": -1.0}  # whether these models beat the baselines on steps of 2 hours is not the question
    half = change(cadence="PT2H", window={**base["window"], "look_back": 12}, promotion=anything)
    assert "a step is 2 hours long, and was 1 hour" in metadata(half, CHAMPION)["decision"]
    assert serves(home).window.cadence == 7200
    change(promotion=anything)
    assert serves(home).window.cadence == 3600
    change(end="2024-02-25T00:00:00Z")
    assert max(Lake(home).months("small/silver")) == "2024-02"
    change()
    pushed = change(source={"kind": "push", "station_field": "place", "time_field": "at"})
    assert computed(pushed, "silver") == [0], "what was delivered stays"
    assert key(small_feed(Path("x")), "raw").to_user_string() in Lake(home).tables()
