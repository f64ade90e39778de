"""Seasons and calendars: the same local hour of past days and weeks, the day of week, holidays, operating hours."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.opening_hours import parse
from aerocast.common.times import from_numpy, to_numpy
from aerocast.features import calendar, seasons
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Grid, Holidays, Place, WindowSpec
from aerocast.features.windows import sequence_grid

BERLIN = ZoneInfo("Europe/Berlin")
HOURS = 24 * 7 * 12
SPEC = WindowSpec(
    target="load",
    columns=("load",),
    labels=("load",),
    covariates=(),
    steps=5,
    look_back=24 * 14 + 1,
    season=24,
    cadence=3600,
    horizons=(1, 23, 24, 36),
    places=(Place("here", "Europe/Berlin", holidays="DE"),),
    seasons=(24, 168),
    holidays=(Holidays("DE", ("2024-03-29", "2024-04-01", "2024-05-01")),),
    operating_hours=("Mo-Fr 06:00-22:30", "Sa 20:00-02:00", "PH off"),
)
NAMES = feature_names(SPEC)


def series(start: str = "2024-02-20") -> Grid:
    """Values are their own index, so that a feature says which step it came from."""
    time = np.datetime64(start, "s") + np.arange(HOURS) * np.timedelta64(3600, "s")
    values = np.arange(HOURS, dtype=np.float32)[:, None]
    return Grid("here", time, ("load",), values, np.zeros_like(values))


SPRING, AUTUMN = series(), series("2024-09-20")


def row(grid: Grid, origin: int) -> dict[str, float]:
    return dict(zip(NAMES, features(SPEC, grid, np.array([origin]))[0].tolist(), strict=True))


@given(origin=st.integers(24 * 15, HOURS - 40), grid=st.sampled_from([SPRING, AUTUMN]))
def test_season_before_target_has_its_local_hour_and_is_known_at_origin(origin: int, grid: Grid) -> None:
    found, start = row(grid, origin), from_numpy(grid.time[0])
    for season in SPEC.seasons:
        for horizon in SPEC.horizons:
            target = (start + timedelta(hours=origin + horizon)).astimezone(BERLIN)
            at = found[f"load_season{season}_{horizon}"]
            if np.isnan(at):
                continue  # an hour more than the look-back covers
            before = (start + timedelta(hours=at)).astimezone(BERLIN)
            assert at <= origin
            assert (target.date() - before.date()).days % (season // 24) == 0
            skipped = (before.replace(tzinfo=None) - target.replace(tzinfo=None)).seconds in (3600, 82_800)
            assert before.time() == target.time() or (skipped and before.date() in CHANGES | {target.date()})
            assert origin - at < max(season, 48) + 2


CHANGES = {date(2024, 3, 31), date(2024, 10, 27)}


def test_day_of_23_hours_shortens_way_back() -> None:
    noon = int((to_numpy(datetime(2024, 3, 31, 10, tzinfo=UTC)) - SPRING.time[0]) / np.timedelta64(1, "h"))
    found = row(SPRING, noon - 1)  # the target is noon by Berlin's clock, after the change in the night
    assert found["load_season24_1"] == noon - 23
    assert found["load_season168_1"] == noon - 167
    assert found["load_season24_1_2"] == noon - 47
    # A day ahead of noon the day before: 23 hours before the target is later than the origin.
    assert row(SPRING, noon - 24)["load_season24_24"] == noon - 47


@given(origin=st.integers(SPEC.look_back - 1, HOURS - 1), seed=st.integers(0, 9))
def test_newest_rows_give_features_of_whole_history_bit_by_bit(origin: int, seed: int) -> None:
    made = np.random.default_rng(seed).random((HOURS, 1), dtype=np.float32)
    whole = replace(SPRING, values=made)
    rows = slice(origin - SPEC.look_back + 1, origin + 1)
    tail = replace(whole, time=whole.time[rows], values=whole.values[rows], age=whole.age[rows])
    later = replace(whole, values=np.where(np.arange(HOURS)[:, None] > origin, np.float32(np.inf), made))
    expected = features(SPEC, whole, np.array([origin]))
    np.testing.assert_array_equal(expected, features(SPEC, tail, np.array([SPEC.look_back - 1])))
    np.testing.assert_array_equal(expected, features(SPEC, later, np.array([origin])))
    many = features(SPEC, whole, np.arange(origin - 5, origin + 1))
    np.testing.assert_array_equal(expected[0], many[-1])


def test_without_time_seasons_count_steps_and_calendar_is_unknown() -> None:
    sequence = np.arange(SPEC.look_back, dtype=np.float32)[:, None]
    newest = SPEC.look_back - 1
    found = row(sequence_grid(SPEC, sequence), newest)
    assert found["load_season168_1"] == newest - 167
    assert found["load_season24_36"] == newest - 12
    assert all(np.isnan(found[name]) for name in calendar.names(SPEC))


def test_calendar_is_that_of_target_by_local_clock() -> None:
    def at(moment: datetime) -> dict[str, float]:
        origin = int((to_numpy(moment) - SPRING.time[0]) / np.timedelta64(1, "h"))
        return row(SPRING, origin)

    friday = at(datetime(2024, 3, 28, 22, tzinfo=UTC))  # 23:00 on Thursday: Good Friday is an hour ahead
    assert (friday["fr_1"], friday["th_1"], friday["holiday_1"], friday["open_1"]) == (1, 0, 1, 0)
    assert (friday["sa_36"], friday["holiday_36"]) == (1, 0)
    evening = at(datetime(2024, 4, 5, 19, tzinfo=UTC))  # 21:00 on Friday
    assert (evening["open_1"], evening["fr_1"]) == (0.5, 1)
    night = at(datetime(2024, 4, 6, 22, tzinfo=UTC))  # midnight before Sunday: Saturday is open until 2
    assert (night["open_1"], night["su_1"], night["open_23"]) == (1, 1, 0)


def test_feed_without_weeks_has_no_calendar_features() -> None:
    plain = msgspec.structs.replace(SPEC, seasons=(24,), holidays=(), operating_hours=())
    assert calendar.names(plain) == []
    own = [name for name in feature_names(plain) if name.startswith("load_season")]
    assert own == [*seasons.names(plain), *seasons.history_names(plain)]
    assert len(feature_names(msgspec.structs.replace(SPEC, look_back=24 * 60))) < len(NAMES) + 10, "few lags of many"


@pytest.mark.parametrize(
    ("rule", "days", "spans"),
    [
        ("06:00-22:00", [0, 1, 2, 3, 4, 5, 6], [(360, 1320)]),
        ("Sa,Su 8:00-12:00,13:00-24:00", [5, 6], [(480, 720), (780, 1440)]),
        ("Fr-Mo 22:00-04:00", [4, 5, 6, 0], [(1320, 1680)]),
        ("PH off", [7], []),
    ],
)
def test_operating_hours_are_read(rule: str, days: list[int], spans: list[tuple[int, int]]) -> None:
    assert parse(rule) == (days, spans)


@pytest.mark.parametrize("rule", ["", "Mon 06:00-22:00", "6-22", "Mo-Fr", "25:00-26:00", "Mo 06:00-22:00;", "off Mo"])
def test_wrong_operating_hours_are_named(rule: str) -> None:
    with pytest.raises(ValueError, match="not allowed: write days and hours"):
        parse(rule)
