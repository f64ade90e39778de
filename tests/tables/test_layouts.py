"""Layouts of files and posts: what a declaration says of them is read alike at every channel."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from tests.factories.cases import CASES, case
from tests.harness.deliveries import Deliveries

pytestmark = pytest.mark.e2e  # every layout through every channel

COLUMN: dict[str, Any] = {
    "name": "temperature",
    "field": "temp",
    "source_unit": "degC",
    "unit": "degC",
    "range": [-9000, 9000],
}


def declared(source: dict[str, Any], column: dict[str, Any] | None = None, **changes: Any) -> Feed:
    base: dict[str, Any] = {
        "name": "small",
        "description": "Made readings.",
        "source": {"kind": "push"} | source,
        "cadence": "PT1H",
        "seasons": ["P1D"],
        "start": "2024-01-01T00:00:00Z",
        "freshness": "PT6H",
        "stations": [{"id": "AAA"}],
        "columns": [COLUMN | (column or {})],
        "targets": ["temperature"],
        "window": {"steps": 5, "columns": ["temperature"], "look_back": 24},
        "horizons": [1],
        "gap_policy": {"max_steps": 3},
        "candidates": {"persistence": {}, "seasonal_naive": {}},
    }
    return Feed.parse(base | changes)


def of_case(name: str, source: dict[str, Any], declaration: str = "defs.yaml", **changes: Any) -> Feed:
    """A case's feed with more said of its source, and of its columns under `columns`."""
    plain = case(name, declaration, **changes)
    return case(name, declaration, source=plain.source.model_dump(exclude_unset=True) | source, **changes)


def ingest(home: Path, feed: Feed) -> Deliveries:
    made = Deliveries(home, feed)
    made()
    return made


# Numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "delimiter"), [("readings.csv", ";"), ("quoted.csv", ",")])
def test_case_14_decimal_comma_is_read_with_any_delimiter(home: Path, file: str, delimiter: str) -> None:
    written = {"format": {"delimiter": delimiter, "decimal": ","}, "path": f"$CASE/{file}"}
    made = ingest(home, of_case("14-semicolon-and-decimal-comma", written))
    assert made.measured() == {"temperature": 24, "humidity": 24}
    assert made.values("temperature", "humidity")["AAA", "03-01T03:00"] == (10.8, 55.5)
    assert made.count("quarantine") == 0


def test_numbers_in_european_format_are_the_same_at_every_channel(home: Path) -> None:
    made = Deliveries(home, declared({"format": {"delimiter": ";", "decimal": ",", "thousands": "."}}))
    made.drop("a.csv", b"station;time;temp\nAAA;2024-01-01T00:00Z;1.234,5\nAAA;2024-01-01T01:00Z;-1.234\n")
    made.post(json.dumps([
        {"station": "AAA", "time": "2024-01-01T02:00Z", "temp": 1.234},
        {"station": "AAA", "time": "2024-01-01T03:00Z", "temp": "1.234,5"},
        {"station": "AAA", "time": "2024-01-01T04:00Z", "temp": "1,2,3"},
        {"station": "AAA", "time": "2024-01-01T05:00Z", "temp": 12.5},
    ]).encode())  # fmt: skip
    made()
    assert list(made.values("temperature").values()) == [1234.5, -1234.0, 1.234, 1234.5, None, 12.5]
    assert made.rules() == {"unparseable": 1}


def test_changed_decimal_sign_is_judged_again(home: Path) -> None:
    made = Deliveries(home, declared({"format": {"delimiter": ";"}}))
    made.drop("a.csv", b"station;time;temp\nAAA;2024-01-01T00:00Z;8,5\n")
    made()
    assert made.rules() == {"unparseable": 1}
    made.feed = declared({"format": {"delimiter": ";", "decimal": ","}})
    made()
    assert list(made.values("temperature").values()) == [8.5]


def test_case_03_text_stands_for_its_number_in_the_source_unit(home: Path) -> None:
    source = {"timezone": "UTC"}
    columns = [column.model_dump(mode="json") for column in case("03-asos-trace-and-vrb").columns]
    for column in columns:
        column["texts"] = {"T": 0.0001} if column["name"] == "precipitation" else {}
        column["missing"] = ["VRB"] if column["name"] == "wind_direction" else []
    made = ingest(home, of_case("03-asos-trace-and-vrb", source, columns=columns))
    assert made.count("quarantine") == 0
    assert made.measured()["temperature"] == made.measured()["precipitation"] == 24
    rain = [row["precipitation"] for row in made.rows("bronze")]
    assert len([mm for mm in rain if mm == pytest.approx(0.00254)]) == 3


