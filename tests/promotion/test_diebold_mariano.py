"""The Diebold-Mariano test: known answers, symmetry, how often it errs under the null, and what it finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal, stats

from aerocast.common.errors import AeroCastError
from aerocast.promotion.diebold_mariano import Comparison, diebold_mariano
from tests.harness.assertions import assert_close

Series = NDArray[np.float64]
ROUNDS = 600


def autocorrelated(made: np.random.Generator, n: int, share: float) -> Series:
    """AR(1) of variance 1."""
    drawn = signal.lfilter([1], [1, -share], made.normal(size=n + 300))[300:]
    scaled: Series = drawn * np.sqrt(1 - share**2)
    return scaled


def two_losses(made: np.random.Generator, n: int, lag: int, worse: float = 1.0) -> tuple[Series, Series]:
    """Squared errors of two equal forecasts `lag` + 1 steps ahead (moving averages), the first one's times `worse`."""
    first, second = (np.convolve(made.normal(size=n + lag), np.ones(lag + 1) / np.sqrt(lag + 1), "valid") for _ in "ab")
    return worse * first**2, second**2


def test_statistic_matches_hand_computation() -> None:
    """d = 0, 2, 0, 2, ... of 12: 4 lags; autocovariances 1, -11/12, 10/12, -9/12, 8/12, weights 1, 4/5, .. 1/5."""
    found = diebold_mariano(np.tile([0.0, 2.0], 6), np.zeros(12), 1)
    variance = 1 + 2 * (4 / 5 * -11 + 3 / 5 * 10 + 2 / 5 * -9 + 1 / 5 * 8) / 12
    assert (found.n, found.lag, found.mean_gain) == (12, 4, 1.0)
    assert found.statistic == pytest.approx(np.sqrt(8 * 7 / 144) * 1 / np.sqrt(variance / 12))
    assert found.p_value == pytest.approx(stats.t.sf(found.statistic, 1.5 * 12 / 5))


def test_independent_losses_agree_with_t_test() -> None:
    made = np.random.default_rng(0)
    champion, challenger = made.normal(1.05, 1, 2000), made.normal(1, 1, 2000)
    wanted = stats.ttest_1samp(champion - challenger, 0, alternative="greater")
    assert diebold_mariano(champion, challenger, 0).statistic == pytest.approx(wanted.statistic, rel=0.2)


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 200),
    lag=st.integers(0, 30),
    missing=st.floats(0, 0.6),
)
def test_swapping_models_negates_statistic(seed: int, n: int, lag: int, missing: float) -> None:
    made = np.random.default_rng(seed)
    first, second = made.normal(size=n) ** 2, made.normal(size=n) ** 2
    first[made.random(n) < missing] = np.nan
    one, other = diebold_mariano(first, second, lag), diebold_mariano(second, first, lag)
    assert one.n == other.n == int(np.isfinite(first).sum())
    assert one.mean_gain == pytest.approx(-other.mean_gain)
    assert 0 <= one.p_value <= 1
    if one.statistic is None or other.statistic is None:
        assert (one.p_value, other.p_value) == (1.0, 1.0)
        assert "too few" in one.reason
    else:
        assert one.statistic == pytest.approx(-other.statistic)
        assert one.p_value + other.p_value == pytest.approx(1)
        scaled = diebold_mariano(7 * first, 7 * second, lag)
        assert scaled.p_value == pytest.approx(one.p_value), "the unit of a loss does not matter"


@pytest.mark.parametrize(("n", "lag"), [(29, 5), (72, 23), (150, 23), (500, 5), (500, 23), (200, 0)])
@pytest.mark.parametrize("errors", ["squared", "autocorrelated", "daily"])
def test_false_positive_rate_matches_level(n: int, lag: int, errors: str) -> None:
    made = np.random.default_rng(n + lag)
    rejected = 0
    for _ in range(ROUNDS):
        if errors == "squared":
            champion, challenger = two_losses(made, n, lag)
        else:
            champion, challenger = autocorrelated(made, n, 0.8), np.zeros(n)
            if errors == "daily":
                champion *= 1 + np.sin(2 * np.pi * (np.arange(n) + made.integers(24)) / 24)
        rejected += diebold_mariano(champion, challenger, lag).p_value <= 0.05
    assert rejected / ROUNDS <= 0.1


@pytest.mark.parametrize(("n", "lag", "least"), [(29, 5, 0.6), (72, 23, 0.6), (300, 23, 0.95)])
def test_doubled_errors_are_detected(n: int, lag: int, least: float) -> None:
    made = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        champion = 3 + 1.5 * autocorrelated(made, n, 0.8)
        challenger = 1 + autocorrelated(made, n, 0.8)
        found += diebold_mariano(champion, challenger, lag).p_value <= 0.05
    assert found / 200 >= least


def test_gap_is_neither_closed_nor_evidence() -> None:
    made = np.random.default_rng(2)
    loss = autocorrelated(made, 200, 0.9) + 0.3
    plain = diebold_mariano(loss, np.zeros(200), 5)
    padded = np.concatenate([np.full(50, np.nan), loss, np.full(30, np.nan)])
    assert_close(diebold_mariano(padded, np.zeros(280), 5), plain)
    apart = np.concatenate([loss[:100], np.full(40, np.nan), loss[100:]])
    found = diebold_mariano(apart, np.zeros(240), 5)
    assert (found.n, found.lag) == (200, plain.lag)
    assert found.mean_gain == pytest.approx(plain.mean_gain)
    # Hours on both sides of a gap do not correlate with each other, so fewer products enter the variance.
    assert found.statistic != pytest.approx(plain.statistic)
    assert found.p_value == pytest.approx(plain.p_value, abs=0.1)


@pytest.mark.parametrize(("n", "lag"), [(0, 0), (1, 0), (7, 0), (47, 23)])
def test_too_few_losses_prove_nothing(n: int, lag: int) -> None:
    found = diebold_mariano(np.ones(n) * 9, np.random.default_rng(0).random(n), lag)
    assert (found.p_value, found.statistic, found.n) == (1.0, None, n)
    assert f"{n} instants are too few" in found.reason


def test_unknown_losses_prove_nothing() -> None:
    assert diebold_mariano(np.full(50, np.nan), np.ones(50), 2).p_value == 1.0


def test_equal_losses_are_no_gain_and_constant_gain_is() -> None:
    loss = np.random.default_rng(0).random(50)
    same = diebold_mariano(loss, loss, 5)
    assert same == Comparison(1.0, None, 50, 0.0, 10, "both have the same losses")
    assert diebold_mariano(loss + 0.5, loss, 5).p_value == pytest.approx(0, abs=1e-9)
    assert diebold_mariano(loss - 0.5, loss, 5).p_value == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("first", "second", "lag"), [((3,), (4,), 1), ((3, 2), (3, 2), 1), ((9,), (9,), -1)])
def test_incomparable_losses_are_refused(first: tuple[int, ...], second: tuple[int, ...], lag: int) -> None:
    with pytest.raises(AeroCastError, match="two series of one length"):
        diebold_mariano(np.ones(first), np.ones(second), lag)
