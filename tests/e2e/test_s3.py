"""The whole path with the home in an object store: a feed is materialised into the bucket, a server answers from it."""

from io import StringIO
from pathlib import Path

import dagster as dg
import httpx
import pytest

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.releases import release
from aerocast.storage.home import ObjectHome, store_of
from cli import sql
from tests import PROJECT
from tests.factories.feeds import small_feed, write_readings
from tests.harness.graph import definitions, refresh
from tests.harness.server import Server


def test_feed_is_materialised_into_bucket_and_served(
    tmp_path: Path, bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = write_readings(tmp_path / "readings.csv", hours=60 * 24)
    feed = small_feed(readings, end="2024-03-01T00:00:00Z", horizons=[1])
    monkeypatch.setenv("AEROCAST_HOME", str(bucket))
    monkeypatch.setenv("AEROCAST_WORK", str(bucket.work))
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT))
    with dg.DagsterInstance.get() as instance:
        assert refresh(feed, bucket, instance, selection=_without(bucket, feed, "sequence", "forecasts")).success
    assert {"small/raw", "small/bronze", "small/silver", "small/temperature/windows"} <= set(Lake(bucket).tables())
    (version,) = release.versions(bucket, "small", "temperature")
    assert store_of(bucket).names("tail") == ["tail/small.npz"]
    here = {path.name for path in bucket.work.iterdir()}
    assert {"dagster", "candidates", "mlflow.db"} <= here, "this machine's own state"
    assert here.isdisjoint({"lake", "releases", "tail"}), "what others read, too, lies in the bucket"
    monkeypatch.setattr("sys.stdin", StringIO("SELECT count(*) AS readings FROM small_raw"))
    capsys.readouterr()
    assert sql.shell(bucket) == 0
    assert str(2 * 60 * 24 + 1) in capsys.readouterr().out
    # Another machine: all that it knows is the bucket.
    with Server(bucket, settings={"AEROCAST_WORK": str(bucket.work.with_name("elsewhere"))}) as server:
        answer = httpx.post(f"{server.url}/predict", json={"station": "AAA"}).json()
    assert answer["model"]["version"] == version
    assert len(answer["forecasts"]) == len(feed.horizons)


def _without(home: ObjectHome, feed: Feed, *names: str) -> list[dg.AssetKey]:
    """All assets of the feed but these, which cost time and touch nothing that others do not."""
    graph = definitions(home, feed).resolve_asset_graph()
    return [each for each in graph.materializable_asset_keys if each.path[-1] not in names]