def test_factor_and_offset_come_before_the_units_conversion(home: Path) -> None:
    made = Deliveries(home, declared({}, {"source_unit": "degF", "factor": 0.1, "offset": 5, "texts": {"low_t": 270}}))
    made.post(b'[{"station":"AAA","time":"2024-01-01T00:00Z","temp":450},'
              b'{"station":"AAA","time":"2024-01-01T01:00Z","temp":"LOW_T"}]')  # fmt: skip
    made()
    assert list(made.values("temperature").values()) == pytest.approx([10.0, 0.0])


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ({"factor": 0}, "columns[0].factor: 0.0 must not be 0"),
        ({"texts": {"T": "nan"}}, "columns[0].texts.T: nan must be a finite number"),
        ({"texts": {"T": 1}, "missing": ["t"]}, "columns[0].texts.T: 'T' is in `missing`, too"),
    ],
)
def test_numbers_that_nothing_can_become_are_refused(column: dict[str, Any], text: str) -> None:
    with pytest.raises(AeroCastError) as error:
        declared({}, column)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"delimiter": ";;"}, "source.format.delimiter: ';;' is not allowed: one ASCII character"),
        ({"quote": ","}, "source.format.quote: ',' is the delimiter, too"),
        ({"encoding": "utf-99"}, "source.format.encoding: 'utf-99' is not an encoding that Python knows"),
        ({"decimal": ",", "thousands": ","}, "source.format.thousands: ',' is the decimal sign, too"),
        ({"header": ["time"]}, "source.format.header: ['time'] must have at least two names, each once"),
    ],
)
def test_impossible_format_is_refused(written: dict[str, Any], text: str) -> None:
    with pytest.raises(AeroCastError) as error:
        declared({"format": written})
    assert text in str(error.value)


# Stations ------------------------------------------------------------------------------------------------------------


def test_case_11_file_without_station_column_is_of_the_declared_station(home: Path) -> None:
    made = ingest(home, of_case("11-no-station-column", {"station_field": None, "timezone": "America/New_York"}))
    assert made.count("quarantine") == 0
    assert {station for station, _ in made.values("load")} == {made.feed.stations[0].id}
    assert made.count("bronze") == len((CASES / "11-no-station-column/readings.csv").read_text().splitlines()) - 1


def test_reading_without_station_is_of_the_only_one_at_every_channel(home: Path) -> None:
    made = Deliveries(home, declared({"station_field": None}))
    made.drop("a.csv", b"time,temp\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z\n" + b"2024-01-01T02:00Z,2\n" * 30)
    made.drop("b.jsonl", b'{"time": "2024-01-01T03:00Z", "temp": 3}\n')
    made.post(b'[{"time": "2024-01-01T04:00Z", "temp": 4}, {"time": "2024-01-01T05:00Z", "temp": 5, "station": "AAA"},'
              b'{"time": "2024-01-01T06:00Z", "temp": 6, "station": "BBB"}]')  # fmt: skip
    made()
    assert list(made.values("temperature").values()) == [1, 2, 3, 4, 5]
    assert made.rules() == {"malformed": 1, "unknown_station": 1}


def test_station_is_found_in_the_path_of_a_file(home: Path) -> None:
    stations = [{"id": "AAA"}, {"id": "BBB", "aliases": ["north"]}]
    made = Deliveries(home, declared({"station_pattern": r"^(?P<station>\w+)-\d+\."}, stations=stations))
    made.drop("AAA-2024.csv", b"time,temp\n2024-01-01T00:00Z,1\n")
    made.drop("north-2024.jsonl", b'{"time": "2024-01-01T00:00Z", "temp": 2}\n')
    made.drop("other.csv", b"time,temp\n2024-01-01T00:00Z,3\n")
    made()
    assert made.values("temperature") == {("AAA", "01-01T00:00"): 1, ("BBB", "01-01T00:00"): 2}
    assert "station_pattern" in made.taken.rejections[0]


