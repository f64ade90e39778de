"""Inputs that users met (tests/data/cases, one folder a case), with what each of them expects."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.feed.declaration import Feed
from tests.factories.cases import CASES, case, lines
from tests.harness.deliveries import Deliveries

pytestmark = pytest.mark.e2e  # whole deliveries, one after another


def delivered(home: Path, feed: Feed) -> Deliveries:
    made = Deliveries(home, feed)
    made()
    return made


def copied(tmp_path: Path, name: str, file: str, to: str = "readings.csv") -> Path:
    """A case's file where it can be replaced by another one."""
    return Path(shutil.copy(CASES / name / file, tmp_path / to))


def from_file(name: str, path: Path, declaration: str = "defs.yaml") -> Feed:
    source = {"kind": "csv", "path": str(path), "station_field": "station", "time_field": "time"}
    return case(name, declaration, source=source)


def test_case_01_iso_8601_spellings_are_read_and_others_refused(home: Path) -> None:
    made = delivered(home, case("01-time-spellings"))
    texts = [line.split(",")[1] for line in (CASES / "01-time-spellings" / "readings.csv").read_text().splitlines()[1:]]
    apart = {row["time_text"]: row["reason"] for row in made.rows("quarantine")}
    assert set(apart) == {*texts[14:16], *texts[17:22], texts[23]}
    assert "has no offset from UTC, and the feed declares no zone" in apart["2024-03-02T02:00"]
    assert all("is not a time in ISO 8601" in why for text, why in apart.items() if text != "2024-03-02T02:00")
    assert made.values("temperature")["AAA", "03-02T00:00"] == 7.0, "24:00 is the next day's 00:00"
    assert made.values("temperature")["AAA", "03-01T07:00"] == 12.0, "the basic form"
    assert made.values("temperature")["AAA", "03-01T03:00"] == 10.0, "a blank and UTC"
    posted = Deliveries(home / "posted", case("01-time-spellings", source={"kind": "push"}))
    posted.post((CASES / "01-time-spellings" / "post.json").read_bytes())
    posted()
    assert posted.values("temperature") == {("AAA", "03-01T01:00"): 1.0, ("AAA", "03-01T04:00"): 2.0}


def test_case_02_bad_column_costs_only_its_values(home: Path) -> None:
    made = delivered(home, case("02-one-bad-column"))
    assert made.measured() == {"temperature": 48, "pressure": 13}
    assert made.rules() == {"range": 35}
    assert {row["column"] for row in made.rows("quarantine")} == {"pressure"}
    assert sum(row["flags"] == "pressure=range" for row in made.rows("bronze")) == 35


def test_case_03_words_in_number_column_cost_only_themselves(home: Path) -> None:
    refused = delivered(home / "refused", case("03-asos-trace-and-vrb"))
    assert refused.rules() == {"unparseable": 24}, "its times have no offset, and no zone is declared"
    source = case("03-asos-trace-and-vrb").source.model_dump() | {"timezone": "UTC"}
    made = delivered(home, case("03-asos-trace-and-vrb", source=source))
    assert made.measured()["temperature"] == 24
    assert sorted((row["column"], row["value"]) for row in made.rows("quarantine")) == [
        *[("precipitation", "T")] * 3,
        *[("wind_direction", "VRB")] * 2,
    ]


@pytest.mark.parametrize("first", ["temp.csv", "rh.csv"])
def test_case_04_two_files_with_one_field_each_are_merged(home: Path, first: str) -> None:
    made = Deliveries(home, case("04-one-field-a-message"))
    for name in sorted(("temp.csv", "rh.csv"), key=lambda each: each != first):
        made.drop(name, CASES / "04-one-field-a-message" / name)
        made()
    assert made.measured() == {"temperature": 12, "humidity": 12}
    for name in ("post1.json", "post2.json"):
        made.post((CASES / "04-one-field-a-message" / name).read_bytes())
    made()
    assert made.values("temperature", "humidity")["AAA", "03-02T00:00"] == (5.5, 71.0)
    assert made.measured() == {"temperature": 13, "humidity": 13}


