"""raw to windows through Dagster, on a real instance: counts, quarantine, what is recomputed when, and checks."""

import csv
import shutil
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import duckdb
import pytest

from aerocast.contracts import tail
from aerocast.features.outages import rows_needed
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables import training
from aerocast_assets.keys import key
from tests.factories.feeds import HOURS, STATIONS, small_feed, write_readings, write_rows
from tests.harness.graph import check, dagster_instance, definitions, metadata, refresh

pytestmark = pytest.mark.e2e  # whole runs of the asset graph

LAYERS = ("raw", "bronze", "silver", "windows")


def tables(feed: Feed) -> list[dg.AssetKey]:
    return [key(feed, layer) for layer in LAYERS]


def statuses(result: dg.ExecuteInProcessResult, feed: Feed) -> list[str]:
    return [metadata(result, each)["status"] for each in tables(feed)]


def query(home: Path, name: str, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, name)
        return rows.query("t", sql).fetchall()


class FirstRun(NamedTuple):
    """One run of a feed over all months, and where its tables are."""

    result: dg.ExecuteInProcessResult
    feed: Feed
    home: Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """A first run that tests only read."""
    place = tmp_path_factory.mktemp("layers")
    feed, home = small_feed(write_readings(place / "readings.csv")), place / "home"
    home.mkdir()
    with dagster_instance(home) as instance:
        return FirstRun(refresh(feed, home, instance, selection=tables(feed)), feed, home)


@pytest.fixture
def copied(shared: FirstRun, home: Path) -> FirstRun:
    """A copy of the shared home, which a test may change; its readings stay as they are."""
    shutil.copytree(shared.home, home, dirs_exist_ok=True)
    return shared._replace(home=home)