@pytest.mark.parametrize(
    ("source", "stations", "text"),
    [
        ({"station_field": None}, ["A", "B"], "source.station_field: null needs a single station, not 2"),
        ({"station_pattern": "("}, ["A"], "source.station_pattern: '(' is no regular expression"),
        ({"station_pattern": "x"}, ["A"], "source.station_pattern: 'x' must have a group (?P<station>...)"),
        ({"wide": "load"}, ["A"], "source.wide: 'load' must contain {station}"),
        ({"quantity_field": "q"}, ["A"], "source.value_field: is missing"),
        ({"time_field": []}, ["A"], "source.time_field: [] must have at least one name, and each once"),
        ({"time_format": "%d/%m"}, ["A"], "source.time_format[0]: '%d/%m' must say the year"),
        ({"time_format": ["iso", "seconds"]}, ["A"], "source.time_format[1]: 'seconds' must be one of epoch"),
        ({"time_period": "PT0S", "time_marks": "end"}, ["A"], "source.time_period: P0D must be longer than nothing"),
        ({"time_period": "PT1H"}, ["A"], "source.time_period: has no meaning where `time_marks` is start"),
        ({"skipped_hour": "shift"}, ["A"], "source.skipped_hour: has no meaning without `timezone`"),
        ({"wide": "{station}", "station_field": "id"}, ["A"], "source.station_field: 'id' is not allowed with `wide`"),
    ],
)
def test_impossible_layout_is_refused(source: dict[str, Any], stations: list[str], text: str) -> None:
    with pytest.raises(AeroCastError) as error:
        declared(source, stations=[{"id": each} for each in stations])
    assert text in str(error.value)


# Wide and long -------------------------------------------------------------------------------------------------------


def test_case_12_wide_file_is_read_as_one_reading_a_station(home: Path) -> None:
    source = {"station_field": None, "wide": "{station}", "timezone": "America/New_York"}
    made = ingest(home, of_case("12-wide-layout", source))
    rows = [line.split(",") for line in (CASES / "12-wide-layout/readings.csv").read_text().splitlines()]
    stations = [station for station in made.feed.station_ids if station in rows[0]]
    assert len(stations) == 3
    cells = [row[rows[0].index(station)] for row in rows[1:] for station in stations]
    assert made.count("bronze") == sum(cell != "" for cell in cells)
    assert sorted(made.values("load").values()) == sorted(float(cell) for cell in cells if cell)
    assert made.count("quarantine") == 0


WIDE_COLUMNS = [COLUMN, COLUMN | {"name": "humidity", "field": "rh"}]


def test_wide_readings_of_several_columns_are_the_same_at_every_channel(home: Path) -> None:
    stations = [{"id": "AAA"}, {"id": "BBB", "aliases": ["north"]}]
    feed = declared({"wide": "{field} {station}"}, stations=stations, columns=WIDE_COLUMNS)
    made = Deliveries(home, feed)
    good = "2024-01-01T00:00Z,1,2,,40,x\n" + "2024-01-01T01:00Z,,,,,\n" * 30
    made.drop("a.csv", f"time,temp AAA,temp north,rh AAA,rh north,note\n{good}broken\n".encode())
    made.post(b'{"time": "2024-01-01T02:00Z", "temp AAA": 5, "rh BBB": "bad"}')
    made()
    assert made.values("temperature", "humidity") == {
        ("AAA", "01-01T00:00"): (1, None),
        ("BBB", "01-01T00:00"): (2, 40),
        ("AAA", "01-01T02:00"): (5, None),
        ("BBB", "01-01T02:00"): (None, None),
    }
    assert made.rules() == {"malformed": 1, "unparseable": 1}


def test_long_readings_are_the_same_at_every_channel(home: Path) -> None:
    source = {"quantity_field": "parameter", "value_field": "value"}
    made = Deliveries(home, declared(source, columns=WIDE_COLUMNS))
    made.drop("a.csv", b"station,parameter,value,time\n" + b"".join([
        b"AAA,temp,1,2024-01-01T00:00Z\nAAA,rh,40,2024-01-01T00:00Z\nAAA,pm10,7,2024-01-01T00:00Z\n",
        b"AAA,temp,x,2024-01-01T01:00Z\nAAA, rh ,41,2024-01-01T01:00Z\n",
    ]))  # fmt: skip
    made.post(b'[{"station": "AAA", "time": "2024-01-01T02:00Z", "parameter": "temp", "value": 3},'
              b'{"station": "AAA", "time": "2024-01-01T02:00Z", "parameter": "rh", "value": 42},'
              b'{"station": "AAA", "time": "2024-01-01T03:00Z", "parameter": "pm10", "value": 42}]')  # fmt: skip
    made()
    assert list(made.values("temperature", "humidity").values()) == [(1, 40), (None, 41), (3, 42)]
    assert made.rules() == {"unparseable": 1}
    ignored = [f"{name}: quantities that are not declared are ignored: pm10" for name in ("a.csv", "http")]
    assert set(ignored) <= set(made.taken.notes)


