"""A challenger serves only with proof; a refusal gives its numbers."""

from collections.abc import Mapping

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.policies import Promotion
from aerocast.promotion.decision import NOBODY, Decision, Rival, decide
from aerocast.promotion.diebold_mariano import Comparison
from aerocast.promotion.gate import pass_columns
from aerocast.promotion.scoring import Score

HORIZONS = (1, 24)


def scores_of(model: str, composite: float, near: float, far: float | None = None, n: int = 100) -> list[Score]:
    """A model's errors at 1 step and at 24, RMSE and MAE alike, where the better baseline's are 1."""
    errors = dict(zip(HORIZONS, (near, near if far is None else far), strict=True))
    rows = [
        Score(model, "all", at, n, error, error, error**2, composite, 1 - error, 0.0) for at, error in errors.items()
    ]
    mean = sum(errors.values()) / 2
    return [*rows, Score(model, "all", 0, n, mean, mean, mean, composite, 1 - mean, 0.0)]


BASELINES = [*scores_of("persistence", 0.9, 1.0), *scores_of("seasonal_naive", 1.5, 2.0)]
INCUMBENT = "incumbent"


def decided(
    near: float = 0.8,
    far: float | None = None,
    promotion: Promotion | None = None,
    rival: Rival = NOBODY,
    before: list[Score] | None = None,
    composite: float = 0.7,
) -> Decision:
    """The decision on a challenger `gru` of these errors."""
    promotion = promotion or Promotion()
    scores = [*BASELINES, *scores_of("gru", composite, near, far), *(before or [])]
    columns = pass_columns(scores, dict.fromkeys(HORIZONS, "gru"), INCUMBENT if before else None, promotion.min_skill)
    return decide(scores, promotion, "gru", columns, rival)


def rival(before: list[Score], p_value: float = 0.001, reason: str = "", composite: float = 0.7, n: int = 100) -> Rival:
    comparison = Comparison(p_value, None if reason else 3.2, 120, 0.01, 10, reason)
    return Rival(INCUMBENT, [*BASELINES, *scores_of("gru", composite, 0.8, n=n), *before], comparison)


def test_challenger_without_incumbent_is_not_compared() -> None:
    decision = decided()
    assert (decision.promoted, decision.winner) == (True, "gru")
    assert decision.reason == "Promoted: gru has composite 0.7000 and skill 0.2000 over the better baseline; " \
        "there is no incumbent."  # fmt: skip
    assert (decision.p_value, decision.statistic, decision.gain) == (None, None, None)


@pytest.mark.parametrize(("error", "promoted"), [(1.0, False), (1.1, False), (1 - 1e-6, True)])
def test_skill_must_exceed_limit_somewhere(error: float, promoted: bool) -> None:
    decision = decided(error)
    assert decision.promoted is promoted
    assert (
        promoted
        or "no horizon is above min_skill 0 over both baselines: its best, gru at 1 step, has" in decision.reason
    )
    assert not decided(promotion=Promotion(min_skill=0.3)).promoted


def test_baseline_serves_where_challenger_is_no_better() -> None:
    decision = decided(0.5, far=1.01)
    assert decision.promoted
    assert (
        "; at 24 steps persistence serves: gru has skill -0.0100 in RMSE and -0.0100 in MAE; there is no incumbent"
        in decision.reason
    )


@pytest.mark.parametrize(("before", "min_gain", "promoted"), [(0.7, 0, False), (0.71, 0, True), (0.71, 0.05, False)])
def test_incumbent_must_be_beaten_by_gain(before: float, min_gain: float, promoted: bool) -> None:
    rows = scores_of(INCUMBENT, before, 0.9)
    decision = decided(promotion=Promotion(min_gain=min_gain), rival=rival(rows), before=rows)
    assert decision.promoted is promoted
    assert decision.gain == pytest.approx(1 - 0.7 / before)
    assert ("Promoted" in decision.reason) is promoted
    assert promoted or "min_gain" in decision.reason


@pytest.mark.parametrize(("p_value", "max_p", "promoted"), [(0.05, 0.05, True), (0.051, 0.05, False), (0.2, 0.3, True)])
def test_gain_explained_by_chance_is_refused(p_value: float, max_p: float, promoted: bool) -> None:
    rows = scores_of(INCUMBENT, 0.9, 0.9)
    decision = decided(promotion=Promotion(max_p=max_p), rival=rival(rows, p_value), before=rows)
    assert decision.promoted is promoted
    assert (decision.p_value, decision.statistic) == (p_value, 3.2)
    assert f"p = {p_value:.3g} over 120 instants" in decision.reason
    assert promoted or f"above max_p {max_p:g}" in decision.reason


def test_horizon_at_which_incumbent_is_better_is_named() -> None:
    rows = scores_of(INCUMBENT, 0.9, 0.95, far=0.7)
    decision = decided(rival=rival(rows), before=rows)
    assert decision.promoted, "the whole is better"
    assert "; at 24 steps the incumbent alone would be better in RMSE or MAE" in decision.reason


def test_incumbent_serves_on_where_it_alone_beats_the_baselines() -> None:
    rows = scores_of(INCUMBENT, 0.9, 0.95, far=0.7)
    decision = decided(0.5, far=1.2, rival=rival(rows), before=rows)
    assert decision.promoted
    assert "; at 24 steps the incumbent serves: gru has skill -0.2000" in decision.reason


def test_refusal_says_why_proof_is_missing() -> None:
    rows = scores_of(INCUMBENT, 0.9, 0.9)
    decision = decided(rival=rival(rows, 1.0, reason="5 instants are too few"), before=rows)
    assert not decision.promoted
    assert "(5 instants are too few)" in decision.reason
    assert decision.statistic is None


def test_release_must_be_compared_on_the_same_rows() -> None:
    rows = scores_of(INCUMBENT, 0.9, 0.9)
    with pytest.raises(AeroCastError, match="gru was not compared"):
        decided(rival=Rival(INCUMBENT, rival(rows).scores), before=rows)
    with pytest.raises(AeroCastError, match="scored on 100 rows, gru on 99"):
        decided(rival=rival(rows, n=99), before=rows)


@pytest.mark.parametrize(("bar", "promoted"), [({1: 0.1, 24: 0.2}, True), ({1: 0.3, 24: 0.3, 48: 0.9}, False)])
def test_unscored_incumbent_yields_to_no_lower_skill(bar: Mapping[int, float], promoted: bool) -> None:
    decision = decided(rival=Rival(bar=bar))
    assert decision.promoted is promoted
    assert promoted or "skill 0.2000 at 1, 24 steps is below the 0.3000 that the incumbent had" in decision.reason


def test_obstacle_refuses_whatever_the_scores() -> None:
    scores = [*BASELINES, *scores_of("gru", 0.7, 0.5)]
    columns = pass_columns(scores, dict.fromkeys(HORIZONS, "gru"), None, 0.0)
    decision = decide(scores, Promotion(), "gru", columns, obstacle="the models cannot be one graph: odd")
    assert not decision.promoted
    assert decision.reason.endswith("; the models cannot be one graph: odd.")
