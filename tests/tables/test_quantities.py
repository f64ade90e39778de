"""What a step's value is: sums add up or are missing, counters never count backwards, and nothing later decides."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.tables import silver, sliding
from aerocast.tables.layers import layers_called
from tests.factories.bronze import bronze, feed
from tests.factories.cases import case
from tests.harness.deliveries import LATER, Deliveries, refresh

Row = dict[str, Any]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
START = datetime(2013, 1, 31, 18, tzinfo=UTC)
MONTHS = ["2013-01", "2013-02"]


def declared(quantity: str, **changes: Any) -> Feed:
    """A feed whose temperature is a quantity of another kind."""
    own = {"name": "temp", "field": "temp", "source_unit": "kWh", "unit": "kWh", "range": [-1e6, 1e6]}
    own |= {"quantity": quantity} | changes.pop("column", {})
    others = [column.model_dump(mode="json", exclude_unset=True) for column in feed().columns[1:]]
    return feed(columns=[own, *others], **changes)


def at(minutes: Sequence[float], values: Sequence[float | None]) -> list[Row]:
    return [{"time": START + m * MINUTE, "temp": v} for m, v in zip(minutes, values, strict=True)]


def build(rows: Sequence[Row], own: Feed, months: Sequence[str] = MONTHS) -> list[Row]:
    table = bronze(rows)
    with duckdb.connect() as con:
        span = silver.Extent.of_recording(own, START, START + 9 * HOUR)
        made = silver.build(con, own, con.from_arrow(table), months, span).to_arrow_table().to_pylist()
    return sorted((row for row in made if row["station"] == "A"), key=lambda row: row["time"])


def values(rows: Sequence[Row], own: Feed, steps: int) -> list[float | None]:
    """The measured values of the first steps."""
    return [row["temp"] if row["temp_age"] == 0 else None for row in build(rows, own)[:steps]]


def test_half_hours_of_energy_add_up() -> None:
    rows = at([0, 30, 60, 90], [0.4, 0.7, 0.3, 0.1])
    assert values(rows, declared("sum"), 2) == pytest.approx([1.1, 0.4])
    step = build(rows, declared("sum"))[0]
    assert (step["temp_mean"], step["temp_count"]) == (pytest.approx(0.55), 2)
    assert values(rows, declared("mean"), 2) == pytest.approx([0.55, 0.2])


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("instant", [2.0, 5.5]), ("last", [1.0, 6.0]), ("min", [1.0, 5.0]), ("max", [3.0, 6.0]), ("sum", [6.0, None])],
)
def test_quantity_says_what_a_step_is(quantity: str, expected: list[float | None]) -> None:
    own = declared(quantity, column={} if quantity != "sum" else {"min_readings": 3})
    assert values(at([0, 20, 40, 60, 100], [3.0, 2.0, 1.0, 5.0, 6.0]), own, 2) == expected


def test_lost_half_hour_is_gap_and_not_half_the_energy() -> None:
    rows = at([0, 30, 60, 120, 150, 180, 240, 270], [1.0] * 8)
    own = declared("sum")
    assert values(rows, own, 5) == [2.0, None, 2.0, None, 2.0]
    filled = build(rows, own)[1]
    assert (filled["temp"], filled["temp_age"], filled["temp_count"]) == (2.0, 1, 1)


def test_step_with_half_of_its_readings_is_not_zero() -> None:
    own = declared("sum", column={"gap": "zero"})
    rows = build(at([0, 30, 60, 180, 210], [1.0] * 5), own)[:4]
    assert [(row["temp"], row["temp_age"]) for row in rows] == [(2.0, 0), (None, None), (0.0, 2), (2.0, 0)]


def test_null_reading_is_no_part_of_a_sum() -> None:
    assert values(at([0, 30, 60, 90], [1.0, 2.0, 3.0, None]), declared("sum"), 2) == [3.0, None]


def test_early_and_late_readings_are_still_all() -> None:
    assert values(at([1, 29, 62, 91, 122, 149], [1.0] * 6), declared("sum"), 3) == [2.0, 2.0, 2.0]


def test_one_reading_a_step_is_a_whole_sum() -> None:
    assert values(at([5, 65, 185, 245], [1.0, 2.0, 3.0, 4.0]), declared("sum"), 5) == [None, 2.0, None, 3.0, 4.0]


@pytest.mark.parametrize("late", [15, 30, 45])
def test_feed_that_begins_within_a_step_has_no_half_sum(late: int) -> None:
    minutes = [float(late + 15 * quarter) for quarter in range(20)]
    made = values(at(minutes, [1.0] * 20), declared("sum", seasons=["PT1H"]), 4)
    assert made == [None, 4.0, 4.0, 4.0]
    assert values(at([30, 60, 90, 120, 150], [1.0] * 5), declared("sum"), 3) == [None, 2.0, 2.0]


def test_sums_of_longer_than_a_step_are_where_they_were_sent() -> None:
    rows = at([0, 180, 360], [3.0, 4.0, 5.0])
    assert values(rows, declared("sum"), 7) == [None, None, None, 4.0, None, None, 5.0]


def test_source_that_changes_its_interval_is_followed() -> None:
    hourly, quarters = [60.0 * hour for hour in range(5)], [300 + 15.0 * quarter for quarter in range(16)]
    own = declared("sum", seasons=["PT1H"])
    assert values(at([*hourly, *quarters], [1.0] * 21), own, 9) == [None] + [1.0] * 4 + [4.0] * 4


def test_events_are_summed_where_one_reading_is_enough() -> None:
    own = declared("sum", column={"min_readings": 1})
    assert values(at([3, 5, 6, 61, 122, 170], [0.2] * 6), own, 3) == pytest.approx([0.6, 0.2, 0.4])


def test_counter_is_what_it_counted() -> None:
    assert values(at([0, 60, 120, 180], [100.0, 103.0, 103.0, 110.0]), declared("counter"), 4) == [None, 3.0, 0.0, 7.0]


def test_counter_telescopes_over_readings_within_steps() -> None:
    minutes = [10.0 * i for i in range(24)]
    made = values(at(minutes, [5.0 * i for i in range(24)]), declared("counter"), 4)
    assert made == [None, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("total", [0.0, 2.0, 90.0])
def test_reset_or_exchanged_meter_is_new_beginning(total: float) -> None:
    rows = at([0, 60, 120, 180, 240], [100.0, 103.0, total, total + 4, total + 5])
    assert values(rows, declared("counter"), 5) == [None, 3.0, None, 4.0, 1.0]


def test_reset_counts_from_zero_where_that_is_credible() -> None:
    rows = at([0, 60, 120, 180], [100.0, 103.0, 2.0, 6.0])
    assert values(rows, declared("counter", column={"max_step": 10}), 4) == [None, 3.0, 2.0, 4.0]
    assert values(rows, declared("counter", column={"max_step": 1.5}), 4) == [None, None, None, None]


def test_glitch_of_total_is_not_consumption() -> None:
    rows = at([0, 60, 120, 180, 240], [1000.0, 1001.0, 0.0, 1003.0, 1004.0])
    assert values(rows, declared("counter"), 5) == [None, 1.0, None, None, 1.0]


def test_exchanged_meter_with_higher_total_is_seen_by_largest_step() -> None:
    rows = at([0, 60, 120, 180], [100.0, 103.0, 9000.0, 9002.0])
    assert values(rows, declared("counter", column={"max_step": 50}), 4) == [None, 3.0, None, 2.0]


def test_difference_over_gap_is_in_no_step() -> None:
    rows = at([0, 60, 240, 300], [100.0, 103.0, 112.0, 114.0])
    assert values(rows, declared("counter"), 6) == [None, 3.0, None, None, None, 2.0]
    frequent = at([0, 10, 20, 30, 40, 50, 60, 70, 160, 170, 180, 230], [float(i) for i in range(12)])
    assert values(frequent, declared("counter"), 4) == [None, None, None, 2.0], "70 to 160 is in neither step"


readings = st.lists(
    st.tuples(st.integers(0, 56), st.none() | st.integers(0, 50).map(float)), max_size=40, unique_by=lambda row: row[0]
)
KINDS = st.sampled_from(["sum", "counter", "last", "max"])


@pytest.mark.e2e
@given(rows=readings, now=st.integers(1, 8), later=readings, quantity=KINDS)
def test_later_readings_change_no_earlier_step(rows: Any, now: int, later: Any, quantity: str) -> None:
    own, border = declared(quantity), now * 6
    changed = [row for row in rows if row[0] < border] + [row for row in later if row[0] >= border]
    first, second = (
        build(at([10.0 * row[0] for row in part], [row[1] for row in part]), own)[:now] for part in (rows, changed)
    )
    assert first == second


@pytest.mark.e2e
@settings(max_examples=settings.default.max_examples // 4)
@given(rows=readings, policy=st.integers(0, 4), quantity=KINDS)
def test_months_made_alone_equal_months_made_together(rows: Any, policy: int, quantity: str) -> None:
    own = declared(quantity, gap_policy={"max_steps": policy})
    table = at([10.0 * row[0] for row in rows], [row[1] for row in rows])
    near = [row for row in table if row["time"] >= datetime(2013, 2, 1, tzinfo=UTC) - silver.lookback(own)]
    assert build(table, own, ["2013-01"]) + build(near, own, ["2013-02"]) == build(table, own)


@pytest.mark.e2e
@given(steps=st.lists(st.integers(0, 30), min_size=4, max_size=50))
def test_counter_without_reset_adds_up_to_what_it_counted(steps: list[int]) -> None:
    totals = [float(sum(steps[: i + 1])) for i in range(len(steps))]
    made = values(at([10.0 * i for i in range(len(steps))], totals), declared("counter"), (len(steps) - 1) // 6)
    assert made[:1] in ([], [None])
    ends = [totals[6 * step + 5] for step in range(len(made))]
    assert made[1:] == pytest.approx([b - a for a, b in pairwise(ends)])


@pytest.mark.e2e
@given(rows=readings)
def test_counter_never_counts_backwards(rows: Any) -> None:
    made = build(at([10.0 * row[0] for row in rows], [row[1] for row in rows]), declared("counter"))
    assert all(row["temp"] is None or row["temp"] >= 0 for row in made)


def test_sliding_windows_have_the_value_too() -> None:
    own = declared("sum", sliding={"size": "PT1H", "every": "PT30M", "watermark": "PT0S"})
    table = bronze(at([0, 30, 60, 90, 150, 180], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    with duckdb.connect() as con:
        made = sliding.build(con, own, con.from_arrow(table), MONTHS, START + 4 * HOUR)
        rows = made.order("time").to_arrow_table().to_pylist()
    assert [row["temp_value"] for row in rows if row["time"] >= START] == [3.0, 5.0, 7.0, None, None, 11.0, None]
    counter = declared("counter", sliding={"size": "PT1H", "every": "PT30M", "watermark": "PT0S"})
    totals = bronze(at([0, 30, 60, 90], [1.0, 2.0, 4.0, 8.0]))
    with duckdb.connect() as con:
        made = sliding.build(con, counter, con.from_arrow(totals), MONTHS, START + 4 * HOUR)
        rows = made.order("time").to_arrow_table().to_pylist()
    assert [row["temp_value"] for row in rows if row["time"] >= START] == [None, 3.0, 6.0, None]


def test_declared_quantity_makes_silver_again_and_others_do_not() -> None:
    plain, mean, total, last = (
        layers_called(each, "silver")[0].declaration
        for each in (declared("instant"), declared("mean"), declared("sum"), declared("last"))
    )
    assert "quantities" not in plain
    assert plain == mean
    assert total != last


def test_case_08_energy_and_rain_add_up(home: Path, con: duckdb.DuckDBPyConnection) -> None:
    own = case("08-energy-and-rain-are-sums")
    made = Deliveries(home, own)
    made()
    refresh(con, made.lake, own, own.clock(LATER), "silver")
    rows = made.rows("silver")
    assert len(rows) > 2
    assert [(row["energy"], row["rain"]) for row in rows] == [pytest.approx((1.1, 0.4))] * len(rows)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"quantity": "total"}, "columns[0].quantity: 'total' is not allowed"),
        ({"quantity": "sum", "min_readings": 0}, "columns[0].min_readings: 0 is not allowed"),
        ({"quantity": "counter", "min_readings": 2}, "columns[0].min_readings: 2 is not allowed for a counter"),
        ({"gap": "linear"}, "columns[0].gap: 'linear' is not allowed"),
        ({"gap": "interpolate", "circular": True}, "columns[0].gap: 'interpolate' is not allowed for an angle"),
        ({"quantity": "sum", "circular": True}, "columns[0].quantity: 'sum' is not allowed for an angle"),
    ],
)
def test_mistakes_name_field_value_and_rule(change: Row, says: str) -> None:
    with pytest.raises(AeroCastError) as caught:
        declared("instant", column=change)
    assert says in str(caught.value)