# Times ---------------------------------------------------------------------------------------------------------------


def test_case_13_flat_file_of_an_official_network_is_read(home: Path) -> None:
    source = {
        "station_field": None,
        "time_field": ["Date", "time"],
        "time_format": "%d-%m-%Y %H:%M",
        "time_marks": "end",
        "timezone": "UTC",
        "format": {"skip": 4},
    }
    made = ingest(home, of_case("13-aurn-flat-file", source))
    assert made.count("quarantine") == 0
    no2 = made.values("no2")
    assert (no2["MY1", "03-01T00:00"], no2["MY1", "03-01T23:00"], no2["MY1", "03-02T00:00"]) == (21, 44, 21)
    assert len(no2) == len((CASES / "13-aurn-flat-file/readings.csv").read_text().splitlines()) - 5


FORMATS = [
    ("%d/%m/%Y %H:%M", "02/01/2024 24:00", "01-03T00:00"),
    ("%Y%m%d%H", "2024010201", "01-02T01:00"),
    ("%d.%m.%y %I:%M %p", "02.01.24 01:00 PM", "01-02T13:00"),
    ("%b %d %Y %H:%M:%S", "Jan  2 2024 7:00:00", "01-02T07:00"),
    ("excel", "45293.2916666667", "01-02T07:00"),
    ("%d.%m.%Y %H:%M - *", "02.01.2024 07:00 - 02.01.2024 08:00", "01-02T07:00"),
    ("%d.%m.%Y %H:%M*", "02.01.2024 24:00 (MEZ)", "01-03T00:00"),
    ("epoch", "1704178800", "01-02T07:00"),
    ("epoch_ms", "1704178800000", "01-02T07:00"),
    ("%Y/%m/%d %H:%M", "2024-01-02 07:00Z", "01-02T07:00"),
]


@pytest.mark.parametrize(("written", "text", "hour"), FORMATS)
def test_time_in_a_declared_format_is_read_at_every_channel(home: Path, written: str, text: str, hour: str) -> None:
    feed = declared({"time_format": written, "timezone": "UTC", "time_field": "at"})
    made = Deliveries(home, feed)
    made.drop("a.csv", f"station,at,temp\nAAA,{text},1\nAAA,soon,2\n".encode())
    made()
    assert made.values("temperature") == {("AAA", hour): 1}
    assert f"is not a time written as {written}" in made.rows("quarantine")[0]["reason"]
    posted = Deliveries(home / "posted", feed)
    at = text if "e" not in written or not text.isdigit() else int(text)
    posted.post(json.dumps({"station": "AAA", "at": at, "temp": 1}).encode())
    posted()
    assert posted.values("temperature") == {("AAA", hour): 1}


def test_time_of_several_fields_is_read_at_every_channel(home: Path) -> None:
    made = Deliveries(home, declared({"time_field": ["day", "hour"], "time_format": "%Y-%m-%d %H", "timezone": "UTC"}))
    made.drop("a.csv", b"station,day,hour,temp\nAAA,2024-01-01,0,1\nAAA,2024-01-01,24,2\nAAA,2024-01-01,25,3\n")
    table = pa.table({"station": ["AAA"], "day": pa.array([date(2024, 1, 3)]), "hour": [7], "temp": [4.0]})
    pq.write_table(table, home / "b.parquet")
    made.drop("b.parquet", home / "b.parquet")
    made.post(b'{"station": "AAA", "day": "2024-01-04", "hour": 5, "temp": 5}')
    made()
    assert made.values("temperature") == {
        ("AAA", "01-01T00:00"): 1,
        ("AAA", "01-02T00:00"): 2,
        ("AAA", "01-03T07:00"): 4,
        ("AAA", "01-04T05:00"): 5,
    }
    assert made.rules() == {"unparseable": 1}


def test_end_of_a_period_is_moved_to_its_start(home: Path) -> None:
    made = Deliveries(home, declared({"time_marks": "end", "time_period": "PT30M"}))
    made.post(b'{"station": "AAA", "time": "2024-01-02T00:00Z", "temp": 1}')
    made()
    assert made.values("temperature") == {("AAA", "01-01T23:30"): 1}


