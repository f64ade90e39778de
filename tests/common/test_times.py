"""One grammar of times: Python and SQL agree on any text, and a wall clock's times become the right instants."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.common.time_format import TimeFormat
from aerocast.common.times import parse, sql_instant, sql_wall_time, zone_of
from aerocast.ingest.instants import Instants

AMSTERDAM = ZoneInfo("Europe/Amsterdam")

# The 24 spellings of shared/cases/01-time-spellings: an instant, "naive", or "unreadable".
SPELLINGS = {
    "2024-03-01T01:00Z": "2024-03-01T01:00:00",
    "2024-03-01T02:00:00Z": "2024-03-01T02:00:00",
    "2024-03-01 03:00:00 UTC": "2024-03-01T03:00:00",
    "2024-03-01T05:00:00+0100": "2024-03-01T04:00:00",
    "2024-03-01T06:00:00+01": "2024-03-01T05:00:00",
    "2024-03-01T06:00:00.000000000Z": "2024-03-01T06:00:00",
    "20240301T070000Z": "2024-03-01T07:00:00",
    "2024-03-01t08:00:00z": "2024-03-01T08:00:00",
    "2024-03-01 09:00:00 +0000": "2024-03-01T09:00:00",
    "2024-03-01T10:00+00:00": "2024-03-01T10:00:00",
    "2024-03-01T11:00:00.5Z": "2024-03-01T11:00:00.500000",
    " 2024-03-01T12:00:00Z": "2024-03-01T12:00:00",
    "2024-03-01T13:00:00Z ": "2024-03-01T13:00:00",
    "2024-03-01T24:00:00Z": "2024-03-02T00:00:00",
    "2024-03-02T01:00:60Z": "unreadable",
    "2024-03-02T02:00": "naive",
    "2024-03-02T03:00:00-00:00": "2024-03-02T03:00:00",
    "1709352000": "unreadable",
    "1709355600000": "unreadable",
    "45353.25": "unreadable",
    "02/03/2024 07:00": "unreadable",
    "2024-03-02 8:00": "unreadable",
    "2024-03-02T09:00:00+00:00[UTC]": "2024-03-02T09:00:00",
    "Sat Mar 02 10:00:00 2024": "unreadable",
}
MORE = {
    "20240301T0700Z": "2024-03-01T07:00:00",
    "2024-03-01  07:00:00  GMT": "2024-03-01T07:00:00",
    "2024-03-01T07:00:00,25+05:30": "2024-03-01T01:30:00.250000",
    "2024-03-01T07:00:00.1234569Z": "2024-03-01T07:00:00.123456",
    "2024-03-01T08:00+01:00[Europe/Paris]": "2024-03-01T07:00:00",
    "2024-12-31T24:00Z": "2025-01-01T00:00:00",
    "2024-03-01": "naive",
    "20240301": "naive",
    "2024-02-30T00:00Z": "unreadable",
    "2024-03-01T24:01Z": "unreadable",
    "2024-03-01T07:00[Europe/Paris]": "unreadable",
    "0001-01-01T00:00+14:00": "unreadable",
    "9999-12-31T24:00Z": "unreadable",
    "٢٠٢٤-03-01T07:00Z": "unreadable",
    "": "unreadable",
}


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    found = duckdb.connect()
    found.execute("SET TimeZone = 'America/New_York'")  # a session's own zone must not count
    return found


def in_sql(con: duckdb.DuckDBPyConnection, texts: list[str]) -> list[tuple[datetime | None, str]]:
    """What SQL reads: an instant, or a wall clock's time; and what it says of it where it is no instant."""
    con.register("texts", pa.table({"t": pa.array(texts, pa.string())}))
    rows = con.sql(
        f"SELECT epoch_us({sql_instant('t')}), epoch_us({sql_wall_time('t')}), {TimeFormat().sql_fault('t')} FROM texts"
    ).fetchall()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        (
            epoch + timedelta(microseconds=aware)
            if aware is not None
            else None if wall is None else (epoch + timedelta(microseconds=wall)).replace(tzinfo=None),
            reason,
        )
        for aware, wall, reason in rows
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), (SPELLINGS | MORE).items())
def test_time_text_is_parsed_or_refused_with_reason(text: str, expected: str, con: duckdb.DuckDBPyConnection) -> None:
    found, ((in_duckdb, reason),) = parse(text), in_sql(con, [text])
    assert found == in_duckdb
    if expected in ("naive", "unreadable"):
        assert TimeFormat().parse_instant(text) is None
        assert reason == TimeFormat().fault_of(text) == expected
    else:
        assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def digits(count: int, high: str = "9") -> st.SearchStrategy[str]:
    return st.text(
        st.sampled_from([chr(each) for each in range(ord("0"), ord(high) + 1)]), min_size=count, max_size=count
    )


near = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", " ", "\t", "\n", "x"]),
        st.sampled_from(["2024", "1999", "0000", "0001", "9999", "12"]),
        st.sampled_from(["-", "", "/"]),
        digits(2, "3"),
        st.sampled_from(["-", "", "/"]),
        digits(2, "3"),
        st.sampled_from(["T", "t", " ", "  ", "", "_"]),
        digits(2, "4"),
        st.sampled_from([":", "", "."]),
        digits(2, "7"),
        st.sampled_from(["", ":00", "00", ":60", ":59.5", ":07,25", "07.1234567", ": 0", ":00.", ":0"]),
        st.sampled_from(
            ["Z", "z", "", " UTC", "GMT", "+01", "+0130", "-05:30", " +00:00", "-00:00", "+24", "+1", "EST"]
        ),
        st.sampled_from(["", "", "[UTC]", "[Europe/Paris]", "[]", " "]),
    ),
)
usual = st.datetimes().map(lambda at: f"{at.isoformat()}Z")
mangled = st.builds(
    lambda text, at, char: text[:at] + char + text[at + 1 :],
    usual,
    st.integers(0, 20),
    st.characters(codec="utf-8") | st.sampled_from(list(" 0123.-+:TZ\t")),
)


@given(st.lists(st.one_of(near, usual, mangled, st.text(st.characters(codec="utf-8"))), min_size=50, max_size=200))
@example(["2024-03-01T01:00: 0Z", "2024-03-01T01:00:0.Z", "2024-03-01T\t1:00:00Z", "0000-01-01T00:00:00Z"])
def test_python_and_sql_parse_any_text_alike(con: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    texts = [text.replace("\0", "") for text in texts]
    for text, (found, reason) in zip(texts, in_sql(con, texts), strict=True):
        assert parse(text) == found, repr(text)
        if TimeFormat().parse_instant(text) is None:
            assert reason == TimeFormat().fault_of(text), repr(text)


def of(con: duckdb.DuckDBPyConnection, zone: str, rows: list[tuple[str, str]]) -> list[datetime | None]:
    stations, texts = (pa.chunked_array([list(column)], pa.string()) for column in zip(*rows, strict=True))
    return list(Instants(con, TimeFormat(zone=zone)).of(texts, stations).to_pylist())


def test_repeated_hour_is_resolved_by_order(con: duckdb.DuckDBPyConnection) -> None:
    """The rows of shared/cases/10-local-time."""
    rows = [("M1", f"2024-10-27 0{hour}:00") for hour in (0, 1, 2, 2, 3, 4, 5, 6)]
    hours = [datetime(2024, 10, 26, 22, tzinfo=UTC) + timedelta(hours=hour) for hour in range(8)]
    assert of(con, "Europe/Amsterdam", rows) == hours
    both = [(station, text) for _, text in rows for station in ("M1", "M2")]
    assert of(con, "Europe/Amsterdam", both) == [hour for hour in hours for _ in range(2)], "each station has its clock"


def test_order_of_repeated_hour_spans_tables_of_one_delivery(con: duckdb.DuckDBPyConnection) -> None:
    reader, texts = (
        Instants(con, TimeFormat(zone="Europe/Amsterdam")),
        pa.chunked_array([["2024-10-27 02:30", "2024-10-27T02:30+01:00"]]),
    )
    stations = pa.chunked_array([["M1", "M1"]])
    first, second = (reader.of(texts, stations).to_pylist() for _ in range(2))
    later = datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    assert first == [later - timedelta(hours=1), later]
    assert second == [later, later]


def test_skipped_hour_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    rows = [("M1", "2024-03-31 01:59"), ("M1", "2024-03-31 02:30"), ("M1", "2024-03-31 03:00")]
    before, skipped, after = of(con, "Europe/Amsterdam", rows)
    assert (before, skipped) == (datetime(2024, 3, 31, 0, 59, tzinfo=UTC), None)
    assert after == datetime(2024, 3, 31, 1, tzinfo=UTC)
    assert TimeFormat(zone="Europe/Amsterdam").fault_of("2024-03-31 02:30") == "skipped"


walls = st.integers(-20 * 525_960, 90 * 525_960).map(  # minutes from 1950 to 2060
    lambda minute: (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).replace(tzinfo=None)
)
zones = ("Europe/Amsterdam", "America/Havana", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Kathmandu", "UTC")


@given(st.sampled_from(zones), st.lists(walls, min_size=1, unique=True))
def test_column_of_times_parses_like_single_texts(
    con: duckdb.DuckDBPyConnection, zone: str, shown: list[datetime]
) -> None:
    rows = [("A", wall.isoformat(sep=" ")) for wall in shown]
    assert of(con, zone, rows) == [TimeFormat(zone=zone).parse_instant(text) for _, text in rows]


@pytest.mark.parametrize("zone", zones[:4])
def test_quarter_hours_around_clock_change_are_read_once(con: duckdb.DuckDBPyConnection, zone: str) -> None:
    for begin in (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(366)):
        if (
            begin.astimezone(ZoneInfo(zone)).utcoffset()
            == (begin + timedelta(days=1)).astimezone(ZoneInfo(zone)).utcoffset()
        ):
            continue
        instants = [begin + timedelta(minutes=15 * step) for step in range(-96, 192)]
        rows = [("A", f"{each.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}") for each in instants]
        assert of(con, zone, rows) == instants


def test_unknown_zone_is_named() -> None:
    assert zone_of(None) is None
    with pytest.raises(AeroCastError, match="Mars/Olympus"):
        zone_of("Mars/Olympus")
