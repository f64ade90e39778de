"""What is proposed for files of many kinds: it is a valid declaration, and reads what the file holds."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.inspection.proposal import propose
from cli.__main__ import main
from tests import SHARED
from tests.harness.deliveries import Deliveries

HOUR = timedelta(hours=1)
START = datetime(2024, 3, 1, tzinfo=UTC)


def proposal(path: Path, name: str | None = None) -> Feed:
    """The feed that is proposed for a file; the text is a whole `defs.yaml`."""
    document = yaml.safe_load(propose(path, name))
    assert document["type"] == "aerocast_assets.component.FeedComponent"
    return Feed.parse(document["attributes"])


def write(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def wave(hour: int) -> float:
    """A daily cycle, with a little that is the same on every machine."""
    return round(10 + 5 * ((hour % 24) / 24) + (hour * 7919 % 13) / 10, 2)


FORMS: list[tuple[str, Callable[[datetime], str], dict[str, Any]]] = [
    ("time,temp", lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ},{{}}", {}),
    ("time,temp", lambda at: f"{at:%Y-%m-%d %H:%M:%S}+01:00,{{}}", {}),
    ("Datetime,temp", lambda at: f"{at:%Y-%m-%d %H:%M:%S},{{}}", {"timezone": "UTC"}),
    ("date,temp", lambda at: f"{at:%d/%m/%Y %H:%M},{{}}", {"time_format": ("%d/%m/%Y %H:%M",)}),
    ("date,temp", lambda at: f"{at:%m/%d/%Y %H:%M},{{}}", {"time_format": ("%m/%d/%Y %H:%M",)}),
    ("zeit;temp", lambda at: f"{at:%d.%m.%Y %H:%M};{{}}", {"time_format": ("%d.%m.%Y %H:%M",)}),
    ("Date,Time,temp", lambda at: f"{at:%Y-%m-%d},{at:%H:%M},{{}}", {"time_field": ("Date", "Time")}),
    ("dteday,hr,temp", lambda at: f"{at:%Y-%m-%d},{at.hour},{{}}", {"time_field": ("dteday", "hr")}),
    ("year,month,day,hour,temp", lambda at: f"{at.year},{at.month},{at.day},{at.hour},{{}}",
     {"time_field": ("year", "month", "day", "hour")}),
    ("timestamp,temp", lambda at: f"{at.timestamp():.0f},{{}}", {"time_format": ("epoch",)}),
    ("timestamp,temp", lambda at: f"{at.timestamp() * 1000:.0f},{{}}", {"time_format": ("epoch_ms",)}),
]  # fmt: skip


@pytest.mark.parametrize(("header", "line", "source"), FORMS, ids=[f"{n}-{each[0]}" for n, each in enumerate(FORMS)])
def test_times_are_found_however_they_are_written(
    tmp_path: Path, header: str, line: Callable[[datetime], str], source: dict[str, Any]
) -> None:
    hours = range(24 * 12)
    path = write(tmp_path / "readings.csv", [header, *(line(START + h * HOUR).format(wave(h)) for h in hours)])
    feed = proposal(path)
    for name, value in source.items():
        assert getattr(feed.source, name) == value, propose(path)
    assert feed.cadence == HOUR
    assert [column.field for column in feed.columns] == ["temp"]
    assert feed.columns[0].unit == "degC"
    deliver = Deliveries(tmp_path / "home", feed)
    deliver()
    assert deliver.count("bronze") == len(hours)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_continental_file_is_read(tmp_path: Path, encoding: str) -> None:
    """Semicolons, decimal commas, thousands of lines before the header, a row of units, an umlaut."""
    rows = [f"Köln;{START + h * HOUR:%d.%m.%Y %H:%M};{str(wave(h)).replace('.', ',')};1.013,2" for h in range(24 * 15)]
    lines = ["Messnetz Köln", "erzeugt 2024", "Ort;Zeit;Temperatur;Druck", ";;°C;hPa", *rows]
    feed = proposal(write(tmp_path / "köln export.csv", lines, encoding))
    assert feed.name == "k_ln_export"
    assert feed.source.format.delimiter == ";"
    assert feed.source.format.decimal == ","
    assert (feed.source.format.skip, feed.source.format.units_rows) == (2, 1)
    deliver = Deliveries(tmp_path / "home", feed)
    deliver()
    assert deliver.count("bronze") == 24 * 15
    assert sum(deliver.measured().values()) >= 24 * 15


def test_stations_quantities_and_sentinels_are_found(tmp_path: Path) -> None:
    chance = random.Random(7)
    lines = ["id,station,time,temp [degC],pressure,state"]
    for hour in range(24 * 15):
        for at, station in enumerate(("S 1", "S.2", "03")):
            temperature = "-200" if chance.random() < 0.05 else str(wave(hour) + at)
            lines.append(f"{hour * 3 + at},{station},{START + hour * HOUR:%Y-%m-%dT%H:%M:%SZ},{temperature},1013.2,ok")
    feed = proposal(write(tmp_path / "many.csv", lines), "meters")
    assert feed.name == "meters"
    assert set(feed.station_ids) == {"S 1", "S.2", "03"}
    assert feed.source.station_field == "station"
    (temperature,) = (column for column in feed.columns if column.field == "temp [degC]")
    assert (temperature.unit, temperature.missing) == ("degC", ("-200",))
    deliver = Deliveries(tmp_path / "home", feed)
    deliver()
    assert deliver.count("bronze") == 3 * 24 * 15
    assert deliver.count("quarantine") == 0


def test_long_layout_is_found(tmp_path: Path) -> None:
    lines = ["time,location,parameter,value,unit"]
    for hour in range(24 * 15):
        for name in ("no2", "o3", "pm25"):
            lines.append(f"{START + hour * HOUR:%Y-%m-%dT%H:%M:%SZ},Aarhus,{name},{wave(hour)},ug/m3")
    feed = proposal(write(tmp_path / "openaq.csv", lines))
    assert (feed.source.quantity_field, feed.source.value_field) == ("parameter", "value")
    assert {column.field for column in feed.columns} == {"no2", "o3", "pm25"}
    deliver = Deliveries(tmp_path / "home", feed)
    deliver()
    assert deliver.count("bronze") == 24 * 15
    assert set(deliver.measured().values()) == {24 * 15}


def test_amounts_and_totals_are_told_from_levels(tmp_path: Path) -> None:
    lines = ["time,rain [mm],used [kWh],meter [kWh],level [m]"]
    for half in range(48 * 15):
        at, amount = START + half * HOUR / 2, half % 7 / 10
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{amount},{amount + 0.1},{1000 + half * 0.4:.1f},{wave(half)}")
    feed = proposal(write(tmp_path / "amounts.csv", lines))
    assert [column.quantity for column in feed.columns] == ["sum", "sum", "counter", "instant"]


def test_day_and_week_are_told_from_the_spectrum(tmp_path: Path) -> None:
    hours = range(24 * 7 * 12)

    def lines(value: Callable[[int], float]) -> list[str]:
        return ["time,load", *(f"{START + h * HOUR:%Y-%m-%dT%H:%M:%SZ},{value(h):.2f}" for h in hours)]

    def is_busy(hour: int) -> bool:
        return 8 < hour % 24 < 20

    def noise(hour: int) -> float:
        return hour * 7919 % 13 / 10

    day = proposal(write(tmp_path / "day.csv", lines(lambda h: 100 + 9 * is_busy(h) + noise(h))))
    working = lines(lambda h: 100 + 9 * is_busy(h) * (h // 24 % 7 < 5) + noise(h))
    week = proposal(write(tmp_path / "week.csv", working))
    assert day.seasons == (timedelta(days=1),)
    assert week.seasons == (timedelta(days=1), timedelta(days=7))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,b", *["1.5,2"] * 40], "no column holds times"),
        (["time,name", *[f"2024-01-0{d},x" for d in range(1, 9)]], "no column of numbers"),
        (["only one word", *["x"] * 10], "no delimiter"),
    ],
)
def test_file_without_readings_is_refused_in_one_sentence(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(AeroCastError, match=words):
        propose(write(tmp_path / "odd.csv", lines))


def test_command_writes_where_nothing_is_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{START + h * HOUR:%Y-%m-%dT%H:%M:%SZ},{wave(h)}" for h in range(99)]
    path = write(tmp_path / "a.csv", ["time,temp", *rows])
    assert main(["inspect", str(path), "--name", "meters", "--out", str(tmp_path / "defs")]) == 0
    assert main(["check", str(tmp_path / "defs")]) == 0
    assert main(["inspect", str(path), "--name", "meters", "--out", str(tmp_path / "defs")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nothing.csv")]) == 1


RECORDED = {
    "aurn_marylebone/MY1_2015_2018.parquet": 35064,
    "beijing_multisite/Tiantan.parquet": 35064,
    "bloomsbury_imputed/CLL2_2000_2009.parquet": 87614,
    "chicago_asos_2022_broken/ORD_MDW_2022.parquet": 17470,
    "ett/ETTh1.csv": 17420,
    "jena_weather_partial/weather_2020_Tlog_CO2.csv": 52695,  # 12 May, 6:00 occurs twice
    "kmsn_asos_5min_2016/KMSN_201603_201611.parquet": 51443,
    "kmsn_daily_ghcn/KMSN_1996_2019.parquet": 8431,
    "lte_barcelona/ElBorn.parquet": 4192,
    "lte_barcelona/PobleSec.parquet": 15927,
    "nab/realKnownCause__nyc_taxi.csv": 10320,
    "nab/realKnownCause__ambient_temperature_system_failure.csv": 7267,
    "nws_stream_midwest_2025_26/KMSN_stream.parquet": 106,  # most messages are sent again and again
    "openair_mydata/mydata_1998_2005.parquet": 65533,
    "pjm_hourly/AEP.parquet": None,  # four hours occur twice
    "pnw_asos_2014/PDX_2014.parquet": 8712,
    "regime_change_daily/bicimad_users.parquet": 3022,
    "uci_air_quality_sensor_drift/AirQualityUCI.parquet": 9357,
    "uci_bike_sharing/hour.csv": 17379,
    "uci_bike_sharing/day.csv": 731,
    "valencia_air_quality/valencia_2019_2021.parquet": 26304,
}  # fmt: skip


@pytest.mark.e2e
@pytest.mark.parametrize(("file", "rows"), RECORDED.items(), ids=[each.split("/")[1] for each in RECORDED])
def test_proposal_for_recorded_data_runs_unchanged(tmp_path: Path, file: str, rows: int | None) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip(f"no test data at {path} (set AEROCAST_TEST_DATA)")
    feed = proposal(path)
    deliver = Deliveries(tmp_path / "home", feed)
    deliver()
    assert deliver.count("bronze") >= 1000 or rows
    if rows is not None:
        assert deliver.count("bronze") == rows, deliver.rules()
    measured = deliver.measured()
    assert measured[feed.targets[0]] > 0
    assert sum(deliver.rules().values()) < 0.01 * sum(measured.values()), deliver.rules()


def test_parquet_and_json_lines(tmp_path: Path) -> None:
    times = [START + hour * HOUR for hour in range(24 * 15)]
    table = pa.table({"at": pa.array(times, pa.timestamp("us", "UTC")), "temp": [wave(h) for h in range(24 * 15)]})
    pq.write_table(table, tmp_path / "a.parquet")
    lines = [json.dumps({"at": at.isoformat(), "now": {"temp": wave(h)}}) for h, at in enumerate(times)]
    for feed, field in (
        (proposal(tmp_path / "a.parquet"), "temp"),
        (proposal(write(tmp_path / "a.jsonl", lines)), "now.temp"),
    ):
        assert [column.field for column in feed.columns] == [field]
        deliver = Deliveries(tmp_path / feed.name / feed.source.kind, feed)
        deliver()
        assert deliver.count("bronze") == 24 * 15
