"""What is lacking is told: shares of values that are believed, files that were rejected, training that stops."""

import os
from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed.declaration import Feed
from aerocast_assets.keys import key
from cli import summary
from cli.failures import failures
from tests.factories.feeds import small_feed, write_readings, write_rows
from tests.harness.graph import check, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

LAYERS = ("raw", "bronze", "silver", "windows")


def dead(tmp_path: Path, share: float, **changes: object) -> Feed:
    """The small feed with a barometer that reports 6553.5 at AAA from some time on."""
    path = write_readings(tmp_path / "dead.csv", hours=24 * 40)
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    own = [row for row in rows if row[0] == "AAA"]
    for row in own[round(len(own) * (1 - share)) :]:
        row[4] = "6553.5"
    split = {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P2D"}
    return small_feed(write_rows(path, rows), end="2024-02-10T00:00:00Z", split=split, **changes)


def test_dead_sensor_is_reported_and_costs_no_other_column(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = dead(tmp_path, 0.7)
    result = refresh(feed, home, instance)
    assert result.success
    told = check(result, "values_believed")
    assert not told.passed
    assert told.severity is dg.AssetCheckSeverity.WARN
    assert str(told.description).startswith("AAA: pressure is missing in 7")
    summary.print_checks(result)
    assert "WARNED small/bronze values_believed: AAA: pressure is missing in 7" in capsys.readouterr().out
    assert not [
        e for e in result.get_asset_check_evaluations() if e.check_name == "temperature_measured" and not e.passed
    ]


def test_missing_share_above_limit_blocks_training(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = dead(tmp_path, 0.7, quality={"block": 0.5})
    result = refresh(feed, home, instance)
    assert not result.success
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    assert key(feed, "windows") in made, "tables are made"
    assert not {key(feed, "temperature", kind) for kind in feed.candidates} & made
    summary.print_failures(failures(result.all_events))
    summary.print_checks(result)
    assert (
        "FAILED small/temperature/training_set values_believed: AAA: pressure is missing in 7"
        in capsys.readouterr().out
    )


def test_missing_share_below_limit_allows_training(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    feed = dead(tmp_path, 0.3, quality={"block": 0.5})
    layers = [key(feed, layer) for layer in LAYERS] + [key(feed, "temperature", "training_set")]
    result = refresh(feed, home, instance, selection=layers)
    assert result.success
    by_asset = {
        e.asset_key: e.passed for e in result.get_asset_check_evaluations() if e.check_name == "values_believed"
    }
    assert by_asset == {key(feed, "bronze"): False, key(feed, "temperature", "training_set"): True}


def test_rejected_file_fails_check_until_removed(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    inbox = home / "inbox" / feed.name
    inbox.mkdir(parents=True)
    (inbox / "readings.xlsx").write_bytes(b"PK")
    os.utime(inbox / "readings.xlsx", (1, 1))
    raw = [key(feed, "raw")]
    result = refresh(feed, home, instance, selection=raw)
    told = check(result, "nothing_put_aside")
    assert result.success, "what came in another way is as good as ever"
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert str(told.description).startswith("readings.xlsx: ")
    assert not check(refresh(feed, home, instance, selection=raw), "nothing_put_aside").passed, (
        "as long as it lies there"
    )
    for path in (inbox / "rejected").iterdir():
        path.unlink()
    assert check(refresh(feed, home, instance, selection=raw), "nothing_put_aside").passed