def test_case_05_repeated_null_is_no_news(home: Path) -> None:
    """Three polls: the newest observation null, then 3.5, then null again, and an older one null, too."""
    feed = case("05-nws-null-again", source={"kind": "push"})
    field = feed.column("temperature").field
    made = Deliveries(home, feed)
    for older, newest in ((4.0, None), (4.0, 3.5), (None, None)):
        times = [f"{feed.start + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in (15, 16)]
        station = feed.station_ids[0]
        polled = [{"station": station, "time": t, field: v} for t, v in zip(times, (older, newest), strict=True)]
        made.post(json.dumps(polled).encode())
        made(feed.start + timedelta(days=1))
    assert list(made.values("temperature").values()) == [4.0, 3.5]


def test_case_06_sentinel_number_means_missing_in_one_column(home: Path) -> None:
    columns = [column.model_dump(mode="json") for column in case("06-sentinel-of-one-column").columns]
    for column in columns:
        column["missing"] = [999.9] if "wind" in column["name"] else []
    source = {"kind": "csv", "path": "$CASE/readings.csv", "station_field": "station", "time_field": "time"}
    made = delivered(home, case("06-sentinel-of-one-column", columns=columns, source=source))
    assert made.measured() == {"temperature": 24, "pressure": 24, "windspeed": 21}
    assert [row["pressure"] for row in made.rows("bronze")].count(999.9) == 2
    assert made.count("quarantine") == 0


def test_case_07_sentinel_number_is_missing_in_any_spelling(home: Path) -> None:
    made = delivered(home, case("07-sentinel-spelt-differently"))
    assert made.measured() == {"temperature": 12, "humidity": 6}
    posted = Deliveries(home / "posted", case("07-sentinel-spelt-differently", "push.yaml"))
    body = (CASES / "07-sentinel-spelt-differently" / "post.json").read_bytes()
    posted.post(body)
    for each in json.loads(body):
        posted.post(json.dumps(each | {"time": each["time"].replace("2024-03-01", "2024-03-02")}).encode())
    posted()
    assert posted.count("quarantine") == 0, "whatever stands beside a number, it is missing or not"
    known = [row["humidity"] for row in posted.rows("bronze")]
    assert known[: len(known) // 2] == known[len(known) // 2 :]


def test_case_10_local_time_without_zone_is_refused_at_every_channel(home: Path) -> None:
    made = delivered(home, case("10-local-time"))
    assert made.count("bronze") == 0
    assert made.rules() == {"unparseable": 8}
    assert all("has no offset from UTC" in row["reason"] for row in made.rows("quarantine"))
    pushed = Deliveries(home / "pushed", case("10-local-time", source={"kind": "push"}))
    with pytest.raises(ProblemDetailsException, match="ISO 8601 with an offset"):
        pushed.post(b'{"station": "M1", "time": "2024-10-27 00:00", "power": 1}')
    pushed.drop("naive.csv", lines(("M1", "2024-10-27 00:00", 1.0), header="station,time,power"))
    pushed()
    assert pushed.rules() == {"unparseable": 1}


def test_case_10_declared_zone_accepts_refused_local_times(home: Path) -> None:
    made = delivered(home, case("10-local-time"))
    assert made.count("bronze") == 0
    source = made.feed.source.model_dump() | {"timezone": "Europe/Amsterdam"}
    made.feed = case("10-local-time", source=source)
    made()
    hours = ["10-26T22:00", "10-26T23:00", *(f"10-27T0{hour}:00" for hour in range(6))]
    assert list(made.values("power").items()) == [
        (("M1", hour), pytest.approx(1 + number / 10)) for number, hour in enumerate(hours)
    ]
    assert made.count("quarantine") == 0
    fresh = delivered(home / "fresh", made.feed)
    assert fresh.values("power") == made.values("power")
    made.feed = case("10-local-time", source=source | {"timezone": "UTC"})
    made()
    assert ("M1", "10-27T02:00") in made.values("power"), "another zone, other instants"
    assert len(made.values("power")) == 7


@pytest.mark.parametrize("declaration", ["defs.yaml", "declared.yaml"])
def test_case_15_words_for_missing_are_missing(home: Path, declaration: str) -> None:
    made = delivered(home, case("15-words-for-missing", declaration))
    assert made.measured() == {"temperature": 24, "humidity": 11}
    assert made.count("quarantine") == 0


def test_case_15_words_for_missing_are_missing_at_every_channel(home: Path) -> None:
    made = Deliveries(home, case("15-words-for-missing", "push.yaml"))
    made.drop("readings.csv", CASES / "15-words-for-missing" / "readings.csv")
    made()
    assert made.measured() == {"temperature": 24, "humidity": 11}
    made.post(b'[{"station": "AAA", "time": "2024-03-09T00:00Z", "temp": "7", "rh": "unavailable"}]')
    made()
    assert made.values("temperature", "humidity")["AAA", "03-09T00:00"] == (7.0, None)
    assert made.count("quarantine") == 0


@pytest.mark.parametrize("declaration", ["defs.yaml", "push.yaml"])
def test_case_17_broken_line_is_set_aside_with_its_number(home: Path, declaration: str) -> None:
    made = Deliveries(home, case("17-one-broken-line", declaration))
    if made.feed.source.watch != "whole":
        made.drop("readings.csv", CASES / "17-one-broken-line" / "readings.csv")
    made()
    assert made.count("bronze") == 46
    (apart,) = made.rows("quarantine")
    assert (apart["rule"], apart["value"]) == (
        "malformed",
        "AAA,2024-03-01T19:0AAA,2024-03-01T20:00:00Z,4.5,55",
    )
    assert 'line 21 "AAA,2024-03-01T19:0AAA' in apart["reason"]


def test_case_17_file_with_many_broken_lines_is_refused(home: Path) -> None:
    source = case("17-one-broken-line").source.model_dump() | {"broken_lines": 0.01}
    (reason,) = Deliveries(home, case("17-one-broken-line", source=source)).take().failures.values()
    assert "21" in reason


def test_case_18_extra_field_is_ignored_at_every_channel(home: Path) -> None:
    from_csv = delivered(home / "csv", case("18-one-column-more", "csv.yaml"))
    made = Deliveries(home / "push", case("18-one-column-more"))
    made.drop("readings.csv", CASES / "18-one-column-more" / "readings.csv")
    made()
    assert made.values("temperature", "humidity") == from_csv.values("temperature", "humidity") != {}
    assert made.taken.rejections == []
    (note,) = [note for note in made.taken.notes if "battery_v" in note]
    assert "readings.csv" in note
    assert made.post((CASES / "18-one-column-more" / "post.json").read_bytes()) == ("battery_v",)
    before = made.count("bronze")
    made()
    assert made.count("bronze") == before + 1


def test_case_21_month_of_file_follows_its_content(home: Path, tmp_path: Path) -> None:
    name = "21-a-correction-takes-rows-away"
    path = copied(tmp_path, name, "v1.csv")
    made = delivered(home, from_file(name, path))
    assert made.count("bronze") == 26
    for version in ("v2.csv", "v3_times_corrected.csv", "v1.csv", "v2.csv"):
        copied(tmp_path, name, version)
        made()
        said = {tuple(line.split(",")) for line in path.read_text().splitlines()[1:]}
        found = {(row["station"], f"{row['time'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}") for row in made.rows("bronze")}
        assert found == {each[:2] for each in said}
        assert made.count("quarantine") == 0
    copied(tmp_path, name, "v4_station_corrected.csv")
    made()
    assert (made.count("bronze"), made.rules()) == (0, {"unknown_station": 24}), "as the file says"
    path.write_bytes(lines(("AAA", "2024-02-20T00:00:00Z", 1.0)))
    made.feed = from_file(name, path).model_copy(update={"start": datetime(2024, 2, 1, tzinfo=UTC)})
    made()
    assert (made.count("bronze"), made.count("quarantine")) == (1, 0), "a month that the file has no more is emptied"


def test_case_22_growing_file_costs_its_growth(home: Path, tmp_path: Path) -> None:
    name, sizes = "22-a-file-that-grows", []
    for version in sorted((CASES / name).glob("g*.csv")):
        made = Deliveries(home, from_file(name, copied(tmp_path, name, version.name)))
        made()
        sizes.append((made.count("raw"), len(version.read_text().splitlines()) - 1))
    assert all(stored == delivered for stored, delivered in sizes)
    assert made.count("bronze") == sizes[-1][1]


def test_case_39_dead_sensor_costs_only_its_column(home: Path) -> None:
    made = delivered(home, case("39-one-dead-sensor-forty-days"))
    assert made.measured() == {"temperature": 960, "pressure": 299}
    assert max(row["time"] for row in made.rows("bronze")).astimezone(UTC) == datetime(2024, 4, 9, 23, tzinfo=UTC)


@pytest.mark.parametrize(("wrong", "right"), [("late.yaml", "right.yaml"), ("end_early.yaml", "end_right.yaml")])
def test_case_40_earlier_readings_return_after_declared_start_is_corrected(home: Path, wrong: str, right: str) -> None:
    made = Deliveries(home, case("40-start-declared-too-late", wrong))
    made.drop("readings.csv", CASES / "40-start-declared-too-late" / "readings.csv")
    made()
    assert made.count("quarantine") > 0
    made.feed = case("40-start-declared-too-late", right)
    made()
    assert (made.count("bronze"), made.count("quarantine")) == (12, 0)
    rows = made.count("raw")
    made()
    assert made.count("raw") == rows, "nothing is moved twice"


def test_case_40_earlier_readings_of_file_return_after_correction(home: Path) -> None:
    made = delivered(home, case("40-start-declared-too-late", "csv_late.yaml"))
    assert (made.count("bronze"), made.rules()) == (6, {"early": 6})
    made.feed = case("40-start-declared-too-late", "csv_right.yaml")
    made()
    assert (made.count("bronze"), made.count("quarantine")) == (12, 0)


def test_case_40_unknown_station_is_accepted_once_declared(home: Path) -> None:
    made = Deliveries(home, case("40-start-declared-too-late", "right.yaml"))
    made.drop("other.csv", lines(("NEW", "2024-03-01T00:00:00Z", 1.0)))
    made()
    assert made.rules() == {"unknown_station": 1}
    made.feed = case("40-start-declared-too-late", "right.yaml", stations=[{"id": "AAA"}, {"id": "NEW"}])
    made()
    assert made.values("temperature") == {("NEW", "03-01T00:00"): 1.0}


def test_case_41_renamed_field_keeps_its_history(home: Path) -> None:
    name = "41-name-or-unit-changes-midway"
    made = Deliveries(home, case(name, "old.yaml"))
    made.drop("a.csv", CASES / name / "a_temp.csv")
    made()
    columns = [case(name, "new.yaml").columns[0].model_dump(mode="json") | {"aliases": ["temp"]}]
    made.feed = case(name, "new.yaml", columns=columns)
    made.drop("b.csv", CASES / name / "b_temperature.csv")
    made()
    assert made.measured() == {"temperature": 24}


def test_case_41_unit_changes_from_instant(home: Path) -> None:
    name = "41-name-or-unit-changes-midway"
    made = Deliveries(home, case(name, "degF.yaml"))
    made.drop("a.csv", CASES / name / "a_degF.csv")
    made()
    before = made.values("temperature")
    former = [{"before": "2024-03-01T12:00:00Z", "source_unit": "degF"}]
    columns = [case(name, "degC.yaml").columns[0].model_dump(mode="json") | {"former": former}]
    made.feed = case(name, "degC.yaml", columns=columns)
    made.drop("b.csv", CASES / name / "b_degC.csv")
    made()
    after = made.values("temperature")
    assert len(after) == 24
    assert made.count("quarantine") == 0
    assert {instant: after[instant] for instant in before} == pytest.approx(before), "history keeps its meaning"
    said = dict(line.split(",")[1:] for line in (CASES / name / "b_degC.csv").read_text().splitlines()[1:])
    assert [after[k] for k in list(after)[12:]] == pytest.approx([float(text) for text in said.values()])


@pytest.mark.parametrize("file", ["own_names.json", "plain_names.json"])
def test_case_43_posts_with_source_names_are_read(home: Path, file: str) -> None:
    made = Deliveries(home, case("43-iot-payloads"))
    made.post((CASES / "43-iot-payloads" / file).read_bytes())
    made.drop("own.jsonl", CASES / "43-iot-payloads" / "own_names.jsonl")
    made()
    assert made.measured() == {"temperature": 2, "humidity": 2}


def test_case_43_nested_readings_are_read_by_dotted_names(home: Path) -> None:
    columns = [column.model_dump(mode="json") for column in case("43-iot-payloads").columns]
    nested = [column | {"field": f"readings.{column['field']}"} for column in columns]
    made = Deliveries(home, case("43-iot-payloads", columns=nested))
    made.post((CASES / "43-iot-payloads" / "nested.json").read_bytes())
    made()
    assert made.measured() == {"temperature": 1, "humidity": 1}
    with pytest.raises(ProblemDetailsException, match="there is: readings"):
        Deliveries(home / "flat", case("43-iot-payloads")).post(
            (CASES / "43-iot-payloads" / "nested.json").read_bytes()
        )


def test_case_45_stray_quote_loses_nothing(home: Path) -> None:
    for file in ("one.csv", "two.csv", "mid.csv"):
        source = {"kind": "csv", "path": f"$CASE/{file}", "station_field": "station", "time_field": "time"}
        made = delivered(home / file, case("45-stray-quotes", source=source))
        assert made.count("bronze") + made.count("quarantine") == 24, file
        assert made.count("bronze") >= 22, file
        pushed = Deliveries(home / f"{file}.inbox", case("45-stray-quotes", "push.yaml"))
        pushed.drop(file, CASES / "45-stray-quotes" / file)
        pushed()
        assert pushed.values("temperature") == made.values("temperature"), "every channel reads it alike"


def test_case_10_corrected_zone_moves_readings_and_loses_none(home: Path) -> None:
    """An hour that one zone shows once and another one twice, by file, by inbox and by post."""
    times = ("2024-10-27 00:30", "2024-10-27 01:30", "2024-10-27 01:30", "2024-10-27 02:30")
    body = lines(*(("M1", time, number) for number, time in enumerate(times)), header="meter,Datum,power")
    london = {
        ("M1", f"10-{hour}:30"): float(number) for number, hour in enumerate(("26T23", "27T00", "27T01", "27T02"))
    }
    source = case("10-local-time").source.model_dump() | {"path": str(home / "x.csv")}
    home.mkdir(exist_ok=True)
    (home / "x.csv").write_bytes(body)
    by_file = Deliveries(home / "file", case("10-local-time", source=source | {"timezone": "UTC"}))
    push = {"kind": "push", "station_field": "meter", "time_field": "Datum"}
    by_inbox = Deliveries(home / "inbox", case("10-local-time", source=push | {"timezone": "UTC"}))
    by_inbox.drop("x.csv", body)
    for made, declared in ((by_file, source), (by_inbox, push)):
        made()
        assert len(made.values("power")) == 3, "in UTC one time is there twice"
        made.feed = case("10-local-time", source=declared | {"timezone": "Europe/London"})
        made()
        assert made.values("power") == london
        rows = made.count("raw")
        made()
        assert made.count("raw") == rows
        made.feed = case("10-local-time", source=declared | {"timezone": "UTC"})
        made()
        assert len(made.values("power")) == 3, "and back"
    retried = Deliveries(home / "post", case("10-local-time", source=push | {"timezone": "Europe/London"}))
    for _ in range(2):
        retried.post(b'{"meter": "M1", "Datum": "2024-10-27 01:30", "power": 5}')
        retried()
    assert retried.values("power") == {("M1", "10-27T00:30"): 5.0}, "each post is a delivery of its own"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 38.25),
        ({"at": {"temperature": 25}}, 37.61),
        ({"source_unit": "ug/m3", "unit": "ppb"}, 10.46),
        ({"source_unit": "ppm", "unit": "mg m-3", "gas": "CO"}, 23.29),
        ({"source_unit": "µg m-3", "unit": "ug/m^3"}, 20),
        ({"source_unit": "EUR/MWh", "unit": "EUR/MWh", "gas": None}, 20),
        ({"source_unit": "mb", "unit": "Pa", "gas": None, "range": [0, 1e5]}, 2000),
        ({"source_unit": "okta", "unit": "percent", "gas": None}, 250),
    ],
)
def test_case_29_units_of_air_quality(home: Path, change: dict[str, object], expected: float) -> None:
    own = case("29-air-quality-units")
    columns = [own.columns[0].model_dump(mode="json", exclude_unset=True) | change]
    made = delivered(home, case("29-air-quality-units", columns=columns))
    assert len(made.values("no2")) == 24
    assert list(made.values("no2").values()) == pytest.approx([expected] * 24, abs=0.01)
