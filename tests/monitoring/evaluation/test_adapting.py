"""Intervals that follow live outcomes cover as stated, know nothing of the future, and stay within limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.contracts.adaptation import Adaptation
from aerocast.monitoring.evaluation.adapting import NARROWEST, WIDEST, adapt, path

HOUR = 3600
LEVEL, HORIZON = 0.9, 6
Z = 1.645  # half of a normal distribution's 90 % interval, in standard deviations


def errors(seed: int, count: int, scale: float = 1.0, bias: float = 0.0) -> np.ndarray:
    """Errors of overlapping forecasts: neighbours hang together."""
    noise = np.random.default_rng(seed).normal(size=count + HORIZON)
    mean = np.convolve(noise, np.ones(HORIZON) / np.sqrt(HORIZON), mode="valid")[:count]
    made: np.ndarray = bias + scale * mean
    return made


def follow(error: np.ndarray, step: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The path of intervals that are right for errors of deviation 1."""
    step = np.arange(len(error)) if step is None else step
    return path(HOUR, LEVEL, HORIZON, step, error, np.full(len(error), -Z), np.full(len(error), Z))


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.6])
@pytest.mark.parametrize("bias", [0.0, 1.5])
def test_coverage_becomes_what_is_stated(scale: float, bias: float) -> None:
    error = errors(1, 6000, scale, bias)
    factor, shift = (each[:-1] for each in follow(error))
    inside = np.abs(error - shift) <= Z * factor
    assert inside[500:].mean() == pytest.approx(LEVEL, abs=0.02)
    if scale != 1.0 or bias:
        plain = np.abs(error) <= Z
        assert abs(plain[500:].mean() - LEVEL) > 0.03, "without it they would not"


def test_bias_that_lasts_moves_the_interval_and_chance_does_not() -> None:
    _, shift = follow(errors(2, 3000, bias=2.0))
    assert 1.0 < shift[-1] <= Z
    _, none = follow(errors(3, 3000))
    assert np.mean(none == 0) > 0.8
    assert np.abs(none).mean() < 0.05


@given(seed=st.integers(0, 99), at=st.integers(0, 299), size=st.floats(-1e6, 1e6))
@settings(max_examples=40)
def test_nothing_is_known_before_its_time(seed: int, at: int, size: float) -> None:
    error = errors(seed, 300)
    changed = error.copy()
    changed[at] = size
    one, other = follow(error), follow(changed)
    end = min(at + HORIZON, 300)
    for side in (0, 1):
        np.testing.assert_array_equal(one[side][:end], other[side][:end])


@given(
    values=st.lists(st.one_of(st.floats(-1e9, 1e9), st.just(float("nan"))), min_size=1, max_size=400),
    gap=st.integers(1, 30),
)
@settings(max_examples=40)
def test_state_stays_within_limits(values: list[float], gap: int) -> None:
    error = np.array(values)
    step = np.cumsum(np.where(np.arange(len(error)) % 5 == 0, gap, 1))
    factor, shift = follow(error, step)
    assert ((factor >= NARROWEST) & (factor <= WIDEST)).all()
    assert (np.abs(shift) <= Z * (1 + 1e-9)).all()


def test_state_is_that_of_each_horizon() -> None:
    both = np.stack([errors(4, 800), errors(5, 800, 2.0)], axis=1)
    state = adapt(
        "v", HOUR, LEVEL, (HORIZON, HORIZON), np.arange(800), both, np.full((800, 2), -Z), np.full((800, 2), Z)
    )
    assert (state.version, state.outcomes) == ("v", 800)
    assert state.factor[1] > 1.3 * state.factor[0]
    assert state.factor[0] == pytest.approx(float(follow(both[:, 0])[0][-1]))


def test_distances_are_stretched_and_then_moved() -> None:
    own = Adaptation("v", (2.0, 1.0), (0.5, -1.0), 9)
    distances = np.array([[[-1.0, 0.0, 1.0], [-3.0, 0.0, 3.0]]], dtype=np.float32)
    assert own.apply(distances).tolist() == [[[-1.5, 0.5, 2.5], [-4.0, -1.0, 2.0]]]
