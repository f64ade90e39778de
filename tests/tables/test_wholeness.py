"""Which steps are whole: what is not over is no input and no outcome, and nothing is older than it must be."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.contracts import tail
from aerocast.features.grid import Grid, Progress, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.tables import silver, training, wholeness
from serving import inputs
from serving.loading import open_current, open_tail
from tests.factories.bronze import bronze, feed
from tests.factories.releases import publish
from tests.factories.tails import NEWEST, grid

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
START = datetime(2013, 1, 30, tzinfo=UTC)
MONTHS = ["2013-01", "2013-02"]
WHOLE = 30  # hours before the one that is asked in: more than a habit needs
HOURS = WHOLE + 10
Times = Sequence[datetime]


def every(interval: int, offset: int = 0, hours: float = HOURS) -> list[datetime]:
    """Readings each `interval` minutes from minute `offset` on."""
    return [START + minute * MINUTE for minute in range(offset, round(hours * 60), interval)]


def extent(con: duckdb.DuckDBPyConnection, declared: Feed, table: pa.Table, now: datetime) -> silver.Extent:
    times = table["time"].to_pylist()
    known = wholeness.of_readings(con, declared, con.from_arrow(table))
    return wholeness.extent(declared, (min(times), max(times)), known, now)


def rows(stations: dict[str, Times], until: datetime) -> pa.Table:
    """Temperatures that tell a mean of some readings from a mean of all."""
    return bronze(
        [
            {"station": station, "time": time, "temp": (time - START) / HOUR + (len(station) + time.minute) / 7}
            for station, times in stations.items()
            for time in times
            if time <= until
        ]
    )


def asked(
    con: duckdb.DuckDBPyConnection, stations: dict[str, Times], now: datetime, declared: Feed | None = None
) -> dict[str, Grid]:
    """The grids of what had arrived by `now`."""
    declared, table = declared or feed(), rows(stations, now)
    built = silver.build(con, declared, con.from_arrow(table), MONTHS, extent(con, declared, table, now))
    return silver.grids(con, declared, built)


def hours(grids: dict[str, Grid]) -> dict[str, int]:
    """How many whole hours since START each grid holds."""
    return {station: len(each.time) for station, each in grids.items()}


@settings(max_examples=8)
@given(interval=st.sampled_from([1, 5, 12, 20, 60]), offset=st.integers(0, 59), minute=st.integers(0, 59))
def test_forecast_within_step_uses_whole_steps(interval: int, offset: int, minute: int) -> None:
    """The grid at any minute, and the training rows, are those of the whole history up to where the grid ends."""
    offset %= interval
    now = START + WHOLE * HOUR + minute * MINUTE
    stations = {"A": every(interval, offset), "B": every(interval, offset)}
    spec = WindowSpec.of(feed(), "temp")
    with duckdb.connect() as con:
        whole, seen = asked(con, stations, START + 400 * HOUR), asked(con, stations, now)
        for station, partial in seen.items():
            count = len(partial.time)
            last = offset + (59 - offset) // interval * interval
            assert count == WHOLE + (minute >= last), "never older than the last step that is over"
            for name in ("time", "values", "age"):
                np.testing.assert_array_equal(getattr(partial, name), getattr(whole[station], name)[:count])
        made, told = (training.table(spec, grids, MONTHS).to_pandas() for grids in (seen, whole))
        known = made[made["y_temp_1"].notna()]
        told = told.set_index(["station", "time"]).loc[list(zip(known["station"], known["time"], strict=True))]
        np.testing.assert_array_equal(known["y_temp_1"], told["y_temp_1"])
        np.testing.assert_array_equal(known["temp_lag0"], told["temp_lag0"])


@pytest.mark.parametrize(("interval", "offset", "first"), [(60, 0, 0), (60, 53, 53), (20, 15, 55), (5, 0, 55)])
def test_step_is_whole_with_its_usual_last_reading(
    con: duckdb.DuckDBPyConnection, interval: int, offset: int, first: int
) -> None:
    """A station that reports once an hour is as new as its reading, at whatever minute it comes."""
    times = {"A": every(interval, offset), "B": every(interval, offset)}
    for minute in sorted({0, 5, first - 1, first, 59}):
        if minute >= 0:
            found = asked(con, times, START + WHOLE * HOUR + minute * MINUTE)
            assert hours(found) == dict.fromkeys("AB", WHOLE + (minute >= first)), minute


def test_special_report_does_not_replace_usual_one(con: duckdb.DuckDBPyConnection) -> None:
    times = [*every(60, 53, hours=WHOLE), START + WHOLE * HOUR + 20 * MINUTE, START + WHOLE * HOUR + 51 * MINUTE]
    for minute, count in ((20, WHOLE), (50, WHOLE), (51, WHOLE + 1)):
        assert len(asked(con, {"A": times}, START + WHOLE * HOUR + minute * MINUTE)["A"].time) == count


def test_late_station_is_not_counted_partly_and_delays_no_other(con: duckdb.DuckDBPyConnection) -> None:
    late = 50 * MINUTE
    for minute in (0, 5, 40, 50, 55):
        now = START + WHOLE * HOUR + minute * MINUTE
        times = {"A": every(5), "B": [time for time in every(5) if time <= now - late]}
        newest = max(times["B"]) - START
        whole = newest // HOUR + (newest % HOUR >= 55 * MINUTE)
        assert hours(asked(con, times, now)) == {"A": WHOLE + (minute >= 55), "B": whole}


def test_closed_step_with_few_readings_counts_after_later_reading(
    con: duckdb.DuckDBPyConnection,
) -> None:
    few = [*every(5, hours=WHOLE + 0.2), START + (WHOLE + 1) * HOUR]
    for minute, count in ((10, WHOLE), (55, WHOLE), (60, WHOLE + 1)):
        assert len(asked(con, {"A": few}, START + WHOLE * HOUR + minute * MINUTE)["A"].time) == count
    others = {"A": every(5, hours=WHOLE + 0.2), "B": every(5)}
    assert hours(asked(con, others, START + (WHOLE + 1) * HOUR)) == {"A": WHOLE, "B": WHOLE + 1}
    found = asked(con, others, START + (WHOLE + 2) * HOUR)
    assert hours(found) == {"A": WHOLE + 2, "B": WHOLE + 2}, "B has a whole step beyond it"
    assert found["A"].age[-2:, 0].tolist() == [0, 1]


def test_silent_station_is_awaited_for_freshness_limit(con: duckdb.DuckDBPyConnection) -> None:
    times, end = {"A": every(5, hours=WHOLE + 0.2)}, START + (WHOLE + 1) * HOUR
    assert hours(asked(con, times, end))["A"] == WHOLE
    assert hours(asked(con, times, end + feed().freshness - MINUTE))["A"] == WHOLE
    assert hours(asked(con, times, end + feed().freshness))["A"] == WHOLE + 1


def test_past_step_without_reading_is_gap(con: duckdb.DuckDBPyConnection) -> None:
    times = {"A": every(60), "B": every(60, hours=WHOLE)}
    assert hours(asked(con, times, START + WHOLE * HOUR + 30 * MINUTE)) == {"A": WHOLE + 1, "B": WHOLE}
    found = asked(con, times, START + (WHOLE + 1) * HOUR - MINUTE)
    assert hours(found) == {"A": WHOLE + 1, "B": WHOLE}
    assert hours(asked(con, times, START + (WHOLE + 1) * HOUR)) == {"A": WHOLE + 2, "B": WHOLE + 1}


def test_recording_at_its_end_has_whole_steps_only(con: duckdb.DuckDBPyConnection) -> None:
    times = {"A": every(5, hours=WHOLE + 0.2)}
    ended = feed(end="2013-01-31T06:30:00Z")
    assert ended.end
    assert len(asked(con, times, ended.end - MINUTE, ended)["A"].time) == WHOLE
    assert len(asked(con, times, ended.end, ended)["A"].time) == WHOLE + 1
    assert len(asked(con, times, datetime(2026, 1, 1, tzinfo=UTC))["A"].time) == WHOLE + 1


def test_new_feed_has_no_habit(con: duckdb.DuckDBPyConnection) -> None:
    """The first step is there from the start, too little for any window; the second waits for a habit or more."""
    for minute, count in ((5, 1), (59, 1), (60, 1), (75, 1), (115, 2), (120, 2)):
        assert len(asked(con, {"A": every(5)}, START + minute * MINUTE)["A"].time) == count, minute


def test_daily_grid_of_hourly_readings_is_whole(con: duckdb.DuckDBPyConnection) -> None:
    daily = feed(cadence="P1D", seasons=["P7D"], horizons=[1], window={"steps": 2, "columns": ["temp"], "look_back": 7})
    for hour, days in ((22, 1), (23, 2)):
        assert (
            len(asked(con, {"A": every(60, hours=50)}, START + timedelta(days=1, hours=hour), daily)["A"].time) == days
        )


# What the server says of it ------------------------------------------------------------------------------------------


def progress(readings: int, *, newer: bool = False, step: np.datetime64 = NEWEST) -> Progress:
    hour = np.timedelta64(1, "h")
    label = step + hour * newer
    counts, usual = np.full(3, readings, dtype=np.int64), np.full(3, 12, dtype=np.float32)
    return Progress(label, label + np.timedelta64(5, "m"), not newer, counts, usual)


def with_progress(station: str, given: Progress | None) -> Grid:
    made = grid(station)
    return Grid(made.station, made.time, made.columns, made.values, made.age, given)


def test_progress_round_trips_with_tail(tmp_path: Path) -> None:
    tail.write_grids(tmp_path, "noaa", {"JFK": with_progress("JFK", progress(3)), "LGA": grid("LGA")})
    found = tail.read_grids(tmp_path, "noaa")
    assert found["LGA"].progress is None
    kept, given = found["JFK"].progress, progress(3)
    assert kept
    assert (kept.step, kept.reading, bool(kept.full)) == (given.step, given.reading, given.full)
    np.testing.assert_array_equal(kept.readings, given.readings)
    np.testing.assert_array_equal(kept.usual, given.usual)


def test_tail_without_progress_is_read(tmp_path: Path) -> None:
    tail.write_grids(tmp_path, "noaa", {"JFK": with_progress("JFK", progress(3))})
    path = tmp_path / tail.document_name("noaa")
    with np.load(path) as arrays:
        older: dict[str, Any] = {key: arrays[key] for key in arrays if key not in tail.PROGRESS}
    np.savez(path, **older)
    assert tail.read_grids(tmp_path, "noaa")["JFK"].progress is None


@pytest.mark.parametrize(
    ("given", "whole", "fullness", "codes", "notes"),
    [
        (progress(12), True, 1.0, [], 0),
        (progress(14), True, 1.0, [], 0),
        (progress(3), True, 0.25, ["thin_step"], 0),
        (progress(2, newer=True), False, 0.1667, [], 1),
    ],
)
def test_answer_reports_fill_of_newest_step(
    tmp_path: Path, given: Progress, whole: bool, fullness: float, codes: list[str], notes: int
) -> None:
    publish(tmp_path)
    tail.write_grids(tmp_path, "noaa", {"JFK": with_progress("JFK", given)})
    served, read = open_current(tmp_path, ("noaa", "temperature")), open_tail(tmp_path, "noaa")
    found = inputs.of_station(served, read, "JFK")
    assert found.grid.time[found.origin] == NEWEST
    assert found.newest
    assert (found.newest.whole, found.newest.fullness, found.newest.usual) == (whole, fullness, 12)
    assert [reason.code for reason in found.reasons] == codes
    assert len(found.notes) == notes
    assert read.newest["JFK"] == given.reading


def test_station_with_step_in_progress_is_not_stale(tmp_path: Path) -> None:
    publish(tmp_path)
    for behind, codes in ((0, []), (1, []), (2, ["stale_station"])):
        later = grid("LGA", newest=NEWEST + np.timedelta64(behind, "h"))
        tail.write_grids(tmp_path, "noaa", {"JFK": grid("JFK"), "LGA": later})
        served, read = open_current(tmp_path, ("noaa", "temperature")), open_tail(tmp_path, "noaa")
        assert [reason.code for reason in inputs.of_station(served, read, "JFK").reasons] == codes
