"""Sliding windows: what plain Python counts, from the same readings in any order, and nothing before its time."""

import math
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.common.months import months_around
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables import silver, sliding
from aerocast_assets.assets.bronze import bronze as bronze_layer
from aerocast_assets.assets.raw import raw
from aerocast_assets.assets.sliding import sliding as sliding_asset
from aerocast_assets.feeds import find_feed
from aerocast_assets.keys import key, months
from aerocast_assets.resources import Platform
from tests.factories import bronze as base
from tests.factories.bronze import bronze
from tests.factories.feeds import START, small_feed
from tests.harness.graph import definitions, metadata, refresh
from tests.tables import test_silver

Row = dict[str, Any]
Key = tuple[str, datetime]
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NIGHT = datetime(2013, 1, 31, 23, 50, tzinfo=UTC)
MONTHS = ["2013-01", "2013-02"]
LATER = NIGHT + 2 * HOUR  # when all of this is final
SERIES = ("temp", "speed", "direction", "wind_u", "wind_v")


def feed(
    size: str = "PT5M", every: str = "PT1M", watermark: str = "PT10M", highest: float = 1e4, **changes: Any
) -> Feed:
    """Bronze holds no value outside the range, here that of the temperature."""
    columns = [column.model_dump(mode="json") for column in base.feed().columns]
    columns = [column | ({"range": [-highest, highest]} if column["name"] == "temp" else {}) for column in columns]
    windows = {"size": size, "every": every, "watermark": watermark}
    return base.feed(**({"sliding": windows, "columns": columns} | changes))


def build(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[Row],
    months: Sequence[str] = MONTHS,
    newest: datetime = LATER,
    declared: Feed | None = None,
) -> dict[Key, Row]:
    relation = sliding.build(con, declared or feed(), con.from_arrow(bronze(rows)), months, newest)
    found = relation.to_arrow_table().to_pylist()
    windows = {(row["station"], row["time"]): row for row in found}
    assert len(windows) == len(found), "a window is there once"
    return windows


def by_hand(
    rows: Sequence[Row], months: Sequence[str] = MONTHS, newest: datetime = LATER, declared: Feed | None = None
) -> dict[Key, Row]:
    """The same in the plainest way: each window of each station, and the readings that lie in it."""
    plan = sliding.declaration(declared or feed())
    held: dict[Key, list[Row]] = {}
    for row in rows:
        since = row["time"] - datetime(1970, 1, 1, tzinfo=UTC)
        start = row["time"] - since % plan.every
        while start > row["time"] - plan.size:
            if f"{start:%Y-%m}" in months and start + plan.size <= newest - plan.watermark:
                held.setdefault((row.get("station", "A"), start), []).append(row)
            start -= plan.every
    return {key: {"readings": len(own), "month": f"{key[1]:%Y-%m}"} | figures(own) for key, own in held.items()}


