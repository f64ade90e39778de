"""A rule changes and one old month is made again: that month alone, and exactly the models that rest on it go stale."""

import csv
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_graphql.test.utils import execute_dagster_graphql

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.models import candidates
from aerocast.operations.retention import maintain
from aerocast.releases import release
from aerocast.tables.layers import stale_months
from aerocast_assets.automation.upkeep import JOB, upkeep
from aerocast_assets.keys import key, months
from aerocast_assets.resources import Platform
from cli.__main__ import main
from tests import PROJECT
from tests.factories.feeds import small_feed, write_readings, write_rows
from tests.harness.graph import check, dagster_instance, definitions, metadata, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

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
    with dagster_instance(home) as instance:
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


LOCATION = """
import json
from pathlib import Path
from aerocast.feed.declaration import Feed
from tests.harness.graph import definitions
feeds = json.loads(Path({feeds!r}).read_text())
defs = definitions(Path({home!r}), *map(Feed.parse, feeds))
"""


def shown_stale(world: World, *feeds: Feed) -> set[str]:
    """The assets without partitions that the webserver's own GraphQL calls stale."""
    place, declared = world.home / "location.py", world.home / "feeds.json"
    declared.write_text(json.dumps([feed.model_dump(mode="json") for feed in feeds]))
    place.write_text(LOCATION.format(feeds=str(declared), home=str(world.home)))
    origin = LoadableTargetOrigin(python_file=str(place), working_directory=str(PROJECT), attribute="defs")
    with in_process_test_workspace(world.instance, origin) as workspace:
        answer = execute_dagster_graphql(workspace, "{ assetNodes { assetKey { path } staleStatus } }")
    return {"/".join(each["assetKey"]["path"]) for each in answer.data["assetNodes"] if each["staleStatus"] == "STALE"}


def contents(lake: Lake) -> dict[str, dict[str, str]]:
    held = {name: lake.ledger(name).content(lake.months(name)) for name in layers(lake)}
    return {name: {month: each.all for month, each in own.items()} for name, own in held.items()}


def layers(lake: Lake) -> list[str]:
    return [name for name in lake.tables() if name.split("/")[-1] in LAYERS]


def events(world: World) -> dict[tuple[str, str], int]:
    """The newest materialisation of every partition: its number in the log."""
    found: dict[tuple[str, str], int] = {}
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


def test_changed_rule_rebuilds_its_old_month_only(world: World) -> None:
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
    others = {f"small/{name}" for name in ("evaluation", "anomalies", f"{TARGET}/forecasts")}
    assert {name for name, month in asked if month} == set(), "no other month"
    assert asked - {(each, None) for each in others} == {(rows.to_user_string(), None)}, "and no model by itself"
    assert refresh(feed, world.home, world.instance, selection=[rows]).success
    expected = {f"small/{TARGET}/{model}" for model in MODELS}
    found = stale(world, feed, world.other)
    assert shown_stale(world, feed, world.other) == found
    assert expected <= found
    assert not any(each.startswith("other/") for each in found)
    assert found - expected <= {f"small/{TARGET}/forecasts", "small/evaluation", "small/anomalies"}, "rests on models"
    assert differences(logged, events(world)) == {(f"small/{layer}", OLD) for layer in LAYERS}


def test_owners_and_tags_make_nothing_stale(world: World) -> None:
    changes = {"owners": ["me@site.example"], "tags": {"domain": "weather"}}
    feed = Feed.parse(world.feed.model_dump(mode="json") | changes)
    assert stale(world, feed, world.other) == set()
    done = refresh(feed, world.home, world.instance)
    assert done.success
    events = done.get_asset_materialization_events()
    assert {event.asset_key.path[-1]: metadata(done, event.asset_key)["status"] for event in events} == dict.fromkeys(
        ("raw", *LAYERS, "training_set", *MODELS, "forecasts", "evaluation", "anomalies"), "unchanged"
    )


def made_again(world: World, feed: Feed, config: dict[str, Any] | None = None) -> tuple[dict[str, int], str, str]:
    """Months that each layer computed, the training set's version, and whether the model was trained."""
    keys = [key(feed, layer) for layer in LAYERS] + [
        key(feed, TARGET, name) for name in ("training_set", "persistence")
    ]
    done = refresh(feed, world.home, world.instance, selection=keys, config=config)
    assert done.success
    events = {event.asset_key: event.materialization for event in done.get_asset_materialization_events()}
    counts = {layer: metadata(done, key(feed, layer))["months_computed"] for layer in LAYERS}
    return counts, (events[keys[-2]].tags or {})["dagster/data_version"], metadata(done, keys[-1])["status"]


