"""The best candidate serves only with proof; a refusal gives its numbers."""

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.policies import Promotion
from aerocast.promotion.decision import decide
from aerocast.promotion.diebold_mariano import Comparison
from aerocast.promotion.scoring import Score


def made(model: str, composite: float, skill: float = 0.2, n: int = 100, far: float | None = None) -> list[Score]:
    """A model's scores: skill at 1 step, `far` at 24, and their mean."""
    skills = {1: skill, 24: skill if far is None else far}
    rows = [Score(model, "all", h, n, 1.0, 1.0, 1.0, composite, at, at) for h, at in skills.items()]
    mean = sum(skills.values()) / 2
    return [*rows, Score(model, "all", 0, n, 1.0, 1.0, 1.0, composite, mean, mean)]


CANDIDATES = [*made("gru", 0.7), *made("linear", 0.8), *made("persistence", 0.1, skill=0.9)]


def test_best_composite_wins_and_baselines_never_win() -> None:
    decision = decide(CANDIDATES, Promotion())
    assert (decision.promoted, decision.winner) == (True, "gru")
    assert "0.7000" in decision.reason
    assert "no incumbent" in decision.reason
    alone = decide(made("persistence", 0.1), Promotion())
    assert (alone.promoted, alone.winner) == (False, None)


@pytest.mark.parametrize(("skill", "promoted"), [(0.0, False), (-0.1, False), (1e-6, True)])
def test_skill_must_exceed_limit(skill: float, promoted: bool) -> None:
    decision = decide(made("gru", 0.7, skill), Promotion(min_skill=0.0))
    assert decision.promoted is promoted
    assert promoted or "min_skill" in decision.reason


def test_good_mean_does_not_hide_losing_horizon() -> None:
    decision = decide(made("gru", 0.7, 0.5, far=-0.01), Promotion())
    assert not decision.promoted
    assert "skill -0.0100 at 24 steps" in decision.reason


def test_candidate_above_baselines_at_all_horizons_outranks_better_composite() -> None:
    decision = decide([*made("gru", 0.6, 0.5, far=-0.01), *made("linear", 0.8)], Promotion())
    assert (decision.promoted, decision.winner) == (True, "linear")


def proof(p_value: float = 0.001, model: str = "gru", reason: str = "") -> dict[str, Comparison]:
    return {model: Comparison(p_value, None if reason else 3.2, 120, 0.01, 10, reason)}


@pytest.mark.parametrize(("before", "min_gain", "promoted"), [(0.7, 0, False), (0.71, 0, True), (0.71, 0.05, False)])
def test_incumbent_must_be_beaten_by_gain(before: float, min_gain: float, promoted: bool) -> None:
    decision = decide([*CANDIDATES, *made("incumbent", before)], Promotion(min_gain=min_gain), "incumbent", proof())
    assert decision.promoted is promoted
    assert decision.gain == pytest.approx(1 - 0.7 / before)
    assert ("Promoted" in decision.reason) is promoted
    assert promoted or "min_gain" in decision.reason


@pytest.mark.parametrize(("p_value", "max_p", "promoted"), [(0.05, 0.05, True), (0.051, 0.05, False), (0.2, 0.3, True)])
def test_gain_explained_by_chance_is_refused(p_value: float, max_p: float, promoted: bool) -> None:
    rivals = [*CANDIDATES, *made("incumbent", 0.9)]
    decision = decide(rivals, Promotion(max_p=max_p), "incumbent", proof(p_value))
    assert decision.promoted is promoted
    assert (decision.p_value, decision.statistic) == (p_value, 3.2)
    assert f"p = {p_value:.3g} over 120 instants" in decision.reason
    assert promoted or f"above max_p {max_p:g}" in decision.reason


@pytest.mark.parametrize(
    ("skill", "far", "before", "promoted"),
    [
        (0.5, -0.1, -0.3, True),  # the incumbent falls short there, too
        (0.5, -0.1, 0.1, False),  # the incumbent does not
        (0.1, -0.2, -0.3, False),  # the mean falls short
    ],
)
def test_horizon_lost_by_incumbent_too_refuses_nobody(skill: float, far: float, before: float, promoted: bool) -> None:
    rivals = [*made("gru", 0.7, skill, far=far), *made("incumbent", 0.9, 0.2, far=before)]
    decision = decide(rivals, Promotion(), "incumbent", proof())
    assert decision.promoted is promoted
    assert ("at 24 steps neither" in decision.reason) is (before < 0)


def test_refusal_says_why_proof_is_missing() -> None:
    rivals = [*CANDIDATES, *made("incumbent", 0.9)]
    decision = decide(rivals, Promotion(), "incumbent", proof(1.0, reason="5 instants are too few"))
    assert not decision.promoted
    assert "(5 instants are too few)" in decision.reason
    assert decision.statistic is None


def test_picked_candidate_must_be_compared() -> None:
    with pytest.raises(AeroCastError, match="gru was not compared"):
        decide([*CANDIDATES, *made("incumbent", 0.9)], Promotion(), "incumbent", proof(model="linear"))


def test_without_incumbent_nothing_is_compared() -> None:
    decision = decide(CANDIDATES, Promotion(), None, proof(0.9))
    assert decision.promoted
    assert (decision.p_value, decision.statistic, decision.gain) == (None, None, None)


def test_incumbent_cannot_win_against_itself() -> None:
    decision = decide([*CANDIDATES, *made("incumbent", 0.1)], Promotion(), "incumbent", proof())
    assert (decision.promoted, decision.winner) == (False, "gru")


def test_different_rows_are_no_proof() -> None:
    with pytest.raises(AeroCastError, match="99 rows"):
        decide([*CANDIDATES, *made("incumbent", 0.9, n=99)], Promotion(), "incumbent")