@pytest.mark.parametrize(("repeated", "hours"), [("order", [0, 1]), ("first", [0, 0]), ("second", [1, 1])])
def test_repeated_hour_is_read_as_declared(home: Path, repeated: str, hours: list[int]) -> None:
    made = Deliveries(home, declared({"timezone": "Europe/Berlin", "repeated_hour": repeated}))
    made.drop("a.csv", b"station,time,temp\nAAA,2024-10-27 02:00,1\nAAA,2024-10-27 02:00,2\n")
    made()
    assert [hour for _, hour in made.values("temperature")] == sorted({f"10-27T0{hour}:00" for hour in hours})


def test_skipped_hour_is_refused_or_shifted_as_declared(home: Path) -> None:
    made = Deliveries(home, declared({"timezone": "Europe/Berlin"}))
    made.drop("a.csv", b"station,time,temp\nAAA,2024-03-31 02:30,1\n")
    made()
    assert "is a time that the clocks of Europe/Berlin skip" in made.rows("quarantine")[0]["reason"]
    made.feed = declared({"timezone": "Europe/Berlin", "skipped_hour": "shift"})
    made()
    assert made.values("temperature") == {("AAA", "03-31T01:30"): 1}


@pytest.mark.parametrize(
    ("before", "after", "hours"),
    [
        ({}, {"time_format": "%d/%m/%Y %H:%M", "timezone": "UTC"}, ["01-01T00:00", "02-01T00:00"]),
        ({"time_format": "%m/%d/%Y %H:%M", "timezone": "UTC"}, {"time_format": "%d/%m/%Y %H:%M", "timezone": "UTC"},
         ["01-01T00:00", "02-01T00:00"]),
        ({"time_format": "%d/%m/%Y %H:%M", "timezone": "UTC"},
         {"time_format": "%d/%m/%Y %H:%M", "timezone": "UTC", "time_marks": "end"}, ["01-31T23:00"]),
    ],
)  # fmt: skip
def test_changed_time_declaration_is_judged_again(
    home: Path, before: dict[str, Any], after: dict[str, Any], hours: list[str]
) -> None:
    text = b"station,time,temp\nAAA,01/01/2024 00:00,1\nAAA,01/02/2024 00:00,2\n"
    made = Deliveries(home, declared(before))
    made.drop("a.csv", text)
    made()
    made.feed = declared(after)
    made()
    assert [hour for _, hour in made.values("temperature")] == hours
    path = home / "b.csv"
    path.write_bytes(text)
    of_file = Deliveries(
        home / "file", declared(before | {"kind": "csv", "path": str(path), "station_field": "station"})
    )
    of_file()
    of_file.feed = declared(after | {"kind": "csv", "path": str(path), "station_field": "station"})
    of_file()
    assert [hour for _, hour in of_file.values("temperature")] == hours


# Status --------------------------------------------------------------------------------------------------------------


def test_case_34_suspect_values_are_put_aside(home: Path) -> None:
    made = ingest(home, of_case("34-quality-column", {"status": {"field": "{field}_status", "suspect": ["suspect"]}}))
    assert made.rules() == {"rejected": 4}
    assert all('was rejected by its sender, status "SUSPECT"' in row["reason"] for row in made.rows("quarantine"))
    assert made.measured()["temperature"] == made.count("bronze") - 4


def test_case_13_status_beside_each_value_is_read_by_its_place(home: Path) -> None:
    source = {
        "station_field": None,
        "time_field": ["Date", "time"],
        "time_format": "%d-%m-%Y %H:%M",
        "timezone": "UTC",
        "format": {"skip": 4},
        "status": {"field": "{field} status", "good": ["R"]},
    }
    made = ingest(home, of_case("13-aurn-flat-file", source))
    provisional = (CASES / "13-aurn-flat-file/readings.csv").read_text().count(",P,")
    assert made.rules() == {"rejected": provisional}


STATUSES = {"field": "qc", "good": [0, 1], "missing": [9]}


