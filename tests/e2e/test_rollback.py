"""A rollback reaches the running server, and what runs by itself later does not undo it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.models.tracking import Tracker, model_name
from aerocast.releases import release
from aerocast_assets.keys import key, models
from tests.factories.feeds import HOURS, small_feed, write_readings
from tests.harness.graph import champion_version, metadata, refresh
from tests.harness.server import Server

KEY = ("small", "temperature")
POLL = 1.0
PATIENCE = 120.0


def run(feed: Feed, home: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """From readings to champion, with no run config: what runs by itself."""
    layers = [key(feed, layer) for layer in ("raw", "bronze", "silver", "windows")]
    trained = [key(feed, "temperature", name) for name in ("training_set", *models(feed), "champion")]
    result = refresh(feed, home, instance, selection=[*layers, *trained])
    assert result.success
    return result


def champion(feed: Feed, home: Path, instance: dg.DagsterInstance, **config: Any) -> dict[str, Any]:
    """One materialisation of the champion alone; what it says."""
    own = key(feed, "temperature", "champion")
    run_config = {"ops": {"small__temperature__champion": {"config": config}}}
    result = refresh(feed, home, instance, selection=[own], config=run_config)
    assert result.success
    return metadata(result, own)


def alias(home: Path) -> str:
    """Config hash of what MLflow's alias names."""
    return str(Tracker(home).client.get_model_version_by_alias(model_name(*KEY), "champion").tags["config_hash"])


def config_hash(home: Path, version: str) -> str:
    return release.load(home, *KEY, version).manifest.lineage.config_hash


def answered(url: str) -> str:
    return str(httpx.get(f"{url}/health").json()["releases"][0]["version"])


@dataclass
class Watch:
    """When the pointer named a version, and when the server answered with it; seconds of one clock."""

    moved: float = 0.0
    followed: float = 0.0


@contextmanager
def watching(home: Path, url: str, version: str) -> Iterator[Watch]:
    """Looks at both all the time until the block ends and the server has followed, or long enough."""
    seen, done = Watch(), threading.Event()

    def look() -> None:
        end = 0.0
        while not seen.followed and not (end and time.monotonic() > end):
            if not seen.moved and champion_version(home) == version:
                seen.moved = time.monotonic()
            if answered(url) == version:
                seen.followed = time.monotonic()
            if done.is_set():
                end = end or time.monotonic() + PATIENCE
            time.sleep(0.01)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_rollback_reaches_server_and_lasts(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    readings = tmp_path / "readings.csv"
    feed = small_feed(readings)
    write_readings(readings, hours=24 * 75, swing=2.0)
    run(feed, home, instance)
    old = champion_version(home)
    write_readings(readings, hours=24 * 100, swing=10.0)
    run(feed, home, instance)
    new = champion_version(home)
    assert new != old

    with Server(home, ("--poll-seconds", str(POLL))) as server:
        assert answered(server.url) == new
        with watching(home, server.url, old) as seen:
            shown = champion(feed, home, instance, release=old)
        assert 0 < seen.moved < seen.followed
        print(f"the server followed after {seen.followed - seen.moved:.1f} s, polling each {POLL} s")
        assert shown["release"] == old
        assert shown["decision"] == f"rolled back to {old} from {new}"
        assert httpx.get(f"{server.url}/health").json()["releases"][0]["hold"]["until"] is None
        assert alias(home) == config_hash(home, old)

        # Whatever runs by itself, the forward flow or `make run`, leaves it: there is no newer candidate.
        plain = run(feed, home, instance)
        assert metadata(plain, key(feed, "temperature", "champion"))["status"] == "unchanged"
        assert champion_version(home) == answered(server.url) == old
        assert alias(home) == config_hash(home, old)

        # A trial that somebody forces, or that newer rows ask for, is held and recorded, and replaces nothing.
        forced = champion(feed, home, instance, force=True)
        assert (forced["verdict"], forced["release"]) == ("held", old)
        assert forced["decision"].startswith(f"Held: {old} stays, for a person has held it since")
        assert champion_version(home) == old

        # Once it is lifted the newer one wins the trial, and is the release that it was.
        champion(feed, home, instance, lift=True)
        with watching(home, server.url, new) as seen:
            assert champion(feed, home, instance, force=True)["release"] == new
        assert seen.followed
        assert champion_version(home) == new
        assert alias(home) == config_hash(home, new)
        models = httpx.get(f"{server.url}/models").json()

    assert old in str(models)
    assert new in str(models)
    assert release.versions(home, *KEY) == [old, new], "history keeps both"
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, "small/temperature/promotions").order("delivery").to_arrow_table().to_pylist()
    assert [row["version"] for row in rows] == [old, new, old, old, old, new]
    assert [bool(row["hold"]) for row in rows] == [False, False, True, True, False, False]
    assert rows[2]["reason"].startswith("rolled back")
    assert rows[1]["p_value"] < 0.05

    # Newer candidates are judged against what a rollback put in place, and replace it when that is lifted.
    champion(feed, home, instance, release=old)
    write_readings(readings, hours=HOURS, swing=10.0)
    run(feed, home, instance)
    assert champion_version(home) == old
    champion(feed, home, instance, lift=True)
    run(feed, home, instance)
    assert champion_version(home) not in (old, new)
    assert release.versions(home, *KEY) == [old, new, champion_version(home)]
