"""Folds cover the newest time without overlap, and what one learns from ends before it by the longest horizon."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.experiments.folds import folds, seasons
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models.splits import Role
from tests.factories.samples import FIRST, HOUR, hourly_feed


def spec_of(feed: Feed) -> WindowSpec:
    return WindowSpec.of(feed, "temperature")


@settings(deadline=None)
@given(
    number=st.integers(1, 9),
    past=st.floats(0.4, 0.9),
    days=st.integers(90, 400),
    farthest=st.integers(2, 48),
    chosen=st.integers(0, 2**31),
)
def test_each_row_judges_once_and_nothing_learned_reaches_it(
    number: int, past: float, days: int, farthest: int, chosen: int
) -> None:
    feed = hourly_feed(horizons=[1, farthest], backtest={"folds": number, "past": past})
    times = FIRST + np.arange(days * 24) * HOUR
    if chosen % 2:  # gaps move no fold
        times = times[np.random.default_rng(chosen).random(len(times)) < 0.8]
    made, reach = folds(feed.split, spec_of(feed), times, feed.backtest), farthest * HOUR
    assert [each.number for each in made] == [*range(1, number + 1)]
    judging = np.stack([each.judging(times) for each in made])
    assert judging.sum(axis=0).max() == 1, "folds overlap"
    newest = times >= made[0].cut.test
    assert judging[:, newest].all(axis=1).sum() in (0, 1)
    assert (judging.sum(axis=0) == newest).all(), "a row after the first fold's begin judges in none"
    for each in made:
        learned = times[each.past(times)]
        assert (learned + reach < each.cut.test).all()
        assert not (each.past(times) & each.judging(times)).any()
        roles = each.cut.of(learned)
        assert {Role.TRAIN, Role.VALIDATION, Role.CALIBRATION} <= set(roles.tolist()) <= {*Role} - {Role.TEST}


def test_folds_are_of_equal_length_within_a_step() -> None:
    feed = hourly_feed(backtest={"folds": 3, "past": 0.4})
    made = folds(feed.split, spec_of(feed), FIRST + np.arange(200 * 24) * HOUR, feed.backtest)
    lengths = [(each.cut.end - each.cut.test) / HOUR for each in made]
    assert max(lengths) - min(lengths) <= 1


def test_past_that_is_too_short_is_named_with_a_way_out() -> None:
    feed = hourly_feed(backtest={"folds": 4, "past": 0.02})
    with pytest.raises(AeroCastError, match=re.escape("fold 1 begins at 2024-01-03")) as caught:
        folds(feed.split, spec_of(feed), FIRST + np.arange(120 * 24) * HOUR, feed.backtest)
    assert "raise backtest.past" in str(caught.value)


def test_season_is_the_other_one_south_of_the_equator() -> None:
    times = np.array(["2024-01-15", "2024-04-15", "2024-07-15", "2024-10-15", "2024-12-01"], dtype="datetime64[s]")
    north = ["winter", "spring", "summer", "autumn", "winter"]
    south = ["summer", "autumn", "winter", "spring", "summer"]
    assert seasons(times, np.zeros(5, dtype=bool)).tolist() == north
    assert seasons(times, np.ones(5, dtype=bool)).tolist() == south


def test_backtest_of_a_kind_that_is_no_candidate_is_refused() -> None:
    text = "backtest.kinds: 'gru' is not a candidate; allowed: linear, persistence"
    with pytest.raises(AeroCastError, match=re.escape(text)):
        hourly_feed(backtest={"kinds": ["gru"]})


def test_baselines_take_part_whatever_is_declared() -> None:
    assert hourly_feed().backtest_kinds == ("linear", "persistence", "seasonal_naive")
    assert hourly_feed(backtest={"kinds": []}).backtest_kinds == ("persistence", "seasonal_naive")
