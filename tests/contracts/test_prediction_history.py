"""The exported history of predictions: what the platform writes is read from any time on, in one order."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.contracts import prediction_history
from aerocast.contracts.prediction_history import Key, months, rows
from aerocast.lake import Lake
from aerocast.monitoring.evaluation import history, outcomes
from aerocast.monitoring.evaluation.intake import take_segments
from tests.factories.feeds import small_feed
from tests.factories.history import past, write_months
from tests.factories.predictions import HOUR, T0, answer, posted_outcome, segment, silver

TIMES = st.builds("2024-03-{:02d}T{:02d}:00:00Z".format, st.integers(1, 28), st.integers(0, 23))
ROWS = st.lists(
    st.builds(
        past,
        TIMES,
        station=st.text('A",é\n', max_size=4),
        horizon=st.integers(0, 30),
        id=st.text("ab", max_size=2),
        reasons=st.sampled_from(["", "gap_filled; stale_feed", "2024-03-09T00:00:00Z,"]),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=40)
@given(ROWS, TIMES, st.sampled_from([0, 1, 100, 1000, 1 << 20]))
def test_rows_from_a_time_are_those_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, table: list[dict[str, str]], start: str, near: int
) -> None:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_history, "NEAR", near)
        for path in write_months(home, table):
            later = [row for row in sorted(table, key=Key.of) if row["time"] >= start]
            assert [Key.of(row) for row in rows(path, start)] == [Key.of(row) for row in later]


def test_few_bytes_of_a_long_month_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = [f"2024-03-{day:02d}T{hour:02d}:00:00Z" for day in range(1, 29) for hour in range(24)]
    (path,) = write_months(tmp_path, [past(hour, horizon=horizon) for hour in hours for horizon in range(40)])
    lines, whole = [], path.read_bytes().count(b"\n")
    original = prediction_history._records
    monkeypatch.setattr(prediction_history, "_records", lambda *a: (lines.append(1) or line for line in original(*a)))
    assert next(rows(path, "2024-03-20T00:00:00Z"))["time"] == "2024-03-20T00:00:00Z"
    assert len(lines) < whole / 50


def test_export_of_evaluation_is_in_the_order_of_keys(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Also where moments differ by less than what is printed of them, and for pairs without a station."""
    lake, feed = Lake(home), small_feed(home / "none.csv")
    silver(lake, {T0 + hour * HOUR: 40.0 + hour for hour in range(9)})
    records = [
        answer(name, T0 + hour * HOUR, {1: 44.0, 2: 45.0}) for hour in range(4) for name in (f"b{hour}", f"a{hour}")
    ]
    pairs = [
        posted_outcome(41.0, None, None, T0 + timedelta(milliseconds=5 - number), predicted=40.0) for number in range(4)
    ]
    segment(home, "s", [*records, *pairs])
    take_segments(con, lake, home, "small")
    outcomes.refresh(con, lake, feed)
    folder = history.write(con, lake, home, feed)
    assert (folder, months(home, "small")) == (prediction_history.place(home, "small"), ["2024-03"])
    keys = [Key.of(row) for row in rows(folder / "2024-03.csv", "2024-01-01T00:00:00Z")]
    assert len(keys) >= 10
    assert keys == sorted(keys)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (path,) = write_months(tmp_path, [past("2024-03-01T00:00:00Z")])
    whole = path.read_text()
    for text in ("", "a,b\n1,2\n", whole + "2024-03-02T00:00:00Z,1\n", whole + "x" * (1 << 17)):
        path.write_text(text)
        with pytest.raises(AeroCastError, match=r"2024-03\.csv"):
            list(rows(path, "2024-01-01T00:00:00Z"))


def test_no_export_is_no_months(tmp_path: Path) -> None:
    assert months(tmp_path, "noaa") == []