def test_new_salt_rebuilds_everything_and_changes_no_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held, before = contents(Lake(world.home)), candidates.read_candidate(world.home, "small", TARGET, "persistence")
    newest = world.instance.get_latest_materialization_event(key(world.feed, TARGET, "training_set"))
    assert newest
    assert newest.asset_materialization
    had = (newest.asset_materialization.tags or {})["dagster/data_version"]
    monkeypatch.setenv("AEROCAST_HASH_SALT", "another")
    counts, version, trained = made_again(world, world.feed)
    assert counts == dict.fromkeys(LAYERS, len(months(world.feed).get_partition_keys()))
    assert version != had
    assert trained == "computed"
    after = candidates.read_candidate(world.home, "small", TARGET, "persistence")
    assert before
    assert after
    assert before.config_hash != after.config_hash, "which is also the release's"
    assert contents(Lake(world.home)) == held


def test_force_rebuilds_layer_and_nothing_below_is_stale(world: World) -> None:
    lake, before = Lake(world.home), made_again(world, world.feed)
    assert before[0] == dict.fromkeys(LAYERS, 0), "the same hash is no work"
    assert before[2] == "unchanged"
    versions = {name: lake.version(name) for name in layers(lake)}
    backfill(world, world.feed)
    assert {name: lake.version(name) for name in layers(lake)} == versions
    config = {"ops": {f"small__{layer}": {"config": {"force": True}} for layer in LAYERS}}
    counts, version, trained = made_again(world, world.feed, config)
    assert counts == dict.fromkeys(LAYERS, len(months(world.feed).get_partition_keys()))
    assert (version, trained) == (before[1], "unchanged")
    assert stale(world, world.feed) == set()


def test_removed_month_is_frozen_below_with_its_books(world: World) -> None:
    lake, held = Lake(world.home), contents(Lake(world.home))
    feed = Feed.parse(stricter(world.feed).model_dump(mode="json") | {"retention": {"raw": "P30D"}})
    assert maintain(world.home, lake, {"small": (feed, datetime(2024, 3, 2, tzinfo=UTC))}).removals == {
        "small/raw": ["2024-01"]
    }
    done = refresh(feed, world.home, world.instance, ["2024-01", OLD], selection=[key(feed, each) for each in LAYERS])
    assert done.success
    assert check(done, "nothing_lost").passed
    assert metadata(done, key(feed, "bronze"))["months_computed"] == 1, (
        "February, whose rule changed; January has no raw"
    )
    now = contents(lake)
    assert all(now[name]["2024-01"] == held[name]["2024-01"] for name in now if name.startswith("small/"))
    assert stale_months(feed, lake, datetime(2024, 5, 1, tzinfo=UTC)) == {}


def test_command_reads_back_training_rows_of_release(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "rows.parquet"
    backfill(world, stricter(world.feed))
    maintain(world.home, Lake(world.home), {}, timedelta(0))
    assert main(["rows", "--feed", "small", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    rows = pq.read_table(output)
    pointer = release.current(world.home, "small", TARGET)
    assert pointer
    assert f"release {pointer.version} of small/temperature" in said
    manifest = release.load(world.home, "small", TARGET, pointer.version).manifest
    assert manifest.lineage.rows
    assert len(rows) == manifest.lineage.rows.count
    learned = rows.filter(pc.is_in(rows["role"], pa.array(["train", "validation"])))["time"]
    assert (pc.min(learned).as_py(), pc.max(learned).as_py()) == (
        manifest.lineage.training_start,
        manifest.lineage.trial_end,
    )
    assert pc.max(rows["time"]).as_py() == manifest.lineage.training_end
    assert main(["rows", "--feed", "small", "--release", "0009-00000000"]) == 1
    assert "0009-00000000" in capsys.readouterr().err


def test_maintenance_is_nightly_asset_that_reports_disk_use(world: World) -> None:
    defs = dg.Definitions.merge(
        upkeep(lambda: [world.feed]), dg.Definitions(resources={"platform": Platform(home=str(world.home))})
    )
    schedule = defs.resolve_schedule_def("maintain_tables")
    assert (schedule.cron_schedule, schedule.default_status) == ("41 3 * * *", dg.DefaultScheduleStatus.RUNNING)
    done = defs.resolve_job_def(JOB).execute_in_process(instance=world.instance)
    assert done.success
    told = metadata(done, dg.AssetKey(["platform", "maintenance"]))
    assert told["tables_spared"] == told["runs_deleted"] == 0, "all is of today"
    assert told["bytes_kept"] > told["bytes"] > 0
    assert "small/raw" in told["tables"]
    assert 0 < float(str(check(done, "disk_has_room").metadata["share_free"].value)) <= 1
