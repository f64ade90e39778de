"""Layers: a month is stale by what it is made of, and by nothing else; what consumers read decides what is marked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from aerocast.contracts.drift_state import Fault
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake, Rows
from aerocast.lake.fingerprints import Edges
from aerocast.tables import faults
from aerocast.tables.layers import FAULTS, layers_of, raw_edges, stale_months
from aerocast.tables.staleness import ROWS, Facts, Layer, edges_of
from aerocast_assets.feeds import feeds
from tests.factories.cases import lines
from tests.factories.feeds import small_feed
from tests.factories.tables import MADE, RAW, append_rows, hourly_rows
from tests.harness.deliveries import Deliveries, refresh

NOW = datetime(2024, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HEADER = "place,at,t,w,p"
MONTHS = ["2024-01", "2024-02"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "home")
    for month in MONTHS:
        append_rows(lake, month, [50], month)
    return lake


def build(con: object, rows: duckdb.DuckDBPyRelation, months: Sequence[str], value: Any) -> Mapping[str, Rows]:
    """January alone: all of February failed a rule."""
    assert {month for (month,) in rows.select("month").fetchall()} >= set(months)
    return {MADE: hourly_rows("2024-01", [50] if "2024-01" in months else [])}


LAYER = Layer(MADE, RAW, ("aerocast.common.sql",), {}, build, before=3 * HOUR, after=2 * HOUR)


def changes(con: duckdb.DuckDBPyConnection, lake: Lake) -> list[str]:
    return LAYER.changes(con, lake, NOW).get(ROWS, [])


def test_month_fingerprint_follows_what_it_reads_of_neighbours(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    assert changes(con, lake) == MONTHS
    assert LAYER.refresh(con, lake, MONTHS, Facts()) == MONTHS
    assert changes(con, lake) == [], "an empty month was made, too"
    append_rows(lake, "2024-03", [60], "next")
    assert changes(con, lake) == ["2024-03"], "March begins far from February's end"
    append_rows(lake, "2024-01", [60], "late")
    assert changes(con, lake) == ["2024-01", "2024-03"]
    append_rows(lake, "2024-03", [1], "at the border")
    assert changes(con, lake) == [*MONTHS, "2024-03"]


@pytest.mark.parametrize(
    ("other", "stale"),
    [
        ({}, []),
        ({"declaration": {"cadence": "PT5M"}}, MONTHS),
        ({"modules": ("aerocast.common.months",)}, MONTHS),
        ({"ignore": ("segment",)}, MONTHS),
        ({"chunk": 1}, []),
        ({"edges": Edges(HOUR, HOUR)}, []),
    ],
)
def test_month_is_stale_after_change_of_declaration_or_code(
    con: duckdb.DuckDBPyConnection, lake: Lake, other: dict[str, Any], stale: list[str]
) -> None:
    LAYER.refresh(con, lake, MONTHS, Facts())
    changed = replace(LAYER, **other)
    assert changed.changes(con, lake, NOW) == {}, "only content is a reason for a run by itself"
    assert changed.refresh(con, lake, MONTHS, Facts()) == stale


def test_facts_belong_to_their_months_and_parts(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    told: dict[str, dict[str, list[str]]] = {}
    layer = replace(LAYER, parts=("weather",), observe=lambda *_: Facts(None, told))
    layer.refresh(con, lake, MONTHS, Facts())
    assert layer.changes(con, lake, NOW) == {}, "a part that was never told is as if nothing was there"
    told["weather"] = {"2024-02": ["rain"]}
    assert layer.changes(con, lake, NOW) == {"weather": ["2024-02"]}
    told[ROWS] = {"2024-01": ["an end"]}
    assert layer.changes(con, lake, NOW) == {"weather": ["2024-02"], ROWS: ["2024-01"]}
    assert layer.refresh(con, lake, MONTHS, Facts(None, told)) == MONTHS
    assert layer.changes(con, lake, NOW) == {}
    told.clear()
    assert layer.changes(con, lake, NOW) == {"weather": ["2024-02"], ROWS: ["2024-01"]}, "and it is missed when it goes"


def test_month_removed_by_retention_is_left_alone(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    LAYER.refresh(con, lake, MONTHS, Facts())
    lake.remove(RAW, ["2024-01"])
    assert changes(con, lake) == []
    assert LAYER.refresh(con, lake, MONTHS, Facts(), force=True) == ["2024-02"]
    assert lake.rows(MADE) == {"2024-01": 1}


def test_force_refreshes_every_month(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    LAYER.refresh(con, lake, MONTHS, Facts())
    assert LAYER.refresh(con, lake, MONTHS, Facts(), force=True) == MONTHS


def test_month_waits_only_while_it_alone_is_stale(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    assert LAYER.refresh(con, lake, MONTHS, Facts(), later="2024-02") == MONTHS
    told = {ROWS: {"2024-02": ["an end"]}}
    assert LAYER.refresh(con, lake, MONTHS, Facts(None, told), later="2024-02") == []
    assert LAYER.refresh(con, lake, MONTHS, Facts(None, told), later="2024-02", force=True) == MONTHS


@pytest.mark.parametrize("feed", feeds(), ids=lambda feed: feed.name)
def test_edges_equal_what_consumers_read(feed: Feed) -> None:
    layers = layers_of(feed)
    for layer in layers:
        readers = [each for each in layers if each.source == layer.table]
        assert all(layer.edges.head >= each.after and layer.edges.tail >= each.before for each in readers)
        assert readers or layer.edges == Edges()
        assert layer.source == f"{feed.name}/raw" or layer.source in {each.table for each in layers}
    assert raw_edges(feed) == edges_of(layers, f"{feed.name}/raw") != Edges()


def test_fault_changes_its_months_of_bronze(tmp_path: Path) -> None:
    def stale() -> list[str]:
        return stale_months(home.feed, home.lake, NOW).get(FAULTS, [])

    feed = small_feed(tmp_path / "none.csv").model_copy(update={"end": None})
    (tmp_path / "none.csv").write_bytes(lines(header=HEADER))
    home = Deliveries(tmp_path / "home", feed)
    days = ("01-05", "02-10", "03-10", "04-05")
    home.drop(
        "a.csv",
        lines(*(("AAA", f"2024-{day}T00:00Z", 5, 1, 1000) for day in days), header=HEADER),
    )
    home()
    fault = Fault("AAA", "temperature", "flat_line", datetime(2024, 2, 9, tzinfo=UTC), None, "it stands still")
    reworded = msgspec.structs.replace(fault, detail="in other words")
    home.lake.overwrite("small/faults", faults.to_table([fault]))
    assert stale() == ["2024-02", "2024-03", "2024-04"]
    home.clean()
    assert stale() == []
    assert home.values("temperature")["AAA", "02-10T00:00"] is None
    home.lake.overwrite("small/faults", faults.to_table([reworded]))
    assert stale() == [], "readings do not depend on how a fault is told"
    over = Fault("AAA", "temperature", "flat_line", fault.start, datetime(2024, 2, 20, tzinfo=UTC), "")
    home.lake.overwrite("small/faults", faults.to_table([over]))
    assert stale() == ["2024-02", "2024-03", "2024-04"]
    home.clean()
    assert home.values("temperature")["AAA", "03-10T00:00"] == 41
    home.lake.overwrite("small/faults", faults.to_table([]))
    assert stale() == ["2024-02"]
    home.clean()
    assert home.values("temperature")["AAA", "02-10T00:00"] == 41


def test_second_refresh_is_noop(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    feed = small_feed(tmp_path / "none.csv")
    (tmp_path / "none.csv").write_bytes(lines(header=HEADER))
    home = Deliveries(tmp_path / "home", feed)
    home.drop("a.csv", lines(("AAA", "2024-01-05T00:00Z", 5, 1, 1000), header=HEADER))
    home.take()
    for name in ("bronze", "silver", "windows"):
        assert refresh(con, home.lake, feed, NOW, name), f"seed of {name}"
        assert refresh(con, home.lake, feed, NOW, name) == []
    assert stale_months(feed, home.lake, NOW) == {}
