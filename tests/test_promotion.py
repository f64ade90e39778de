"""The best candidate serves only with proof; a refusal gives its numbers."""

import pytest

from aerocast.errors import AeroCastError
from aerocast.feed import Promotion
from aerocast.promotion import decide
from aerocast.scoring import Score


def made(model: str, composite: float, skill: float = 0.2, n: int = 100, far: float | None = None) -> list[Score]:
    """A model's scores: skill at 1 step, `far` at 24, and their mean."""
    skills = {1: skill, 24: skill if far is None else far}
    rows = [Score(model, "all", h, n, 1.0, 1.0, 1.0, composite, at, at) for h, at in skills.items()]
    mean = sum(skills.values()) / 2
    return [*rows, Score(model, "all", 0, n, 1.0, 1.0, 1.0, composite, mean, mean)]


CANDIDATES = [*made("gru", 0.7), *made("linear", 0.8), *made("persistence", 0.1, skill=0.9)]


def test_the_best_composite_wins_and_baselines_never() -> None:
    decision = decide(CANDIDATES, Promotion())
    assert (decision.promoted, decision.winner) == (True, "gru")
    assert "0.7000" in decision.reason
    assert "no incumbent" in decision.reason
    alone = decide(made("persistence", 0.1), Promotion())
    assert (alone.promoted, alone.winner) == (False, None)


@pytest.mark.parametrize(("skill", "promoted"), [(0.0, False), (-0.1, False), (1e-6, True)])
def test_skill_must_be_above_the_limit(skill: float, promoted: bool) -> None:
    decision = decide(made("gru", 0.7, skill), Promotion(min_skill=0.0))
    assert decision.promoted is promoted
    assert promoted or "min_skill" in decision.reason


def test_a_good_mean_does_not_hide_a_horizon_that_loses() -> None:
    decision = decide(made("gru", 0.7, 0.5, far=-0.01), Promotion())
    assert not decision.promoted
    assert "skill -0.0100 at 24 steps" in decision.reason


def test_one_that_beats_the_baselines_everywhere_goes_before_a_better_composite() -> None:
    decision = decide([*made("gru", 0.6, 0.5, far=-0.01), *made("linear", 0.8)], Promotion())
    assert (decision.promoted, decision.winner) == (True, "linear")


@pytest.mark.parametrize(("before", "min_gain", "promoted"), [(0.7, 0, False), (0.71, 0, True), (0.71, 0.05, False)])
def test_the_incumbent_must_be_beaten_by_the_gain(before: float, min_gain: float, promoted: bool) -> None:
    decision = decide([*CANDIDATES, *made("incumbent", before)], Promotion(min_gain=min_gain), "incumbent")
    assert decision.promoted is promoted
    assert decision.gain == pytest.approx(1 - 0.7 / before)
    assert ("Promoted" in decision.reason) is promoted
    assert promoted or "min_gain" in decision.reason


def test_the_incumbent_itself_cannot_win() -> None:
    decision = decide([*CANDIDATES, *made("incumbent", 0.1)], Promotion(), "incumbent")
    assert (decision.promoted, decision.winner) == (False, "gru")


def test_other_rows_are_no_proof() -> None:
    with pytest.raises(AeroCastError, match="99 rows"):
        decide([*CANDIDATES, *made("incumbent", 0.9, n=99)], Promotion(), "incumbent")
