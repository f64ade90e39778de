"""A rule changes and one old month is made again: that month alone, and exactly the models that rest on it go stale."""

import csv
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from aerocast.feed import Feed
from aerocast.lake import Lake
from aerocast_assets.keys import key
from tests.conftest import PROJECT
from tests.making import definitions, metadata, refresh, small_feed, write_readings, write_rows

OLD = "2024-02"
LAYERS = ("bronze", "silver", "windows")
MODELS = ("linear", "persistence", "seasonal_naive", "sequence", "champion")
TARGET = "temperature"
STRONG = 26.8  # m/s, 60 mph: credible before the rule changes, and not afterwards


class World(NamedTuple):
    """Two feeds on one instance, all of it made."""

    feed: Feed
    other: Feed
    home: Path
    instance: dg.DagsterInstance


def windy(path: Path, hours: int) -> Path:
    """Readings with a strong wind in the middle of every month, far from the edges that neighbours look at."""
    write_readings(path, hours)
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    for row in rows:
        if row[1][8:13] in ("15T06", "15T07", "16T11"):
            row[3] = str(STRONG)
    return write_rows(path, rows)


def stricter(feed: Feed) -> Feed:
    """The same feed, whose winds end at 50 mph."""
    columns = [column.model_dump(mode="json") for column in feed.columns]
    columns[1]["range"] = [0, 50]
    return Feed.parse(feed.model_dump(mode="json") | {"columns": columns})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Feed, Path]:
    """A home with two feeds and their models; tests copy it."""
    place = tmp_path_factory.mktemp("stale")
    home = place / "home"
    home.mkdir()
    feed = small_feed(windy(place / "windy.csv", 24 * 100), end="2024-04-10T00:00:00Z")
    other = small_feed(windy(place / "other.csv", 24 * 60), name="other", end="2024-03-01T00:00:00Z")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEROCAST_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(PROJECT))
        with dg.DagsterInstance.get() as instance:
            assert refresh(feed, home, instance).success
            some = [key(other, layer) for layer in ("raw", *LAYERS)]
            some += [key(other, TARGET, name) for name in ("training_set", "persistence")]
            assert refresh(other, home, instance, selection=some).success
    return feed, other, home


@pytest.fixture
def world(made: tuple[Feed, Feed, Path], home: Path, instance: dg.DagsterInstance) -> World:
    return World(made[0], made[1], home, instance)


@pytest.fixture
def home(made: tuple[Feed, Feed, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    shutil.copytree(made[2], place)
    monkeypatch.setenv("AEROCAST_HOME", str(place))
    return place


def stale(world: World, *feeds: Feed) -> set[str]:
    """What the UI's own resolver calls stale among everything of these feeds: `asset` or `asset@month`."""
    defs = definitions(world.home, *feeds)
    graph = defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(world.instance, graph, LoadingContextForTest(world.instance))
    found = set()
    for each in graph.materializable_asset_keys:
        partitions = graph.get(each).partitions_def
        for partition in partitions.get_partition_keys() if partitions else [None]:
            if resolver.get_status(each, partition) is StaleStatus.STALE:
                found.add(each.to_user_string() + (f"@{partition}" if partition else ""))
    return found


def contents(lake: Lake) -> dict[str, dict[str, str]]:
    return {name: {m: each.all for m, each in lake.content(name, lake.months(name)).items()} for name in layers(lake)}


def layers(lake: Lake) -> list[str]:
    return [name for name in lake.tables() if name.split("/")[-1] in LAYERS]


def events(world: World) -> dict[tuple[str, str], int]:
    """The newest materialisation of every partition: its number in the log."""
    found = {}
    for feed in (world.feed, world.other):
        for layer in LAYERS:
            ids = world.instance.event_log_storage.get_latest_storage_id_by_partition(
                key(feed, layer), dg.DagsterEventType.ASSET_MATERIALIZATION
            )
            found |= {(f"{feed.name}/{layer}", month): number for month, number in ids.items()}
    return found


def backfill(world: World, feed: Feed) -> dg.ExecuteInProcessResult:
    """One month from bronze to windows, as a person asks for it."""
    return refresh(feed, world.home, world.instance, [OLD], selection=[key(feed, layer) for layer in LAYERS])


def differences(before: dict[Any, Any], after: dict[Any, Any]) -> set[Any]:
    return {each for each in before.keys() | after.keys() if before.get(each) != after.get(each)}


def flow(world: World, feed: Feed, cursor: Any = None) -> tuple[set[tuple[str, str | None]], Any]:
    """What automation asks for now: (asset, month)."""
    result = dg.evaluate_automation_conditions(definitions(world.home, feed), world.instance, cursor=cursor)
    asked = set()
    for each in result.results:
        if not each.true_subset.is_empty and isinstance(each.key, dg.AssetKey) and each.key.path[-1] != "source":
            asked |= {
                (each.key.to_user_string(), part.partition_key)
                for part in each.true_subset.expensively_compute_asset_partitions()
            }
    return asked, result.cursor


def test_a_rule_changes_and_one_old_month_is_made_again(world: World) -> None:
    feed, lake = stricter(world.feed), Lake(world.home)
    assert stale(world, feed, world.other) == set(), "a rule alone makes no rows others"
    asked, cursor = flow(world, feed)
    assert asked == set()
    held, logged, versions = contents(lake), events(world), {name: lake.version(name) for name in layers(lake)}
    done = backfill(world, feed)
    assert done.success
    assert [metadata(done, key(feed, layer))["months_computed"] for layer in LAYERS] == [1, 1, 1]

    now = contents(lake)
    for name in layers(lake):
        own = name.startswith("small/")
        assert differences(held[name], now[name]) == ({OLD} if own else set()), name
        assert lake.version(name) == (versions[name] or 0) + own, "one commit, of that month"
    assert differences(logged, events(world)) == {(f"small/{layer}", OLD) for layer in LAYERS}

    asked, cursor = flow(world, feed, cursor)
    rows = key(feed, TARGET, "training_set")
    others = {f"small/{name}" for name in ("evaluation", f"{TARGET}/forecasts")}
    assert {name for name, month in asked if month} == set(), "no other month"
    assert asked - {(each, None) for each in others} == {(rows.to_user_string(), None)}, "and no model by itself"
    assert refresh(feed, world.home, world.instance, selection=[rows]).success
    expected = {f"small/{TARGET}/{model}" for model in MODELS}
    found = stale(world, feed, world.other)
    assert expected <= found
    assert not any(each.startswith("other/") for each in found)
    assert found - expected <= {f"small/{TARGET}/forecasts", "small/evaluation"}, "what rests on models"
    assert differences(logged, events(world)) == {(f"small/{layer}", OLD) for layer in LAYERS}


def test_a_second_backfill_of_the_month_computes_nothing_and_marks_nothing(world: World) -> None:
    before = stale(world, world.feed)
    versions = {name: Lake(world.home).version(name) for name in layers(Lake(world.home))}
    done = backfill(world, world.feed)
    assert [metadata(done, key(world.feed, layer))["status"] for layer in LAYERS] == ["unchanged"] * 3
    assert {name: Lake(world.home).version(name) for name in layers(Lake(world.home))} == versions
    sets = [key(world.feed, TARGET, "training_set")]
    assert refresh(world.feed, world.home, world.instance, selection=sets).success
    assert stale(world, world.feed) == before == set()
