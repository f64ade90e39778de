"""Spellings of time besides ISO 8601: what Python reads, SQL reads."""

from datetime import datetime

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.time_format import TimeFormat, format_mistake
from aerocast.common.times import to_microseconds, utc


@pytest.mark.parametrize("text", ["%d/%m/%Y %H:%M", "%Y%m%d", "%F %T", "%Y-%j", "%b %d %Y", "epoch", "excel", "iso"])
def test_format_that_says_a_day_is_valid(text: str) -> None:
    assert not format_mistake(text)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("%d/%m", "must say the year"),
        ("%Y-%m %H:%M", "must say the year (%Y), and the month (%m) and the day (%d) unless"),
        ("%Y %d", "must say the year"),
        ("%m", "must say the year"),
        ("seconds", "must be one of epoch, epoch_ms, epoch_us, excel, iso, or a format of strptime"),
        ("%Y-%m-%d %Q", "has %Q; allowed: %Y"),
        ("%Y-%m-%d %Y", "has %Y twice"),
    ],
)
def test_format_that_says_none_is_a_mistake(text: str, mistake: str) -> None:
    assert mistake in format_mistake(text)


formats = st.lists(
    st.sampled_from(
        ["excel", "epoch", "epoch_ms", "iso", "%d/%m/%Y %H:%M", "%m/%d/%y %H*", "%Y%m%d%H%M*", "%Y-%j %H%M%z"]
    ),
    min_size=1,
    max_size=4,
    unique=True,
)
digits = st.text("0123456789/-: .Ze+T", max_size=18)
spelt = st.datetimes(datetime(1950, 1, 1), datetime(2060, 1, 1)).flatmap(  # noqa: DTZ001  # of wall clocks
    lambda time: st.sampled_from(
        ["%d/%m/%Y %H:%M", "%m/%d/%y %H - 7", "%Y%m%d%H%M", "%Y-%j %H%M+0100", "%d/%m/%Y 24:00", "%m/%d/%y 24 x"]
    ).map(time.strftime)
)
numbers = st.one_of(st.integers(-(10**13), 10**13), st.floats(-1e6, 1e6).map(lambda x: round(x, 4))).map(str)


@pytest.mark.e2e
@given(formats, st.lists(st.one_of(digits, spelt, numbers), min_size=20, max_size=60))
def test_python_and_sql_read_times_alike_in_any_formats(declared_formats: list[str], texts: list[str]) -> None:
    reader = TimeFormat(declared_formats)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'America/New_York'")
        con.register("texts", pa.table({"t": pa.array(texts, pa.string())}))
        rows = con.sql(
            f"SELECT epoch_us({reader.sql_instant('t')}), epoch_us({reader.sql_wall_time('t')}) FROM texts"
        ).fetchall()
    for text, (instant, wall) in zip(texts, rows, strict=True):
        time = reader.parse(text)
        count = None if time is None else to_microseconds(utc(time))
        assert count == (wall if instant is None else instant), text
        assert time is None or (time.tzinfo is None) == (instant is None), text
