"""The best candidate serves only with proof; a refusal gives its numbers."""

import pytest

from aerocast.errors import AeroCastError
from aerocast.feed import Promotion
from aerocast.promotion import decide
from aerocast.scoring import Score


def made(model: str, composite: float, skill: float = 0.2, n: int = 100) -> Score:
    return Score(model, "all", 0, n, 1.0, 1.0, 1.0, composite, skill, skill)


CANDIDATES = {
    "gru": made("gru", 0.7),
    "linear": made("linear", 0.8),
    "persistence": made("persistence", 0.1, skill=0.9),
}


def test_the_best_composite_wins_and_baselines_never() -> None:
    decision = decide(CANDIDATES, None, Promotion())
    assert (decision.promoted, decision.winner) == (True, "gru")
    assert "0.7000" in decision.reason
    assert "no incumbent" in decision.reason
    alone = decide({"persistence": CANDIDATES["persistence"]}, None, Promotion())
    assert (alone.promoted, alone.winner) == (False, None)


@pytest.mark.parametrize(("skill", "promoted"), [(0.0, False), (-0.1, False), (1e-6, True)])
def test_skill_must_be_above_the_limit(skill: float, promoted: bool) -> None:
    decision = decide({"gru": made("gru", 0.7, skill)}, None, Promotion(min_skill=0.0))
    assert decision.promoted is promoted
    assert promoted or "min_skill" in decision.reason


@pytest.mark.parametrize(("before", "min_gain", "promoted"), [(0.7, 0, False), (0.71, 0, True), (0.71, 0.05, False)])
def test_the_incumbent_must_be_beaten_by_the_gain(before: float, min_gain: float, promoted: bool) -> None:
    decision = decide(CANDIDATES, made("xgboost", before), Promotion(min_gain=min_gain))
    assert decision.promoted is promoted
    assert decision.gain == pytest.approx(1 - 0.7 / before)
    assert ("Promoted" in decision.reason) is promoted
    assert promoted or "min_gain" in decision.reason


def test_other_rows_are_no_proof() -> None:
    with pytest.raises(AeroCastError, match="99 rows"):
        decide(CANDIDATES, made("gru", 0.9, n=99), Promotion())