def test_status_is_read_alike_at_every_channel(home: Path) -> None:
    made = Deliveries(home, declared({"status": STATUSES}))
    made.drop("a.csv", b"station,time,temp,qc\nAAA,2024-01-01T00:00Z,1,0\nAAA,2024-01-01T01:00Z,2,4.0\n")
    table = pa.table({"station": ["AAA"] * 2, "time": ["2024-01-01T02:00Z", "2024-01-01T03:00Z"],
                      "temp": [3.0, 4.0], "qc": [1.0, 9.0]})  # fmt: skip
    pq.write_table(table, home / "b.parquet")
    made.drop("b.parquet", home / "b.parquet")
    made.post(b'[{"station": "AAA", "time": "2024-01-01T04:00Z", "temp": 5, "qc": 3},'
              b'{"station": "AAA", "time": "2024-01-01T05:00Z", "temp": 6}]')  # fmt: skip
    made()
    assert list(made.values("temperature").values()) == [1, None, 3, None, None, 6]
    assert made.rules() == {"rejected": 2}
    made.feed = declared({"status": STATUSES | {"good": [0, 1, 3, 4]}})
    made()
    assert list(made.values("temperature").values()) == [1, 2, 3, None, 5, 6]


def test_status_may_be_true_or_false(home: Path) -> None:
    made = Deliveries(home, declared({"status": {"field": "valid", "good": ["true"]}}))
    table = pa.table({"station": ["AAA"] * 2, "time": ["2024-01-01T00:00Z", "2024-01-01T01:00Z"],
                      "temp": [1.0, 2.0], "valid": [True, False]})  # fmt: skip
    pq.write_table(table, home / "a.parquet")
    made.drop("a.parquet", home / "a.parquet")
    made.post(b'[{"station": "AAA", "time": "2024-01-01T02:00Z", "temp": 3, "valid": true},'
              b'{"station": "AAA", "time": "2024-01-01T03:00Z", "temp": 4, "valid": false}]')  # fmt: skip
    made()
    assert list(made.values("temperature").values()) == [1, None, 3, None]


def test_status_of_one_column_spares_the_others(home: Path) -> None:
    columns = [WIDE_COLUMNS[0], WIDE_COLUMNS[1] | {"status_field": "flag"}]
    made = Deliveries(home, declared({"status": {"field": "{field}_qc", "suspect": ["B"]}}, columns=columns))
    made.drop(
        "a.csv", b"station,time,temp,rh,temp_qc,flag\nAAA,2024-01-01T00:00Z,1,40,B,\nAAA,2024-01-01T01:00Z,2,41,A,b\n"
    )
    made()
    assert list(made.values("temperature", "humidity").values()) == [(None, 40), (2, None)]


def test_status_in_wide_and_long_layouts(home: Path) -> None:
    status = {"status": {"field": "{field}_qc", "suspect": ["B"]}}
    wide = Deliveries(home / "wide", declared(status | {"wide": "{station} {field}"}))
    wide.drop(
        "a.csv", b"time,AAA temp,AAA temp_qc\n2024-01-01T00:00Z,1,B\n2024-01-01T01:00Z,2,\n2024-01-01T02:00Z,,B\n"
    )
    wide()
    assert list(wide.values("temperature").values()) == [None, 2]
    source = {"quantity_field": "q", "value_field": "v", "status": {"field": "qc", "suspect": ["B"]}}
    long = Deliveries(home / "long", declared(source, columns=WIDE_COLUMNS))
    long.drop("a.csv", b"station,time,q,v,qc\nAAA,2024-01-01T00:00Z,temp,1,B\nAAA,2024-01-01T00:00Z,rh,40,A\n")
    long()
    assert list(long.values("temperature", "humidity").values()) == [(None, 40)]


@pytest.mark.parametrize(
    ("source", "column", "text"),
    [
        ({"status": {"field": "qc"}}, {}, "source.status: needs words: `good`, `suspect` or `missing`"),
        ({"status": {"field": "qc", "good": [1], "suspect": ["1.0"]}}, {}, "source.status: '1' is declared twice"),
        ({"status": {"field": "temp", "good": [1]}}, {}, "source.status.field: 'temp' is a field of values"),
        ({}, {"status_field": "qc"}, "source.status: is missing: column temperature has a status_field"),
    ],
)
def test_impossible_status_is_refused(source: dict[str, Any], column: dict[str, Any], text: str) -> None:
    with pytest.raises(AeroCastError) as error:
        declared(source, column)
    assert text in str(error.value)


# Ids of stations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dot", "space"])
def test_case_19_ids_with_dots_and_blanks_are_declarable(home: Path, name: str) -> None:
    own = case("19-station-names", f"{name}.yaml").station_ids[0]
    aliases = [{"id": own, "aliases": ["S11009", "S26437", "<any> [text]"]}]
    made = ingest(home, case("19-station-names", f"{name}.yaml", stations=aliases))
    assert made.measured() == {"temperature": 24}
    assert {station for station, _ in made.values("temperature")} == set(made.feed.station_ids)


