"""What models are trained on is examined before: too few rows, stations that none learns, places not declared."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from aerocast.lake import Lake
from aerocast_assets.assets.training_set import too_few, too_short
from aerocast_assets.keys import key
from tests.factories.feeds import START, small_feed, write_readings, write_rows
from tests.harness.graph import check, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

SPLIT = {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P2D"}
LAYERS = ("raw", "bronze", "silver", "windows")


def rows_of(path: Path, hours: int) -> list[list[str]]:
    return [line.split(",") for line in write_readings(path, hours=hours).read_text().splitlines()[1:]]


def test_stations_recorded_in_different_years_are_named(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance
) -> None:
    """AAA and BBB one after the other, years apart: what is trained has seen nothing of BBB, nor the year of either."""
    rows = rows_of(tmp_path / "all.csv", 24 * 40)
    later = timedelta(days=800)
    for row in rows:
        if row[0] == "BBB":
            time = START.fromisoformat(row[1].replace("Z", "+00:00")) + later
            row[1] = f"{time:%Y-%m-%dT%H:%M:%SZ}"
    feed = small_feed(
        write_rows(tmp_path / "readings.csv", rows),
        start="2024-01-01T00:00:00Z",
        end="2026-05-01T00:00:00Z",
        freshness="PT30M",
        split=SPLIT,
    )
    layers = [key(feed, layer) for layer in LAYERS] + [key(feed, "temperature", "training_set")]
    result = refresh(feed, home, instance, selection=layers)
    assert result.success
    stations = check(result, "stations_learned")
    assert (stations.passed, stations.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(stations.description).startswith("BBB has no row to train on; it has 956 rows of test, from 2026-03-11")
    assert stations.metadata["stations"].value == "BBB"
    places = check(result, "places_declared")
    assert (places.passed, places.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "AAA, BBB: without latitude and longitude features of the sun are missing" in str(places.description)
    fresh = check(result, "fresh")
    assert "freshness 30 minutes is below the cadence of 1 hour: what reports once a step is late" in fresh.description


def test_few_rows_wait_with_role_need_and_remedy(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    """Intervals of 99.9 % need a thousand calibration rows: no model is trained in vain."""
    path = write_readings(tmp_path / "readings.csv", hours=24 * 40)
    feed = small_feed(path, end="2024-02-10T00:00:00Z", split=SPLIT, promotion={"coverage": 0.999})
    result = refresh(feed, home, instance)
    assert result.success
    materialised = {event.asset_key for event in result.get_asset_materialization_events()}
    assert key(feed, "windows") in materialised
    assert not {key(feed, "temperature", name) for name in ("training_set", "linear")} & materialised
    text = too_few(Lake(home), feed, "temperature")
    assert text.startswith("the role calibration has ")
    assert "and needs 1000: bring more data, or raise split.calibration (now 0.16)" in text
    assert too_short(Lake(home), feed, "temperature") == ""


def test_readings_of_one_season_need_no_place(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    feed = small_feed(write_readings(tmp_path / "x.csv", hours=24 * 30), end="2024-02-01T00:00:00Z", split=SPLIT)
    layers = [key(feed, layer) for layer in LAYERS] + [key(feed, "temperature", "training_set")]
    result = refresh(feed, home, instance, selection=layers)
    assert check(result, "places_declared").passed
    assert check(result, "stations_learned").passed
