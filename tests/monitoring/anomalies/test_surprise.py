"""How surprising steps are: nothing later counts, units do not matter, calm is calm, and what is odd is noticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.monitoring.anomalies.events import OPEN
from aerocast.monitoring.anomalies.surprise import Surprise, rank, surprises

DAY = 24
FIRST = 400_008  # some midnight, in hours from 1970


def _series(seed: int, days: int = 60, columns: int = 2) -> np.ndarray:
    """(T, C) hourly values with a day's course and noise that lasts."""
    rng, hours = np.random.default_rng(seed), np.arange(days * DAY)
    course = np.sin(2 * np.pi * hours / DAY)[:, None] * rng.uniform(1, 5, columns)
    noise = rng.normal(0, 1, (len(hours) + 4, columns))
    return course + sum(noise[k : k + len(hours)] for k in range(5)) / 5 + 20


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(30 * DAY, 59 * DAY), gap=st.integers(0, 50))
def test_later_values_change_no_earlier_surprise(seed: int, cut: int, gap: int) -> None:
    values = _series(seed)
    values[cut - 200 : cut - 200 + gap, 0] = np.nan
    since = cut - 2 * DAY
    other = values.copy()
    other[cut:] = np.random.default_rng(seed + 1).normal(0, 100, other[cut:].shape)
    whole, changed, short = (surprises(each, FIRST, DAY, since) for each in (values, other, values[:cut]))
    for name in ("columns", "joint", "parts", "deviation"):
        first = getattr(whole, name)[:cut]
        np.testing.assert_allclose(first, getattr(changed, name)[:cut], atol=1e-9)
        np.testing.assert_allclose(first, getattr(short, name), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-6, 0.1, 9 / 5, 1e6]), sign=st.sampled_from([1, -1]))
def test_units_do_not_matter(seed: int, scale: float, sign: int) -> None:
    values = _series(seed, days=40)
    one, other = (surprises(each, FIRST, DAY, 35 * DAY) for each in (values, values * scale * sign))
    np.testing.assert_allclose(one.total()[35 * DAY :], other.total()[35 * DAY :], atol=1e-6)


def test_quiet_series_have_hardly_an_event() -> None:
    # Noise alone crosses the threshold now and then: a rate over many series holds where a count of one may not.
    steps = [surprises(_series(seed), FIRST, DAY, 30 * DAY).total()[30 * DAY :] for seed in range(20)]
    assert np.mean(np.concatenate(steps) >= OPEN) < 1 / (30 * DAY)  # less than one step a month


@pytest.mark.parametrize("level", [0.0, 7.0, -1e9])
def test_constant_series_is_no_surprise(level: float) -> None:
    surprise = surprises(np.full((40 * DAY, 2), level), FIRST, DAY, 20 * DAY)
    assert np.nanmax(surprise.total()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("odd", ["spike", "day off", "not together"])
def test_what_is_odd_is_noticed(odd: str) -> None:
    values, at = _series(3), 50 * DAY + 12
    if odd == "spike":
        values[at, 1] += 8
        columns = {1}
    elif odd == "day off":
        values[at : at + DAY, 0] = 15
        columns = {0}
    else:
        # Two columns that always move together, but for half a day.
        shared = np.cumsum(np.random.default_rng(5).normal(0, 1, len(values)))
        shared -= np.convolve(shared, np.ones(48) / 48, "same")
        values = np.stack([shared, shared], axis=1) + np.random.default_rng(6).normal(0, 0.05, (len(values), 2))
        values[at : at + 12, 1] *= -1
        columns = {0, 1}
    surprise = surprises(values, FIRST, DAY, 45 * DAY)
    total = surprise.total()
    peak = at + int(np.nanargmax(total[at : at + DAY]))
    assert total[peak] >= OPEN
    assert np.nanargmax(surprise.shares(peak)) in columns
    assert surprise.shares(peak).sum() == pytest.approx(1)


def test_nothing_is_said_without_a_past() -> None:
    surprise = surprises(_series(0, days=10), FIRST, DAY)
    assert np.isnan(surprise.total()[: 2 * DAY]).all()
    assert np.isnan(surprises(np.full((10 * DAY, 1), np.nan), FIRST, DAY).total()).all()


def test_rank_is_conformal_within_the_past_and_grows_beyond_it() -> None:
    past = np.arange(1, 1000, dtype=float)
    sizes = np.array([0.5, 500.0, 999.0, 1200.0, 1e6, np.nan])
    ranks = rank(past, sizes)
    assert ranks[0] == pytest.approx(0)
    assert ranks[1] == pytest.approx(-np.log10(501 / 1000))
    assert ranks[2] == pytest.approx(-np.log10(2 / 1000))
    assert ranks[2] < ranks[3] < ranks[4]
    assert ranks[5] == 0


def test_total_counts_how_many_tests_there_are() -> None:
    columns, nan = np.array([[4.0, 1.0], [2.0, np.nan], [np.nan, np.nan]]), np.full(3, np.nan)
    surprise = Surprise(columns, nan, columns, columns)
    np.testing.assert_allclose(surprise.total(), [4 - np.log10(2), 2, np.nan])