def test_case_19_renamed_station_is_one_station(home: Path) -> None:
    stations = [{"id": "S11009", "aliases": ["S26437"]}]
    made = ingest(home, case("19-station-names", "renamed.yaml", stations=stations))
    assert made.measured() == {"temperature": 24}


@pytest.mark.parametrize(("name", "value"), [("no", "False"), ("number", "3464"), ("plain_number", "2178")])
def test_case_19_id_that_yaml_misreads_is_to_be_quoted(name: str, value: str) -> None:
    with pytest.raises(AeroCastError) as error:
        case("19-station-names", f"{name}.yaml")
    _, *lines = str(error.value).splitlines()
    assert len(lines) == 1, "nothing untrue beside it"
    assert lines[0].strip().startswith(f"stations[0].id: {value} is not allowed: ")
    assert "in quotation marks" in lines[0]


@pytest.mark.parametrize("id", ["06610", "NO", "sensor.outdoor_temperature", "München Süd (2)", "a:b", "7"])
def test_station_of_any_usual_id_is_read_at_every_channel(home: Path, id: str) -> None:
    made = Deliveries(home, declared({}, stations=[{"id": id}]))
    made.drop("a.csv", f'station,time,temp\n"{id}",2024-01-01T00:00Z,1\n'.encode())
    made.post(json.dumps({"station": id, "time": "2024-01-01T01:00Z", "temp": 2}).encode())
    made()
    assert list(made.values("temperature").values()) == [1, 2]


@pytest.mark.parametrize("id", ["", " a", "a ", "a\nb", "<b>", "x" * 101])
def test_id_that_nothing_could_name_is_refused(id: str) -> None:
    with pytest.raises(AeroCastError, match=r"stations\[0\]\.id: .* is not allowed: an id has 1 to 100 letters"):
        declared({}, stations=[{"id": id}])


def test_rows_without_time_are_a_cadence_apart(home: Path) -> None:
    made = Deliveries(home, declared({"first_time": "2024-01-01T01:00:00+01:00", "station_field": None}))
    made.drop("a.csv", b"temp,more\n1,\n2,\n" + b"3\n" + b"4,\n" * 20)
    made()
    hours = [hour for _, hour in made.values("temperature")]
    assert hours[:3] == ["01-01T00:00", "01-01T01:00", "01-01T03:00"], "a broken line takes its hour"
    path = home / "b.csv"
    path.write_bytes(b"temp,more\n1,\n2,\n")
    source = {"kind": "csv", "path": str(path), "first_time": "2024-01-01T00:00:00Z"}
    assert list(ingest(home / "file", declared(source)).values("temperature").values()) == [1, 2]


def test_hour_ending_labels_follow_the_clock_at_the_start(home: Path) -> None:
    """As markets of electricity number their hours: in spring hour 3 is left out, in autumn hour 3 comes twice."""
    source = {"timezone": "Europe/Berlin", "time_marks": "hour_ending", "time_format": "%Y-%m-%d %H"}
    made = Deliveries(home, declared(source))
    spring = [1, 2, 4, 24]
    autumn = [1, 2, 3, 3, 4, 24]
    labels = [f"2024-03-31 {hour}" for hour in spring] + [f"2024-10-27 {hour}" for hour in autumn]
    made.drop("a.csv", "".join(["station,time,temp\n", *(f"AAA,{label},1\n" for label in labels)]).encode())
    made()
    assert [hour for _, hour in made.values("temperature")] == [
        *("03-30T23:00", "03-31T00:00", "03-31T01:00", "03-31T21:00"),
        *("10-26T22:00", "10-26T23:00", "10-27T00:00", "10-27T01:00", "10-27T02:00", "10-27T22:00"),
    ]
    posted = Deliveries(home / "posted", declared(source))
    posted.post(b'{"station": "AAA", "time": "2024-03-31 4", "temp": 1}')
    posted()
    assert [hour for _, hour in posted.values("temperature")] == ["03-31T01:00"]
    with pytest.raises(ProblemDetailsException, match="they skip this one"):
        posted.post(b'{"station": "AAA", "time": "2024-03-31 3", "temp": 1}')


def test_case_01_other_spellings_are_read_once_declared(home: Path) -> None:
    written = ["excel", "epoch", "epoch_ms", "%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M", "%a %b %d %H:%M:%S %Y"]
    made = ingest(home, of_case("01-time-spellings", {"time_format": written, "timezone": "UTC"}))
    assert {row["time_text"] for row in made.rows("quarantine")} == {"2024-03-02T01:00:60Z"}, "a leap second"
    hours = [hour for _, hour in made.values("temperature")]
    assert hours[-8:] == [f"03-02T{hour:02d}:00" for hour in range(3, 11)]


