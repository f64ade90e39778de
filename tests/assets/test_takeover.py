"""A home of before values were judged one by one: recomputed once, said so, nothing lost, and its release serves."""

import tarfile
from datetime import UTC
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.releases import release
from aerocast_assets.keys import key
from cli.ask import ask_server
from tests import DATA
from tests.factories.feeds import small_feed
from tests.harness.graph import check, metadata, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

PACKED = DATA / "home_before" / "home.tar.gz"
LAYERS = ("raw", "bronze", "silver", "windows")


@pytest.fixture
def before(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Feed:
    """The home of before in the place of the empty one, and its feed."""
    with tarfile.open(PACKED) as packed:
        packed.extractall(tmp_path, filter="data")
    monkeypatch.setenv("HOME_BEFORE", str(tmp_path))
    split = {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P1D"}
    return small_feed(Path("$HOME_BEFORE/readings.csv"), end="2024-02-01T00:00:00Z", split=split)


def test_release_of_older_home_serves(before: Feed, home: Path) -> None:
    answer, _ = ask_server(home, before)
    pointer = release.current(home, before.name, "temperature")
    assert pointer is not None
    assert answer["model"]["version"] == pointer.version
    assert len(answer["forecasts"]) == len(before.horizons)


def test_tables_of_older_home_are_rebuilt_once(before: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    lake, readings = Lake(home), (home.parent / "readings.csv").read_text().splitlines()[1:]
    distinct = {tuple(line.split(",")[:2]) for line in readings}
    with duckdb.connect() as con:
        rejected = lake.relation(con, "small/quarantine").select("station, time, rule").fetchall()
    pointer = release.current(home, before.name, "temperature")
    assert pointer is not None
    first = refresh(before, home, instance)
    assert first.success
    assert check(first, "nothing_lost").passed
    messages = [event.message for event in instance.all_logs(first.run_id)]
    assert any("earlier version: every month is judged again" in message for message in messages)
    with duckdb.connect() as con:
        kept = lake.relation(con, "small/bronze").select("station, time").fetchall()
        bad = lake.relation(con, "small/quarantine").select('station, time, rule, "column"').fetchall()
    assert {(station, f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}") for station, time in kept} == distinct
    assert len(kept) == len(distinct), "what the file took away is gone, and nothing else"
    assert {row[:3] for row in bad} == set(rejected), "what was in quarantine as a whole is there as a value"
    assert all(column for *_, column in bad)
    known = release.current(home, before.name, "temperature")
    assert known is not None
    assert known.version >= pointer.version
    again = refresh(before, home, instance)
    assert [metadata(again, key(before, layer))["status"] for layer in LAYERS] == ["unchanged"] * len(LAYERS)