def figures(rows: Sequence[Row]) -> Row:
    found: Row = {}
    for name in SERIES:
        values = [value for row in rows if (value := measured(row, name)) is not None]
        found |= {f"{name}_count": len(values), f"{name}_mean": None, f"{name}_std": None}
        found |= {f"{name}_min": min(values, default=None), f"{name}_max": max(values, default=None)}
        if name == "direction" and values:
            x, y = (statistics.fmean(f(math.radians(v)) for v in values) for f in (math.cos, math.sin))
            length = math.hypot(x, y)
            found["direction_mean"] = (
                values[0] if len(set(values)) == 1 else math.degrees(math.atan2(y, x)) % 360 if length > 1e-9 else None
            )
            if len(values) > 1 and length > 1e-9:
                found["direction_std"] = math.degrees(math.sqrt(max(0, -2 * math.log(length))))
        elif values:
            found[f"{name}_mean"] = statistics.fmean(values)
            found[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
    return found


def measured(row: Row, name: str) -> float | None:
    if not name.startswith("wind"):
        return row.get(name)
    speed, angle = row.get("speed"), row.get("direction")
    if speed == 0:
        return 0.0
    if speed is None or angle is None:
        return None
    return -speed * (math.sin if name == "wind_u" else math.cos)(math.radians(angle))


def same(windows: dict[Key, Row], expected: dict[Key, Row]) -> None:
    assert sorted(windows) == sorted(expected)
    for place, wanted in expected.items():
        for name, value in wanted.items():
            found = windows[place][name]
            if isinstance(value, float) and name == "direction_mean":
                assert abs((found - value + 180) % 360 - 180) < 1e-6, (place, name)
            else:
                close = {"rel": 1e-9, "abs": 1e-5 if "std" in name else 1e-9}
                assert found == (pytest.approx(value, **close) if isinstance(value, float) else value), (place, name)


def test_reading_is_in_every_window_that_covers_it(con: duckdb.DuckDBPyConnection) -> None:
    windows = build(con, [{"time": NIGHT + 30 * SECOND, "temp": 3.0}])
    assert sorted(windows) == [("A", NIGHT - n * MINUTE) for n in (4, 3, 2, 1, 0)]
    assert {row["readings"] for row in windows.values()} == {1}
    assert build(con, [{"time": NIGHT, "temp": 3.0}])[("A", NIGHT)]["temp_mean"] == 3.0, "its start is in a window"
    assert ("A", NIGHT - 5 * MINUTE) not in build(con, [{"time": NIGHT, "temp": 3.0}]), "and its end is not"


def test_columns_and_types_match_declaration(con: duckdb.DuckDBPyConnection) -> None:
    relation = sliding.build(con, feed(), con.from_arrow(bronze([{"time": NIGHT, "temp": 1.0}])), MONTHS, LATER)
    assert silver.names(feed()) == SERIES
    named = [f"{name}_{figure}" for name in SERIES for figure in ("mean", "std", "min", "max", "count")]
    assert relation.columns == ["station", "time", *named, "readings", "month"]
    schema = relation.to_arrow_table().schema
    assert schema.field("time").type == pa.timestamp("us", "UTC")
    assert (schema.field("temp_mean").type, schema.field("temp_count").type) == (pa.float64(), pa.int32())


def test_windows_of_a_day_match_example(con: duckdb.DuckDBPyConnection) -> None:
    """A report each five minutes, as airports give them: each minute's window holds exactly one."""
    reports = [{"time": NIGHT + n * 5 * MINUTE, "temp": float(n), "station": "B"} for n in range(4)]
    windows = build(con, reports)
    assert len(windows) == 4 * 5
    assert {row["readings"] for row in windows.values()} == {1}
    assert windows["B", NIGHT + MINUTE]["temp_mean"] == 1.0
    assert windows["B", NIGHT + MINUTE]["temp_std"] is None


def test_window_appears_once_watermark_passed_its_end(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time": NIGHT + n * MINUTE, "temp": 1.0} for n in range(30)]
    newest = rows[-1]["time"]
    ends = [start + 5 * MINUTE for _, start in build(con, rows, newest=newest)]
    assert max(ends) == newest - 10 * MINUTE == sliding.final_until(feed(), newest)
    assert sliding.final_until(feed(), newest + 59 * SECOND) == max(ends)
    assert build(con, rows, newest=NIGHT + 11 * MINUTE)
    assert build(con, rows, newest=NIGHT + 11 * MINUTE, months=["2013-02"]) == {}, "nothing of the month is final yet"


def test_month_reads_to_end_of_its_last_window(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time": NIGHT + n * MINUTE, "temp": float(n)} for n in range(30)]
    assert months_around(["2013-01"], timedelta(0), sliding.lookahead(feed())) == ["2013-01", "2013-02"]
    whole = build(con, rows)
    assert {**build(con, rows, ["2013-01"]), **build(con, rows, ["2013-02"])} == whole
    last = whole["A", NIGHT + 9 * MINUTE]
    assert (last["month"], last["readings"], last["temp_max"]) == ("2013-01", 5, 13.0)
    assert sliding.last_end(feed(), "2013-01", LATER) == datetime(2013, 2, 1, 0, 4, tzinfo=UTC), "however late it is"
    tumbling = feed(size="PT1M")
    assert months_around(["2013-01"], timedelta(0), sliding.lookahead(tumbling)) == ["2013-01"]


def test_no_months_or_readings_give_no_windows(con: duckdb.DuckDBPyConnection) -> None:
    assert build(con, [], newest=NIGHT) == {}
    assert build(con, [{"time": NIGHT, "temp": 1.0}], []) == {}
    with pytest.raises(AeroCastError, match="no sliding windows are declared"):
        build(con, [], declared=base.feed())


def test_tumbling_windows_equal_silver_steps(con: duckdb.DuckDBPyConnection) -> None:
    """The figures mean the same in both layers."""
    rows = [
        {"time": NIGHT + n * 7 * MINUTE, "temp": n % 5 * 1.5, "speed": n % 3 * 2.0, "direction": n * 77.0 % 360}
        for n in range(60)
    ]
    declared = feed("PT1H", "PT1H", "PT0S")
    windows = build(con, rows, newest=rows[-1]["time"] + HOUR, declared=declared)
    steps = test_silver.build(con, bronze(rows), MONTHS)
    measured = {(row["station"], row["time"]): row for row in steps if row["temp_count"]}
    same(
        windows,
        {key: {name: row[name] for name in windows[key] if name != "readings"} for key, row in measured.items()},
    )


def test_large_values_with_small_spread_keep_precision(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time": NIGHT + n * 10 * SECOND, "temp": 1e9 + n % 2 * 0.5} for n in range(60)]
    rows += [{"time": NIGHT + HOUR, "temp": -1e9}]  # far from all the others
    windows = build(con, rows, newest=NIGHT + 3 * HOUR, declared=feed(highest=1e9))
    full = windows["A", NIGHT + MINUTE]
    assert full["readings"] == 30
    assert full["temp_std"] == pytest.approx(statistics.stdev([0.5, 0.0] * 15), rel=1e-6)


value = st.none() | st.floats(-1e4, 1e4).map(lambda number: round(number, 2))
readings = st.lists(
    st.builds(
        lambda station, seconds, temp, speed, direction: {
            "station": station,
            "time": NIGHT + seconds * SECOND,
            "temp": temp,
            "speed": speed,
            "direction": direction,
        },
        st.sampled_from("AB"),
        st.integers(0, 1500) | st.sampled_from([0, 59, 60, 599, 600, 601]),
        value,
        st.none() | st.integers(0, 9).map(float),
        st.none() | st.integers(0, 360).map(float),
    ),
    max_size=25,
    unique_by=lambda row: (row["station"], row["time"]),
)


@pytest.mark.e2e
@given(readings, st.sampled_from([("PT5M", "PT1M"), ("PT3M", "PT3M"), ("PT10M", "PT5M")]), st.integers(0, 3000))
def test_windows_equal_plain_python(
    con: duckdb.DuckDBPyConnection, rows: list[Row], plan: tuple[str, str], passed: int
) -> None:
    declared, newest = feed(*plan), NIGHT + passed * SECOND
    for asked in (MONTHS, MONTHS[:1], MONTHS[1:]):
        same(build(con, rows, asked, newest, declared), by_hand(rows, asked, newest, declared))


@pytest.mark.e2e  # many whole tables
@settings(max_examples=settings.default.max_examples // 4)
@given(readings.filter(bool), st.randoms(use_true_random=False))
def test_order_and_late_reading_change_no_other_window(
    con: duckdb.DuckDBPyConnection, rows: list[Row], chance: Any
) -> None:
    before = build(con, rows)
    shuffled = chance.sample(rows, len(rows))
    same(build(con, shuffled), before)
    late = chance.choice(rows)
    without = build(con, [row for row in rows if row is not late])
    over = {key for key in before if key[0] == late["station"] and key[1] <= late["time"] < key[1] + 5 * MINUTE}
    assert len(over) == 5
    same(
        {key: row for key, row in before.items() if key not in over},
        {k: v for k, v in without.items() if k not in over},
    )
    assert all(key not in without or without[key]["readings"] == before[key]["readings"] - 1 for key in over)


# The layer in Dagster


def windows_of(home: Path, name: str = "small/sliding") -> dict[Key, Row]:
    with duckdb.connect() as con:
        rows = Lake(home).relation(con, name).to_arrow_table().to_pylist()
    return {(row["station"], row["time"]): row for row in sorted(rows, key=lambda row: (row["station"], row["time"]))}


@pytest.mark.e2e  # runs of a whole graph
def test_late_reading_rebuilds_only_months_whose_windows_contain_it(
    readings: Path, home: Path, instance: dg.DagsterInstance
) -> None:
    declared = small_feed(readings, sliding={"size": "PT3H", "every": "PT1H", "watermark": "PT2H"})
    assets = [make(declared) for make in (raw, bronze_layer, sliding_asset)]
    job = dg.define_asset_job("tables", dg.AssetSelection.all())
    defs = dg.Definitions(assets, jobs=[job], resources={"platform": Platform(home=str(home))})
    partitions = months(declared).get_partition_keys()
    tags = {f"dagster/asset_partition_range_{end}": partitions[at] for end, at in (("start", 0), ("end", -1))}

    def run() -> Row:
        result = defs.resolve_job_def("tables").execute_in_process(instance=instance, tags=tags)
        return metadata(result, key(declared, "sliding"))

    def late(time: str) -> Row:
        """One more reading of AAA at that time, and what the layer says then."""
        with readings.open("a") as stream:
            stream.write(f"AAA,{time},7.5,3.0,1000.0\n")
        return run()

    first = run()
    before = windows_of(home)
    numbers = [name for name in before["AAA", START] if name not in ("station", "time", "month")]
    assert (first["status"], first["months_computed"], first["rows"]) == ("computed", 4, len(before))
    assert first["newest"] == "2024-04-30 23:00:00+00:00"
    assert first["final_until"] == "2024-04-30 21:00:00+00:00"
    assert max(start for _, start in before) == datetime(2024, 4, 30, 18, tzinfo=UTC)
    assert (run()["status"], windows_of(home)) == ("unchanged", before)
    for time, months_touched in (("2024-02-10T05:30:00Z", 1), ("2024-03-01T00:30:00Z", 2)):
        told, at = late(time), datetime.fromisoformat(time)
        assert (told["status"], told["months_computed"]) == ("computed", months_touched)
        after = windows_of(home)
        over = {("AAA", at - timedelta(minutes=30) - n * HOUR) for n in range(3)}
        assert all(after[place]["readings"] == before[place]["readings"] + 1 for place in over)
        figures = [
            [row[name] for name in numbers] for found in (before, after) for k, row in found.items() if k not in over
        ]
        one, other = np.array(figures, float).reshape(2, -1, len(numbers))
        np.testing.assert_allclose(one, other, rtol=1e-12, err_msg="no other window is another one")
        before = after


def test_feed_without_readings_has_no_windows_and_succeeds(home: Path, instance: dg.DagsterInstance) -> None:
    declared = find_feed("midwest")
    assert key(declared, "sliding") in definitions(home, declared).resolve_asset_graph().get_all_asset_keys()
    result = refresh(declared, home, instance, ["2026-01"], [key(declared, "sliding")])
    assert result.success
    told = metadata(result, key(declared, "sliding"))
    assert (told["status"], told["rows"], told["final_until"]) == ("unchanged", 0, "no reading yet")
