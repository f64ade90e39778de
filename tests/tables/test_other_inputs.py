"""Inputs of the kinds that users met, other than theirs: what a delivery may hold, and may become."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.releases import release
from aerocast.tables import quality
from aerocast.tables.raw import raw_schema
from tests.factories.cases import lines
from tests.factories.feeds import small_feed, write_readings, write_rows
from tests.harness.deliveries import Deliveries
from tests.harness.graph import refresh

pytestmark = pytest.mark.e2e  # whole deliveries, one after another

HEADER = "station,time,temp,pres"


def declared(**changes: Any) -> Feed:
    columns = [
        {"name": "temperature", "field": "temp", "source_unit": "degC", "unit": "degC", "range": [-60, 60]},
        {"name": "pressure", "field": "pres", "source_unit": "hPa", "unit": "hPa", "range": [870, 1085]},
    ]
    base: dict[str, Any] = {
        "name": "small",
        "description": "Made readings.",
        "source": {"kind": "push"},
        "cadence": "PT1H",
        "seasons": ["P1D"],
        "start": "2024-01-01T00:00:00Z",
        "freshness": "PT6H",
        "stations": [{"id": "AAA"}],
        "columns": columns,
        "targets": ["temperature"],
        "window": {"steps": 5, "columns": ["temperature"], "look_back": 24},
        "horizons": [1],
        "gap_policy": {"max_steps": 3},
        "candidates": {"persistence": {}, "seasonal_naive": {}},
    }
    return Feed.parse(base | changes)


def of_file(path: Path, **changes: Any) -> Feed:
    source = {"kind": "csv", "path": str(path), "station_field": "station", "time_field": "time"}
    return declared(source=source | changes.pop("source", {}), **changes)


def column(field: str) -> dict[str, Any]:
    return {"name": "temperature", "field": field, "source_unit": "degC", "unit": "degC", "range": [-60, 60]}


@pytest.mark.parametrize("field", ["temp {C}", "t{0}", "t{}", 'rain 5"', "a\\b", "te'mp"])
def test_field_may_have_any_name(home: Path, field: str) -> None:
    made = Deliveries(home, declared(columns=[column(field)]))
    name = field.replace('"', '""')
    made.drop("a.csv", lines(("AAA", "2024-01-01T00:00Z", 1), ("AAA", "2024-01-01T01:00Z", "x"),
                             header=f'station,time,"{name}"'))  # fmt: skip
    made.post(json.dumps({"station": "AAA", "time": "2024-01-01T02:00Z", field: 3}).encode())
    made()
    assert list(made.values("temperature").values()) == [1.0, None, 3.0]
    assert field in made.rows("quarantine")[0]["reason"]


def test_blanks_around_station_are_ignored_at_every_channel(home: Path) -> None:
    path = home / "a.csv"
    path.write_bytes(lines(("\tAAA", "2024-01-01T00:00Z", 1, 1000), ("AAA\t ", "2024-01-01T01:00Z", 2, 1000),
                           header=HEADER))  # fmt: skip
    made = Deliveries(home / "csv", of_file(path))
    made()
    pushed = Deliveries(home / "push", declared())
    pushed.drop("a.csv", path)
    pushed()
    assert made.values("temperature") == pushed.values("temperature")
    assert len(made.values("temperature")) == 2


@pytest.mark.parametrize(("kind", "before"), [("csv", 122_879), ("jsonl", 19_999)])
def test_repeated_hour_is_resolved_for_any_file_cut(home: Path, kind: str, before: int) -> None:
    made = Deliveries(home, declared(source={"kind": "push", "timezone": "Europe/Berlin"}))
    rows = [("ZZZ", f"2024-03-01T00:00:00.{number:06}", 0) for number in range(before)]
    rows += [("AAA", "2024-10-27T02:30", 1), ("AAA", "2024-10-27T02:30", 2)]
    as_json = [json.dumps(dict(zip(("station", "time", "temp"), row, strict=True))) for row in rows]
    made.drop(f"a.{kind}", lines(*rows) if kind == "csv" else "\n".join([*as_json, ""]).encode())
    made()
    assert made.values("temperature") == {("AAA", "10-27T00:30"): 1.0, ("AAA", "10-27T01:30"): 2.0}


def test_changed_zone_loses_no_reading_of_repeated_hour(home: Path) -> None:
    path, zones = home / "a.csv", ["Europe/Berlin", "Europe/Berlin", "UTC", "Europe/Berlin", "Europe/Amsterdam"]
    rows = [("AAA", "2024-10-27T02:30", 1, 1000), ("AAA", "2024-10-27T02:30", 2, 1000)]
    made = Deliveries(home, of_file(path))
    for number, zone in enumerate(zones):
        path.write_bytes(lines(*rows[: number + 1], header=HEADER))
        made.feed = of_file(path, source={"timezone": zone})
        made()
    assert made.values("temperature") == {("AAA", "10-27T00:30"): 1.0, ("AAA", "10-27T01:30"): 2.0}


def test_changed_zone_moves_no_reading_into_removed_month(home: Path) -> None:
    made = Deliveries(home, declared(source={"kind": "push", "timezone": "UTC"}))
    made.drop("a.csv", lines(("AAA", "2024-01-15T00:00", 1), ("AAA", "2024-02-01T00:30", 2), ("AAA", "2024-02-02", 3)))
    made()
    for layer in ("raw", "bronze", "quarantine"):
        made.lake.remove(f"small/{layer}", ["2024-01"])
    made.feed = declared(source={"kind": "push", "timezone": "Europe/Berlin"})
    made()
    assert made.lake.months("small/raw") == ["2024-02"]
    assert made.rules() == {"early": 1}
    assert list(made.values("temperature").values()) == [3.0]


def test_two_posts_of_repeated_hour_are_correction(home: Path) -> None:
    made = Deliveries(home, declared(source={"kind": "push", "timezone": "Europe/Berlin"}))
    for value in (1, 2):
        made.post(json.dumps({"station": "AAA", "time": "2024-10-27T02:30", "temp": value}).encode())
    made()
    assert made.values("temperature") == {("AAA", "10-27T00:30"): 2.0}
    made.feed = declared(source={"kind": "push", "timezone": "Europe/Amsterdam"})
    made()
    assert made.values("temperature") == {("AAA", "10-27T00:30"): 2.0}


@pytest.mark.parametrize(
    ("first", "then", "counts"),
    [
        ([("AAA", "T00:00Z", 1), ("AAA", " 00:00Z", 2)], [("AAA", " 00:00Z", 2), ("AAA", "T00:00Z", 1)], 1.0),
        ([("AAA", "T00:00Z", 1), ("AAA", " 00:00Z", 2)], [("AAA", "T00:00Z", 3), ("AAA", " 00:00Z", 2)], 2.0),
        ([("AAA", "T00:00Z", 1), ("old", "T00:00Z", 2)], [("old", "T00:00Z", 2), ("AAA", "T00:00Z", 1)], 1.0),
    ],
)
def test_last_line_of_file_counts_in_any_spelling(home: Path, first: list[Any], then: list[Any], counts: float) -> None:
    path = home / "a.csv"
    made = Deliveries(home, of_file(path, stations=[{"id": "AAA", "aliases": ["old"]}]))
    for rows in (first, then, then):
        path.write_bytes(lines(*((s, f"2024-01-01{t}", v, 1000) for s, t, v in rows), header=HEADER))
        made()
    assert list(made.values("temperature").values()) == [counts]


@pytest.mark.parametrize("marks", [("temperature=X", None), (None, "temperature=X")])
def test_books_balance_with_value_rejected_once(home: Path, marks: tuple[str | None, str | None]) -> None:
    made = Deliveries(home, declared())
    time = datetime(2024, 1, 1, tzinfo=UTC)
    for mark in marks:
        segment = f"of {mark}"
        row = {"station": "AAA", "time": time, "time_text": "2024-01-01T00:00Z", "source": "poll", "segment": segment}
        row |= {"flags": mark, "temp": "5", "line": 0, "month": "2024-01"}
        made.lake.append("small/raw", pa.Table.from_pylist([row], raw_schema(made.feed)), segment)
    made.clean()
    assert made.values("temperature") == {("AAA", "01-01T00:00"): 5.0}
    assert made.rules() == {"rejected": 1}


def test_future_reading_is_counted_until_its_time(home: Path) -> None:
    made, noon = Deliveries(home, declared()), datetime(2024, 1, 1, 12, tzinfo=UTC)
    made.drop("a.csv", lines(*(("AAA", f"2024-01-01T{hour:02}:00Z", hour) for hour in range(24))))
    made.take(noon)
    with duckdb.connect() as con:
        counts = [
            quality.count_future(con, made.lake, made.feed, ["2024-01", "2024-03"], noon + timedelta(hours=hours))
            for hours in (0, 1, 24)
        ]
    assert counts == [{"2024-01": 10}, {"2024-01": 9}, {}], "one step ahead is believed"


def test_compressed_file_without_final_line_break_is_read_whole(home: Path) -> None:
    made = Deliveries(home, declared())
    packed = gzip.compress(lines(("AAA", "2024-01-01T00:00Z", 1), ("AAA", "2024-01-01T01:00Z", 2)).rstrip())
    made.drop("a.csv.gz", packed)
    made()
    assert made.taken.rejections == []
    assert made.measured()["temperature"] == 2


def test_parquet_with_nested_readings_is_read_by_dotted_names(home: Path) -> None:
    made = Deliveries(home, declared(columns=[column("m.temp")]))
    times = pa.array([datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in range(3)], pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"station": ["AAA"] * 3, "time": times, "m": [{"temp": 1, "x": 5}, {"temp": 2, "x": 5}, None]}),
        home / "nested.parquet",
    )
    made.drop("a.parquet", home / "nested.parquet")
    made()
    assert list(made.values("temperature").values()) == [1.0, 2.0, None]


def test_byte_order_mark_before_json_lines_is_skipped(home: Path) -> None:
    made = Deliveries(home, declared())
    made.drop("a.jsonl", b'\xef\xbb\xbf{"station": "AAA", "time": "2024-01-01T00:00Z", "temp": 1}\n')
    made()
    assert made.values("temperature") == {("AAA", "01-01T00:00"): 1.0}


def test_blocking_share_must_be_declared_per_column() -> None:
    feed = declared(quality={"block": 0.1})
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(20)]
    bronze = pa.table(
        {
            "station": ["AAA"] * 20,
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "temperature": [None] * 3 + [1.0] * 17,
            "pressure": [None] * 2 + [1000.0] * 18,
        }
    )
    apart = pa.table({name: pa.array([], pa.string()) for name in ("station", "column")}).append_column(
        "time", pa.array([], pa.timestamp("us", "UTC"))
    )
    with duckdb.connect() as con:
        found = quality.shares(con, feed, con.from_arrow(bronze), con.from_arrow(apart))
    assert [each.column for each in quality.shares_above(found, 0.1)] == ["temperature", "pressure"], (
        "from this share on"
    )
    assert [each.column for each in quality.shares_above(found)] == ["temperature"]


@pytest.mark.parametrize("name", ["pressure_mean", "pressure_age"])
def test_column_named_like_derived_column_is_refused(name: str) -> None:
    columns = [column("temp"), column("mean") | {"name": name}, column("pres") | {"name": "pressure"}]
    with pytest.raises(AeroCastError, match=f"'{name}' is a column that silver derives from 'pressure'"):
        declared(columns=columns)


@pytest.mark.parametrize("dead", ["2024-01-01", "2024-02-15"])
def test_dead_window_column_costs_no_other_column(tmp_path: Path, home: Path, dead: str) -> None:
    """From the first or only in the newest span: short sequences cannot be learned or judged, the target can."""
    path = write_readings(tmp_path / "readings.csv", hours=24 * 60)
    head, *rows = (line.split(",") for line in path.read_text().splitlines())
    write_rows(path, [[*row[:4], "9999" if row[1] >= dead else row[4]] for row in rows])
    assert head[4] == "p"
    candidates = {"linear": {}, "persistence": {}, "seasonal_naive": {}}
    feed = small_feed(path, end="2024-03-01T00:00:00Z", candidates=candidates)
    with dg.DagsterInstance.ephemeral() as instance:
        assert refresh(feed, home, instance).success
    serving = release.current(home, feed.name, "temperature")
    assert serving is not None
    manifest = release.load(home, feed.name, "temperature", serving.version).manifest
    assert (manifest.graphs.sequence is None) == (dead == "2024-01-01")
    assert manifest.metrics.sequence == {}
