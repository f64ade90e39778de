"""Grids of days and weeks: a day is the station's own, of 23, 24 or 25 hours; a week begins on Monday."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.months import month_of, months_around
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.tables import silver, steps, wholeness
from tests.factories import bronze as factory

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZONES = ["Europe/Berlin", "Europe/London", "America/New_York", "Pacific/Auckland", "Asia/Kolkata", "Pacific/Kiritimati"]


def daily(zone: str | None = None, quantity: str = "sum", **changes: Any) -> Feed:
    energy = {"name": "temp", "field": "temp", "source_unit": "kWh", "unit": "kWh", "range": [0, 9e6]}
    base = {
        "cadence": "P1D",
        "split": {"block": "P14D"},
        "seasons": ["P7D"],
        "stations": [{"id": "A", "timezone": zone}],
        "columns": [energy | {"quantity": quantity}],
        "vectors": [],
        "window": {"steps": 2, "columns": ["temp"], "look_back": 7},
    }
    return factory.feed(**(base | changes))


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


def rows_of(con: duckdb.DuckDBPyConnection, feed: Feed, times: list[datetime], months: list[str] | None = None) -> Any:
    """Silver of readings of 1 at these times of one station, by label."""
    table = factory.bronze([{"time": time, "temp": 1.0} for time in times])
    extent = silver.Extent.of_recording(feed, times[0], times[-1])
    every = months_around([month_of(times[0]), month_of(times[-1])], DAY, DAY)
    built = silver.build(con, feed, con.from_arrow(table), months or every, extent).to_arrow_table()
    return {row["time"]: row for row in built.sort_by("time").to_pylist()}


def hours(start: datetime, count: int) -> list[datetime]:
    return [start + at * HOUR for at in range(count)]


def test_days_of_23_and_25_hours_are_whole(con: duckdb.DuckDBPyConnection) -> None:
    spring = rows_of(con, daily("Europe/Berlin"), hours(datetime(2024, 3, 27, 23, tzinfo=UTC), 24 * 5 - 1))
    assert {time.day: row["temp"] for time, row in spring.items()} == {28: 24, 29: 24, 30: 24, 31: 23, 1: 24}
    autumn = rows_of(con, daily("Europe/Berlin"), hours(datetime(2024, 10, 25, 22, tzinfo=UTC), 24 * 3 + 1))
    assert {time.day: row["temp"] for time, row in autumn.items()} == {26: 24, 27: 25, 28: 24}
    gap = hours(datetime(2024, 10, 25, 22, tzinfo=UTC), 24 * 3 + 1)
    del gap[30]
    found = rows_of(con, daily("Europe/Berlin"), gap)
    assert found[datetime(2024, 10, 27, tzinfo=UTC)]["temp_age"] == 1, "24 of 25 readings are not the day's energy"


@pytest.mark.e2e
@given(
    zone=st.sampled_from(ZONES),
    start=st.integers(0, 365 * 24),
    count=st.integers(48, 24 * 40),
    minutes=st.sampled_from([15, 60]),
)
def test_days_are_those_of_pandas(zone: str, start: int, count: int, minutes: int) -> None:
    first = datetime(2024, 1, 1, tzinfo=UTC) + start * HOUR
    times = [first + at * timedelta(minutes=minutes) for at in range(count)]
    with duckdb.connect() as con:
        found = rows_of(con, daily(zone, "instant"), times)
    series = pd.Series(1, index=pd.DatetimeIndex(times).tz_convert(zone)).resample("D").count()
    assert [time.date() for time in found] == [time.date() for time in series.index]
    assert [row["temp_count"] for row in found.values()] == series.tolist()


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
def test_month_alone_equals_month_among_others(con: duckdb.DuckDBPyConnection, zone: str) -> None:
    feed, times = daily(zone), hours(datetime(2024, 1, 20, tzinfo=UTC), 24 * 60)
    whole = rows_of(con, feed, times)
    for month in ("2024-01", "2024-02", "2024-03"):
        near = silver.source_months(feed, [month])
        table = factory.bronze([{"time": time, "temp": 1.0} for time in times if month_of(time) in near])
        extent = silver.Extent.of_recording(feed, times[0], times[-1])
        alone = silver.build(con, feed, con.from_arrow(table), [month], extent).to_arrow_table().to_pylist()
        assert {row["time"]: row for row in alone} == {t: row for t, row in whole.items() if month_of(t) == month}


def test_days_follow_zone_of_source_and_then_utc(con: duckdb.DuckDBPyConnection) -> None:
    source = {"path": "x.csv", "station_field": "where", "time_field": "when", "timezone": "Europe/Berlin"}
    start = datetime(2024, 7, 1, 22, tzinfo=UTC)
    assert next(iter(rows_of(con, daily(source=source), hours(start, 48)))) == datetime(2024, 7, 2, tzinfo=UTC)
    assert next(iter(rows_of(con, daily(), hours(start, 48)))) == datetime(2024, 7, 1, tzinfo=UTC)
    assert WindowSpec.of(daily(source=source), "temp").places[0].timezone == "UTC", "labels are dates"


def test_weeks_begin_on_monday(con: duckdb.DuckDBPyConnection) -> None:
    weekly = daily("Europe/Berlin", cadence="P7D", seasons=["P28D"])
    monday = datetime(2024, 3, 17, 23, tzinfo=UTC)  # 00:00 on the 18th in Berlin
    found = rows_of(con, weekly, hours(monday, 24 * 21 - 1))
    assert [time.date().isoformat() for time in found] == ["2024-03-18", "2024-03-25", "2024-04-01"]
    assert [row["temp"] for row in found.values()] == [168, 167, 168]
    table = pa.Table.from_pylist([{k: v for k, v in row.items() if k != "month"} for row in found.values()])
    grid = silver.grids(con, weekly, con.from_arrow(table))["A"]
    np.testing.assert_array_equal(grid.time, np.array(["2024-03-18", "2024-03-25", "2024-04-01"], "datetime64[s]"))


@pytest.mark.parametrize(("zone", "over"), [("Europe/Berlin", 22), ("America/New_York", 28), ("UTC", 24)])
def test_day_is_over_when_its_last_usual_reading_came(con: duckdb.DuckDBPyConnection, zone: str, over: int) -> None:
    """On 10 July, whose midnight is `over` hours after that of UTC."""
    feed, day = daily(zone), datetime(2024, 7, 10, tzinfo=UTC)
    begin = day - 8 * DAY + (over - 24) * HOUR
    for hour, days in ((over - 2, 8), (over - 1, 9)):  # the newest reading's, which is counted from its hour's start
        readings = [begin + at * HOUR for at in range(24 * 9) if begin + at * HOUR <= day + hour * HOUR]
        table = factory.bronze([{"time": time, "temp": 1.0} for time in readings])
        progress = wholeness.of_readings(con, feed, con.from_arrow(table))
        extent = wholeness.extent(feed, (readings[0], readings[-1]), progress, readings[-1] + HOUR / 2)
        assert (extent.ends["A"] - extent.first).days == days


@pytest.mark.e2e
@given(minutes=st.integers(0, 30 * 365 * 1440), zone=st.sampled_from(ZONES))
def test_sql_and_python_number_steps_alike(minutes: int, zone: str) -> None:
    time = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    for cadence in ("PT1H", "P1D", "P7D"):
        feed = daily(zone, cadence=cadence, seasons=["P28D"], window={"columns": ["temp"], "look_back": 700})
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            sql = steps.sql_number(feed, steps.sql_clock(feed))
            (found,) = con.execute(
                f"SELECT {sql} FROM (SELECT 'A' AS station, ?::TIMESTAMPTZ AS time)", [time]
            ).fetchall()
        assert found[0] == steps.number(feed, steps.clock(feed, time, "A"))
        assert steps.label(feed, found[0]) <= steps.clock(feed, time, "A") < steps.label(feed, found[0] + 1)
