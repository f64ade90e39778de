"""Sensors of real feeds: what happens in nature is no fault, and a real one is found where it is documented."""

from datetime import UTC, datetime

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.monitoring.drift.profile import profile
from aerocast.monitoring.drift.sensing import sense, sense_clocks
from aerocast.monitoring.drift.sensors import ColumnFault
from aerocast.tables import quality, silver
from tests import SHARED
from tests.factories import worlds

MONTH = 28 * 24
needs = pytest.mark.skipif(not SHARED.exists(), reason=f"no test data at {SHARED} (AEROCAST_TEST_DATA)")


@pytest.fixture(scope="module")
def airports(noaa: Feed) -> dict[str, Grid]:
    """The stations' grids by the platform's own path: source, quality, silver."""
    con = duckdb.connect()
    deliveries = list(noaa.source.read(noaa, ReadRequest()))
    tables = [
        delivery.table.append_column("delivery", pa.array([number] * len(delivery.table), pa.int64()))
        for number, delivery in enumerate(deliveries)
    ]
    months = [delivery.month for delivery in deliveries]
    con.register("raw", pa.concat_tables(tables))
    bronze = quality.clean(con, noaa, con.table("raw"), months, datetime.now(UTC)).bronze
    con.register("bronze", bronze.to_arrow_table())
    first, last = con.sql("SELECT min(time), max(time) FROM bronze").fetchall()[0]
    extent = silver.Extent.of_recording(noaa, first, last)
    return silver.grids(con, noaa, silver.build(con, noaa, con.table("bronze"), months, extent))


def frame(table: pd.DataFrame, time: str, columns: dict[str, str], step: str = "h") -> Grid:
    """A recorded table on the regular grid, missing as NaN."""
    series = table.assign(**{time: pd.to_datetime(table[time], utc=True).dt.tz_localize(None).dt.floor(step)})
    series = series.drop_duplicates(time, keep="last").set_index(time).sort_index()[list(columns)].asfreq(step)
    size = np.timedelta64(pd.Timedelta(step if step[0].isdigit() else f"1{step}").to_timedelta64(), "s")
    values = {name: series[field].to_numpy(dtype=np.float64) for field, name in columns.items()}
    return worlds.grid(values, series.index[0].to_datetime64().astype("datetime64[s]"), size)


def cut(grid: Grid, start: int, stop: int) -> Grid:
    rows = slice(max(0, start), stop)
    return Grid(grid.station, grid.time[rows], grid.columns, grid.values[rows], grid.age[rows])


def walk(feed: Feed, grid: Grid, live: int, every: int, reach: int = MONTH) -> list[ColumnFault]:
    """Every fault that is open in some examination from row `live` on."""
    past = profile(feed, cut(grid, 0, live))
    found: dict[tuple[str, str, int], ColumnFault] = {}
    for stop in range(live + every, len(grid.time) + 1, every):
        recent = cut(grid, stop - reach, stop)
        tested = [*sense(feed, recent, past, ()), *sense_clocks(feed, recent, past, (), suspect=False)]
        for each in (each for test in tested for each in test.faults if each.end is None):
            found[each.column, each.kind, max(0, stop - reach) + each.start] = each
    return list(found.values())


def test_new_york_weather_has_no_faults(noaa: Feed, airports: dict[str, Grid]) -> None:
    for grid in airports.values():
        assert walk(noaa, grid, 240 * 24, 5 * 24) == []


def test_stuck_thermometer_in_new_york_is_detected(noaa: Feed, airports: dict[str, Grid]) -> None:
    grid = cut(airports["JFK"], 0, 300 * 24)
    values = grid.values.copy()
    column = grid.columns.index("temperature")
    values[290 * 24 :, column] = values[290 * 24, column]
    stuck = Grid(grid.station, grid.time, grid.columns, values, grid.age)
    kinds = {(each.column, each.kind) for each in walk(noaa, stuck, 280 * 24, 48)}
    assert kinds == {("temperature", "flat_line")}


@needs
def test_london_air_quality_has_no_faults() -> None:
    columns = {"no2": "no2", "o3": "o3", "ws": "ws", "air_temp": "air_temp"}
    units = {"no2": "ug/m^3", "o3": "ug/m^3", "ws": "m/s", "air_temp": "degC"}
    table = pd.read_parquet(SHARED / "aurn_marylebone" / "MY1_2015_2018.parquet")
    grid = frame(table, "time_gmt", columns)
    # Real silences of days are in it; nothing else may be found.
    found = walk(worlds.feed(units), grid, 3 * worlds.YEAR, 10 * 24)
    assert [each for each in found if each.kind != "drop_out"] == []


@needs
def test_bike_counts_have_no_faults() -> None:
    table = pd.read_csv(SHARED / "uci_bike_sharing" / "hour.csv")
    table["time"] = pd.to_datetime(table["dteday"]) + pd.to_timedelta(table["hr"], unit="h")
    grid = frame(table, "time", {"cnt": "rentals"})
    assert walk(worlds.feed({"rentals": "dimensionless"}), grid, worlds.YEAR, 10 * 24) == []


@needs
@pytest.mark.parametrize("station", ["KMSN", "KMKE", "KMDW"])
def test_midwest_stream_change_to_celsius_is_detected(station: str) -> None:
    feed = worlds.feed({"temperature": "degF"}, cadence="PT5M", seasons=["P1D"], window={
        "steps": 5, "columns": ["temperature"], "look_back": 288
    }, horizons=[1, 12])  # fmt: skip
    past = pd.read_parquet(SHARED / "kmsn_asos_5min_2016" / "KMSN_201603_201611.parquet")
    reference = frame(past.tail(40 * 288), "time_utc", {"temp_f": "temperature"}, "5min")
    table = pd.read_parquet(SHARED / "nws_stream_midwest_2025_26" / f"{station}_stream.parquet")
    live = frame(
        table[table["time_utc"] >= pd.Timestamp("2026-01-25", tz="UTC")],
        "time_utc",
        {"temperature": "temperature"},
        "5min",
    )
    known = profile(feed, reference)
    jump = int(np.searchsorted(live.time, np.datetime64("2026-01-27T23:15")))

    def open_at(row: int) -> list[ColumnFault]:
        recent = cut(live, row - 8 * 288, row)
        return [each for test in sense(feed, recent, known, ()) for each in test.faults if each.end is None]

    assert [each for each in open_at(jump) if each.kind != "drop_out"] == []
    [found] = [each for each in open_at(jump + 24) if each.kind == "unit_change"]
    assert "degC" in found.detail
    assert abs(found.start - min(jump, 8 * 288)) <= 2