def test_everything_odd_at_once_is_read_at_every_channel(home: Path) -> None:
    """A logger of southern Germany: ANSI, semicolons, commas, units in the header, words, local hours, a status."""
    source = {
        "station_field": "Gerät",
        "time_field": ["Datum", "Uhrzeit"],
        "time_format": "%d.%m.%Y %H:%M",
        "timezone": "Europe/Berlin",
        "missing": ["---", "-99,9", "9.999"],
        "status": {"field": "Prüfung", "good": ["ok"]},
        "format": {
            "delimiter": ";",
            "decimal": ",",
            "thousands": ".",
            "encoding": "cp1252",
            "comment": "#",
            "units_rows": 1,
        },
    }
    column = {"field": "Temp. [°C]", "texts": {"unter NWG": 0}}
    feed = declared(source, column, stations=[{"id": "Nürnberg Süd"}])
    lines = [
        "# Logger 7", '"Gerät";"Datum";"Uhrzeit";"Temp. [°C]";"Prüfung";"leer"', ";;;°C;;",
        "Nürnberg Süd;01.07.2024;01:00;1.021,5;OK;", "# Wartung", "Nürnberg Süd;01.07.2024;02:00;-99,9;ok;",
        "Nürnberg Süd;01.07.2024;02:30;9.999;ok;",
        '"Nürnberg Süd";01.07.2024;"03:00";"unter NWG";;', "Nürnberg Süd;01.07.2024;24:00;7,5;Störung;",
    ]  # fmt: skip
    made = Deliveries(home, feed)
    made.drop("a.csv", ("\r\n".join(lines) + "\r\n").encode("cp1252"))
    made.post(
        json.dumps({"Gerät": "Nürnberg Süd", "Datum": "02.07.2024", "Uhrzeit": "5:00", "Temp. [°C]": 1.234}).encode()
    )
    table = pa.table({"Gerät": ["Nürnberg Süd"], "Datum": ["02.07.2024"], "Uhrzeit": ["06:00"], "Temp. [°C]": ["1,5"]})
    pq.write_table(table, home / "b.parquet")
    made.drop("b.parquet", home / "b.parquet")
    made()
    assert {hour: value for (_, hour), value in made.values("temperature").items()} == {
        "06-30T23:00": 1021.5,
        "07-01T00:00": None,
        "07-01T00:30": None,
        "07-01T01:00": 0,
        "07-01T22:00": None,
        "07-02T03:00": 1.234,
        "07-02T04:00": 1.5,
    }
    assert made.rules() == {"rejected": 1}


def test_arrow_streams_and_nested_lines_are_read_in_any_layout(home: Path) -> None:
    stations = [{"id": "AAA"}, {"id": "BBB"}]
    wide = Deliveries(home / "wide", declared({"wide": "{station}", "time_format": "epoch_ms"}, stations=stations))
    table = pa.table({"time": [1704067200000], "AAA": [1.5], "BBB": pa.array([None], pa.float64())})
    with pa.BufferOutputStream() as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    wide.post(out.getvalue().to_pybytes(), "arrow")
    wide()
    assert wide.values("temperature") == {("AAA", "01-01T00:00"): 1.5}
    source = {"station_field": "meta.id", "time_field": "meta.at", "time_format": "epoch"}
    source |= {"quantity_field": "data.kind", "value_field": "data.value"}
    long = Deliveries(home / "long", declared(source, columns=WIDE_COLUMNS))
    body = {"meta": {"id": "AAA", "at": 1704067200.0}, "data": {"kind": "rh", "value": "40"}}
    long.post(json.dumps(body).encode() + b"\n", "ndjson")
    long.drop("a.jsonl", json.dumps(body | {"data": {"kind": "temp", "value": 2}}).encode() + b"\n")
    long()
    assert list(long.values("temperature", "humidity").values()) == [(2, 40)]


def test_declared_layout_survives_json() -> None:
    source = {"wide": "{station} {field}", "status": {"field": "{field}_qc", "suspect": ["B"]}, "time_marks": "end"}
    feed = declared(source | {"time_format": "%Y%m%d %H", "format": {"encoding": "cp1252", "decimal": ","}})
    assert Feed.parse(json.loads(feed.model_dump_json())) == feed
