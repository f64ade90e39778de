"""Errors: what the weather excuses, what a model could learn, and where it began."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import PageHinkley

from aerocast.contracts.manifest import Scores
from aerocast.monitoring.drift.errors import (
    MIN_OUTCOMES,
    PAGE_HINKLEY,
    PH_SLACK,
    SQUARES,
    STRANGE,
    ErrorVerdict,
    Outcomes,
    error_verdict,
    standard_scores,
)
from aerocast.monitoring.drift.learnable import foreseeable_share, rmse_saving
from tests.factories import worlds
from tests.factories.worlds import STATION, Reals

ONSET = 40 * 24
SIZE = 60 * 24
FEED = worlds.feed()
HALF, SCORES = worlds.test_scores(worlds.climate(99))
MANIFEST = worlds.manifest(FEED, SCORES)


def heatwave(values: Reals) -> Reals:
    return worlds.heatwave(values, ONSET)


def judged(values: Reals) -> ErrorVerdict:
    return error_verdict(worlds.outcomes(values, HALF), MANIFEST, STATION, FEED.drift.recent)


def ringing(values: Reals) -> Reals:
    return values + 6 * np.sin(2 * np.pi * np.arange(len(values)) / 7)


@pytest.mark.parametrize("seed", range(6))
def test_unchanged_world_raises_no_drift(seed: int) -> None:
    found = judged(worlds.climate(seed, SIZE))
    assert not found.is_drift
    assert found.rmse == pytest.approx(SCORES[1].rmse, rel=0.35)
    assert found.coverage == pytest.approx(0.9, abs=0.08)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [heatwave, ringing])
def test_changed_world_is_detected_and_dated(change: object, seed: int) -> None:
    found = judged(worlds.with_change(worlds.climate(seed, SIZE), ONSET, change))
    assert found.is_drift
    assert found.onset is not None
    assert abs(found.onset - worlds.times(SIZE)[ONSET]) <= np.timedelta64(4, "D")
    assert found.rmse is not None
    assert found.expected_rmse is not None
    assert found.rmse > SCORES[1].rmse


@pytest.mark.parametrize("seed", range(6))
def test_harder_weather_is_no_drift(seed: int) -> None:
    calm, rough = worlds.climate(seed, SIZE), worlds.climate(seed, SIZE, rough=2.0)
    found = judged(worlds.with_change(calm, ONSET, lambda _: rough))
    evidence = {each.test: each for each in found.evidence}
    assert evidence["page_hinkley"].fired, "the errors did grow"
    assert not found.is_drift
    assert found.expected_rmse is not None
    assert found.expected_rmse > 1.3 * SCORES[1].rmse


@pytest.mark.parametrize("seed", range(6))
def test_level_followed_by_model_is_no_drift(seed: int) -> None:
    ramp = np.clip((np.arange(SIZE) - ONSET) / 12, 0, 1)
    assert not judged(worlds.climate(seed, SIZE) + 12 * ramp).is_drift


def test_unlearned_season_allows_larger_errors_and_change_is_detected() -> None:
    values = worlds.with_change(worlds.climate(1, SIZE), ONSET, heatwave)
    known, strange = (
        {each.test: each for each in error_verdict(made, MANIFEST, STATION, 72, strange=odd).evidence}
        for made, odd in ((worlds.outcomes(values, HALF), False), (worlds.outcomes(values, HALF), True))
    )
    limits = [name for name in known if name.startswith(("error_ratio", "foreseeable"))]
    assert limits
    for name in limits:
        assert strange[name].threshold == pytest.approx(STRANGE * (known[name].threshold or 0))
        assert strange[name].value == pytest.approx(known[name].value)
    assert any(strange[name].fired for name in limits)


def test_too_few_outcomes_give_no_verdict() -> None:
    few = worlds.outcomes(worlds.climate(0, SIZE), HALF)
    few = few.at(few.time < np.unique(few.time)[MIN_OUTCOMES - 1])
    found = error_verdict(few, MANIFEST, STATION, 72)
    assert not found.is_drift
    assert found.evidence == ()
    assert found.rmse is not None


def test_no_outcomes_give_no_figures() -> None:
    nothing = worlds.outcomes(worlds.climate(0, SIZE), HALF)
    nothing = nothing.at(np.zeros(len(nothing.time), dtype=bool))
    assert error_verdict(nothing, MANIFEST, STATION, 72) == ErrorVerdict(False, None, None, None, None, ())


def test_page_hinkley_agrees_with_river() -> None:
    known = worlds.outcomes(worlds.with_change(worlds.climate(1, SIZE), ONSET, heatwave), HALF)
    nearest = known.at(known.horizon == 1)
    detector = PageHinkley(MIN_OUTCOMES, PH_SLACK, PAGE_HINKLEY, 1.0, "up")
    fired = False
    for square in np.minimum(np.clip(standard_scores(nearest), -4, 4) ** 2, SQUARES).tolist():
        detector.update(square)
        fired = fired or detector.drift_detected
    found = next(e for e in error_verdict(known, MANIFEST, STATION, 72).evidence if e.test == "page_hinkley")
    assert found.fired == fired == (found.value is not None and found.value > PAGE_HINKLEY)


@given(factor=st.floats(0.01, 1000), seed=st.integers(0, 3))
def test_verdict_ignores_unit(factor: float, seed: int) -> None:
    known = worlds.outcomes(worlds.with_change(worlds.climate(seed, SIZE), ONSET, heatwave), HALF)
    scores = {
        horizon: Scores(each.rows, each.rmse * factor, each.mae, each.mse, each.composite, each.skill)
        for horizon, each in SCORES.items()
    }
    scaled = Outcomes(
        known.time,
        known.horizon,
        known.error * factor,
        known.low * factor,
        known.high * factor,
        known.baseline * factor,
        known.level,
    )
    plain, other = (
        error_verdict(known, MANIFEST, STATION, 72),
        error_verdict(scaled, worlds.manifest(FEED, scores), STATION, 72),
    )
    assert plain.is_drift == other.is_drift
    assert plain.onset == other.onset
    for one, two in zip(plain.evidence, other.evidence, strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-6)


@given(seed=st.integers(0, 10_000), columns=st.integers(1, 12))
def test_noise_is_not_predictable(seed: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    assert foreseeable_share(rng.normal(size=300), rng.normal(size=(300, columns)), np.arange(300) // 43) < 0.08


@given(seed=st.integers(0, 10_000), noise=st.floats(0.05, 1.0))
def test_errors_that_follow_features_are_predictable(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(300, 4))
    z = known[:, 0] - known[:, 1] + rng.normal(0, noise, 300)
    assert foreseeable_share(z, known, np.arange(300) // 43) > 0.5


def test_single_odd_block_is_not_predictable() -> None:
    rng = np.random.default_rng(3)
    block = np.arange(280) // 40
    z = rng.normal(size=280) + 3 * (block == 4)
    assert foreseeable_share(z, rng.normal(size=(280, 3)) + 3 * (block == 4)[:, None], block) < 0.1


@given(st.floats(-5, 1), st.floats(-5, 1))
def test_saved_share_grows_with_predictable_part(one: float, two: float) -> None:
    assert 0 <= rmse_saving(min(one, two)) <= rmse_saving(max(one, two)) <= 0.9 + 1e-9
