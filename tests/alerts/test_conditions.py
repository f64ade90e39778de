"""Conditions: what is one, what is none, and what cannot be said."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.alerts import conditions
from aerocast.contracts.alarms import Condition, Heartbeat, Judgement, key_of
from aerocast.contracts.drift_state import Heat
from aerocast.contracts.loop_notes import PastDecision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATE = NOW - 5 * HOUR


def test_station_later_than_patience_is_told_by_its_name() -> None:
    own = conditions.silence("noaa", {"JFK": NOW - HOUR, "LGA": LATE}, 3 * HOUR, NOW, None)
    (one,) = own.conditions
    assert (one.kind, one.feed, one.station, one.since) == ("station_silent", "noaa", "LGA", LATE)
    assert one.sentence == (
        "noaa: LGA is silent: its newest reading is 5 hours old, of 2025-12-31 19:00 UTC; 3 hours are allowed"
    )


def test_feed_of_which_every_station_is_late_is_told_once() -> None:
    own = conditions.silence("noaa", {"JFK": None, "LGA": LATE}, 3 * HOUR, NOW, None)
    assert [each.kind for each in own.conditions] == ["feed_silent"]
    assert own.is_unclear(key_of("station_silent", "noaa", None, "LGA", None)), "its stations stay as they are"
    assert not own.is_unclear(key_of("station_silent", "noaa2", None, "LGA", None))


def test_many_late_stations_are_one_condition() -> None:
    late = {f"s{number:02}": LATE for number in range(conditions.MOST_STATIONS + 1)}
    (one,) = conditions.silence("net", late | {"t": NOW}, 3 * HOUR, NOW, None).conditions
    assert one.kind == "feed_silent"
    assert "11 of 12 stations (s00, s01, s02, s03, s04, ...)" in one.sentence


def test_recording_that_has_ended_is_not_silent() -> None:
    assert conditions.silence("noaa", {"JFK": LATE}, HOUR, NOW, end=NOW) == Judgement()


@given(st.dictionaries(st.text(max_size=4), st.none() | st.integers(-100, 100), max_size=30), st.integers(0, 50))
def test_silence_is_told_exactly_if_a_station_is_late(ages: dict[str, int | None], patience: int) -> None:
    newest = {station: None if age is None else NOW - age * HOUR for station, age in ages.items()}
    own = conditions.silence("noaa", newest, patience * HOUR, NOW, None)
    late = {station for station, age in ages.items() if age is None or age > patience}
    stations = {each.station for each in own.conditions if each.kind == "station_silent"}
    assert bool(own.conditions) == bool(late)
    assert stations in (set(), late)
    assert len({each.key for each in own.conditions}) == len(own.conditions) <= conditions.MOST_STATIONS


def test_drift_and_what_did_not_help() -> None:
    heat = Heat("temperature", hot=True, edges=2, since=LATE)
    (hot,) = conditions.hot("noaa", heat, "JFK: RMSE 3.4").conditions
    assert (hot.kind, hot.target, hot.since) == ("drift_hot", "temperature", LATE)
    assert conditions.hot("noaa", Heat("temperature"), "") == Judgement()
    (useless,) = conditions.useless("noaa", "temperature", False, "hot: has not helped", LATE).conditions
    assert useless.kind == "retrain_useless"
    assert conditions.useless("noaa", "temperature", True, "cool", None) == Judgement()


def decision(**changes: object) -> PastDecision:
    return PastDecision(NOW, "a verdict", "a reason", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("newest", "kind"),
    [
        (None, None),
        (decision(test_rows=90), "release_refused"),
        (decision(test_rows=90, promoted=True, version="2", incumbent="1"), None),
        (decision(test_rows=90, hold="a person holds it"), None),
        (decision(promoted=True, version="2", incumbent="1"), "release_withdrawn"),
        (decision(promoted=True, version="1"), None),
        (decision(promoted=True, version="1", incumbent="1"), None),
    ],
)
def test_newest_decision_stands(newest: PastDecision | None, kind: str | None) -> None:
    own = conditions.decision("noaa", "temperature", newest)
    assert [each.kind for each in own.conditions] == ([kind] if kind else [])
    assert own.unclear == ()


def test_hold_that_ends_says_nothing_of_what_was_before() -> None:
    own = conditions.decision("noaa", "temperature", decision(version="1"))
    assert own.is_unclear(Condition("release_refused", "", "noaa", "temperature").key)
    assert not own.is_unclear(Condition("release_refused", "", "noaa", "wind").key)


def test_disk_at_the_limit_does_not_come_and_go() -> None:
    assert conditions.disk(49, 1000, 0.05, is_open=False).conditions
    assert not conditions.disk(51, 1000, 0.05, is_open=False).conditions
    assert conditions.disk(51, 1000, 0.05, is_open=True).conditions
    assert not conditions.disk(71, 1000, 0.05, is_open=True).conditions
    assert not conditions.disk(0, 0, 0.05, is_open=False).conditions, "a file system without a size"


def test_other_judge_is_missed_after_patience_and_not_where_it_never_was() -> None:
    beat, long_ago = Heartbeat(NOW - HOUR), NOW - 9 * HOUR
    (one,) = conditions.still("server", beat, long_ago, NOW, HOUR / 2).conditions
    assert one.kind == "server_silent"
    assert one.since == beat.at
    assert conditions.still("server", beat, long_ago, NOW, 2 * HOUR) == Judgement()
    assert conditions.still("platform", None, long_ago, NOW, HOUR) == Judgement()
    assert (
        "was stopped" in conditions.still("server", Heartbeat(LATE, True), long_ago, NOW, HOUR).conditions[0].sentence
    )


def test_after_a_start_of_both_nothing_is_said_until_patience_is_over() -> None:
    own = conditions.still("platform", Heartbeat(LATE), NOW - timedelta(seconds=20), NOW, HOUR)
    assert own.conditions == ()
    assert own.is_unclear(Condition("platform_silent", "").key), "what is open stays open"
