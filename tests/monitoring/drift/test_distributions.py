"""Distributions: a season is no shift, a constant that moves is one, and what the reference lacks is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aerocast.monitoring.drift.distributions import TESTS, compare, distances, edges, jensen_shannon, psi, shares
from aerocast.monitoring.drift.profile import profile
from tests.factories import worlds
from tests.factories.worlds import YEAR, Reals

FEED = worlds.feed()
PAST = profile(FEED, worlds.grid({"temperature": worlds.climate(1, 2 * YEAR)}))
samples = arrays(np.float64, st.integers(20, 80), elements=st.floats(-100, 100, width=32))


@pytest.mark.parametrize("month", range(12))
def test_season_is_no_shift(month: int) -> None:
    start = month * 30 * 24
    values = worlds.climate(7, 2 * YEAR)[start : start + 21 * 24]
    recent = worlds.grid({"temperature": values}, worlds.START + (2 * YEAR + start) * worlds.HOUR)
    found = compare(FEED, recent, PAST, ["temperature"])
    assert not found.fired
    assert {each.test for each in found.evidence} == set(TESTS)


def test_unseen_season_is_shift() -> None:
    values = worlds.climate(7, 2 * YEAR)[: 21 * 24] + 45
    recent = worlds.grid({"temperature": values}, worlds.START + 2 * YEAR * worlds.HOUR)
    found = compare(FEED, recent, PAST, ["temperature"])
    assert found.fired
    assert all("same season" in each.detail for each in found.evidence)


def test_reference_without_season_compares_steps() -> None:
    winter = profile(FEED, worlds.grid({"temperature": worlds.climate(1, 90 * 24)}))
    start = 200 * 24
    for rough, shifted in ((1.0, False), (6.0, True)):
        values = worlds.climate(7, YEAR, rough)[start : start + 21 * 24]
        recent = worlds.grid({"temperature": values}, worlds.START + start * worlds.HOUR)
        found = compare(FEED, recent, winter, ["temperature"])
        assert found.fired == shifted
        assert all("lacks this season" in each.detail for each in found.evidence)


def test_constant_that_begins_to_vary_is_shift() -> None:
    constant = profile(FEED, worlds.grid({"temperature": np.full(YEAR, 0.0035)}))
    for values, shifted in ((np.full(21 * 24, 0.0035), False), (np.linspace(0.001, 0.006, 21 * 24), True)):
        recent = worlds.grid({"temperature": values}, worlds.START + YEAR * worlds.HOUR)
        assert compare(FEED, recent, constant, ["temperature"]).fired == shifted


def test_psi_of_constant_counts_second_bin() -> None:
    cuts = edges(np.zeros(100))
    assert psi(shares(np.zeros(100), cuts), shares(np.zeros(50), cuts)) == 0
    assert psi(shares(np.zeros(100), cuts), shares(np.ones(50), cuts)) > 5


@given(samples, samples)
def test_distances_are_metrics(one: Reals, two: Reals) -> None:
    cuts = edges(one)
    same, other = distances(one, cuts, one), distances(one, cuts, two)
    for test in TESTS:
        assert same[test] == pytest.approx(0, abs=1e-9)
        assert other[test] >= 0
    assert other["ks"] <= 1
    assert jensen_shannon(shares(one, cuts), shares(two, cuts)) <= 1 + 1e-9
    assert shares(two, cuts).sum() == pytest.approx(1)


@given(samples, st.floats(0.1, 50), st.floats(-100, 100))
def test_distances_ignore_unit(values: Reals, factor: float, offset: float) -> None:
    one, two = np.round(values[::2], 3), np.round(values[1::2], 3)
    if np.std(one) < 0.1:
        return
    plain = distances(one, edges(one), two)
    scaled = distances(one * factor + offset, edges(one * factor + offset), two * factor + offset)
    assert scaled["ks"] == pytest.approx(plain["ks"], abs=0.06)  # rounding may join two equal values
    assert scaled["wasserstein"] == pytest.approx(plain["wasserstein"], rel=1e-6, abs=1e-6)