@pytest.fixture
def first(feed: Feed, home: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """A first run over readings that the test may correct."""
    return refresh(feed, home, instance, selection=tables(feed))


def test_readings_are_in_bronze_quarantine_or_duplicates(shared: FirstRun) -> None:
    assert shared.result.success
    counted = {
        name: value.value for name, value in check(shared.result, "nothing_lost").metadata.items() if name != "months"
    }
    assert counted == {
        "rows_in": HOURS * len(STATIONS) + 1,
        "withdrawn": 0,
        "bronze": HOURS * len(STATIONS),
        "quarantine": 0,
        "duplicates": 1,
        "values_in": counted["kept"] + 2,
        "kept": counted["kept"],
        "quarantined": 2,
        "superseded": 0,
    }
    measured = query(
        shared.home, "small/bronze", "SELECT count(temperature) + count(windspeed) + count(pressure) FROM t"
    )
    assert measured == [(counted["kept"],)]
    rules = dict(query(shared.home, "small/quarantine", "SELECT rule, reason FROM t"))
    assert sorted(rules) == ["range", "step"]
    assert "1051" in str(rules["range"]), "470 m/s must be judged, and told, in mph"
    assert "temperature" in str(rules["step"])


def test_bronze_has_canonical_units(shared: FirstRun) -> None:
    assert shared.result.success
    with Path(shared.feed.source.path).open() as stream:
        row = next(csv.DictReader(stream))
    stored = query(
        shared.home,
        "small/bronze",
        f"SELECT temperature, windspeed FROM t WHERE station = '{row['place']}' ORDER BY time",
    )
    assert stored[0][0] == pytest.approx(float(row["t"]) * 9 / 5 + 32)
    assert stored[0][1] == pytest.approx(float(row["w"]) / 0.44704)


def test_row_counts_cover_table_and_partition(shared: FirstRun) -> None:
    events = [
        event for layer in LAYERS[1:3] for event in shared.result.asset_materializations_for_node(f"small__{layer}")
    ]
    assert len(events) == 2 * 4  # months
    for layer in LAYERS[1:3]:
        rows = Lake(shared.home).rows(f"small/{layer}")
        of_layer = [event for event in events if event.asset_key == key(shared.feed, layer)]
        assert {event.metadata["dagster/row_count"].value for event in of_layer} == {sum(rows.values())}
        shown = {str(event.partition): event.metadata["dagster/partition_row_count"].value for event in of_layer}
        assert {month: count for month, count in shown.items() if count} == rows


def test_missing_value_is_no_fault_and_fill_has_age(shared: FirstRun) -> None:
    assert shared.result.success
    missing = query(shared.home, "small/bronze", "SELECT count(*) FROM t WHERE pressure IS NULL")[0][0]
    filled = query(
        shared.home, "small/silver", "SELECT count(*) FROM t WHERE pressure IS NOT NULL AND pressure_age > 0"
    )[0][0]
    unflagged = query(
        shared.home, "small/silver", "SELECT count(*) FROM t WHERE pressure_count = 0 AND pressure_age = 0"
    )[0][0]
    assert int(str(missing)) > 50
    assert int(str(filled)) > 50
    assert unflagged == 0


def test_silver_grid_is_regular(shared: FirstRun) -> None:
    assert shared.result.success
    steps = query(
        shared.home,
        "small/silver",
        "SELECT DISTINCT time - lag(time) OVER (PARTITION BY station ORDER BY time) AS step FROM t",
    )
    assert {str(step[0]) for step in steps if step[0] is not None} == {"1:00:00"}


def test_windowed_csv_has_agreed_header(shared: FirstRun) -> None:
    path = Path(metadata(shared.result, key(shared.feed, "windows"))["csv"])
    lines = path.read_text().splitlines()
    names = [f"t{step}_{name}" for step in range(5) for name in ("temp", "wind", "pressure")]
    assert lines[0] == ",".join([*names, "target"])
    assert len(lines) > 4000
    assert all(cell not in ("", "nan") for cell in lines[-1].split(","))


def test_second_run_computes_nothing(copied: FirstRun, instance: dg.DagsterInstance) -> None:
    first, feed, home = copied
    assert statuses(first, feed) == ["computed"] * 4
    versions = {name: Lake(home).version(name) for name in Lake(home).tables()}
    again = refresh(feed, home, instance, selection=tables(feed))
    assert statuses(again, feed) == ["unchanged"] * 4
    assert {name: Lake(home).version(name) for name in Lake(home).tables()} == versions


def test_force_recomputes_and_changes_no_row(copied: FirstRun, instance: dg.DagsterInstance) -> None:
    first, feed, home = copied
    assert first.success
    before = query(home, "small/bronze", "SELECT * FROM t ORDER BY station, time")
    config = {"ops": {"small__bronze": {"config": {"force": True}}}}
    again = refresh(feed, home, instance, selection=tables(feed), config=config)
    assert statuses(again, feed) == ["unchanged", "computed", "unchanged", "unchanged"]
    assert query(home, "small/bronze", "SELECT * FROM t ORDER BY station, time") == before


def test_corrected_month_rebuilds_only_its_neighbours(
    first: dg.ExecuteInProcessResult, feed: Feed, home: Path, instance: dg.DagsterInstance, readings: Path
) -> None:
    assert first.success
    with readings.open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    for row in rows:
        if row[0] == "AAA" and row[1].startswith("2024-01-10"):
            row[2] = f"{float(row[2]) + 1:.2f}"
    write_rows(readings, rows)
    again = refresh(feed, home, instance, selection=tables(feed))
    assert again.success
    done = {layer: metadata(again, key(feed, layer)) for layer in LAYERS}
    assert done["raw"]["segments_new"] == 1
    # Of the file's January the corrected lines alone are delivered again, none of them near its end.
    assert done["raw"]["rows_new"] == done["raw"]["withdrawn"] == 24
    assert [done[layer]["months_computed"] for layer in ("bronze", "silver", "windows")] == [1, 1, 1]
    counted = check(again, "nothing_lost").metadata
    assert (counted["withdrawn"].value, counted["duplicates"].value) == (24, 1)


@pytest.mark.parametrize("derived", ["tail", "csv"])
def test_derived_file_is_written_after_run_died_behind_commit(
    derived: str,
    first: dg.ExecuteInProcessResult,
    feed: Feed,
    home: Path,
    instance: dg.DagsterInstance,
    readings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert first.success
    with readings.open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    newest = max(at for at, row in enumerate(rows) if row[0] == "AAA")
    rows[newest][2] = f"{float(rows[newest][2]) + 0.5:.2f}"
    write_rows(readings, rows)
    module, name = (tail, "write_grids") if derived == "tail" else (training, "write_csv")

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(module, name, die)
        assert not refresh(feed, home, instance, selection=tables(feed)).success
    again = refresh(feed, home, instance, selection=tables(feed))
    assert again.success
    layer = "silver" if derived == "tail" else "windows"
    assert metadata(again, key(feed, layer))["months_computed"] == 0, "the rows were there already"
    fahrenheit = float(rows[newest][2]) * 1.8 + 32
    if derived == "tail":
        grid = tail.read_grids(home, "small")["AAA"]
        cadence = int(feed.cadence.total_seconds())
        assert (
            len(grid.time) == rows_needed(feed.window.look_back, feed.season_steps[0], cadence) > feed.window.look_back
        )
        assert grid.values[-1, grid.columns.index("temperature")] == pytest.approx(fahrenheit, abs=1e-3)
    else:
        lines = Path(metadata(again, key(feed, "windows"))["csv"]).read_text().splitlines()[1:]
        assert any(float(line.split(",")[-1]) == pytest.approx(fahrenheit, abs=1e-3) for line in lines)


def test_single_month_can_be_backfilled(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    result = refresh(feed, home, instance, ["2024-02"], selection=tables(feed)[:3])
    assert result.success
    assert Lake(home).months("small/silver") == ["2024-02"]
    assert check(result, "nothing_lost").passed


def test_expectations_are_checks_with_examples(shared: FirstRun) -> None:
    names = {evaluation.check_name for evaluation in shared.result.get_asset_check_evaluations()}
    assert {"columns", "key_unique", "temperature_in_range", "temperature_measured", "fresh"} <= names
    assert all(evaluation.passed for evaluation in shared.result.get_asset_check_evaluations())


def test_silent_feed_is_not_fresh(readings: Path, home: Path, instance: dg.DagsterInstance) -> None:
    late = small_feed(readings, end="2024-05-03T00:00:00Z")
    result = refresh(late, home, instance, selection=tables(late))
    fresh = check(result, "fresh")
    assert not fresh.passed
    assert fresh.metadata["late"].value == "AAA, BBB"


def test_failed_blocking_check_stops_downstream(
    feed: Feed, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aerocast.tables import quality

    cleaned = quality.clean

    def leaky(*arguments: object) -> quality.Cleaned:
        found = cleaned(*arguments)
        return found._replace(bronze=found.bronze.limit(100))

    monkeypatch.setattr(quality, "clean", leaky)
    result = refresh(feed, home, instance, selection=tables(feed))
    assert not result.success
    assert not check(result, "nothing_lost").passed
    assert not Lake(home).exists("small/silver"), "silver must not be built on a bronze that lost rows"


def test_missing_source_raises_one_sentence(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    gone = small_feed(tmp_path / "nowhere.csv")
    result = refresh(gone, home, instance, selection=tables(gone))
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert failure.step_failure_data.error is not None
    assert "nowhere.csv" in str(failure.step_failure_data.error)


def test_definitions_of_two_feeds_merge(readings: Path, feed: Feed, home: Path) -> None:
    other = small_feed(readings, name="other")
    both = definitions(home, feed, other)
    keys = {asset.key.to_user_string() for asset in both.resolve_all_asset_specs()}
    assert {"small/bronze", "other/bronze", "other/temperature/champion"} <= keys


def test_run_heals_damaged_documents_and_names_them(copied: FirstRun, instance: dg.DagsterInstance) -> None:
    """As the sensors do, so that a home without a daemon is healed too."""
    pointer = copied.home / "releases/small/temperature/current.json"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_bytes(b"{")
    result = refresh(copied.feed, copied.home, instance, selection=[key(copied.feed, "raw")])
    assert result.success
    assert str(pointer) in str(metadata(result, key(copied.feed, "raw")))
    assert not pointer.exists(), "nothing was promoted that it could name"
