"""Who serves: the best candidate, if it beats both baselines and the incumbent on the very same rows.

Beating the baselines means RMSE skill above `min_skill` at every horizon, against the better baseline there, with all
stations pooled: the rule that the champion's check holds, too. `Decision.skill` is the mean over the horizons. Gain is
the share by which the composite falls below the incumbent's.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from aerocast.errors import AeroCastError
from aerocast.feed import BASELINES, Promotion
from aerocast.scoring import ALL, Score, overall


class Decision(msgspec.Struct, frozen=True):
    """`winner` is the best candidate by composite (None: only baselines ran); it serves if `promoted`."""

    promoted: bool
    winner: str | None
    reason: str
    composite: float | None = None
    skill: float | None = None
    incumbent_composite: float | None = None
    gain: float | None = None


def decide(scores: Sequence[Score], promotion: Promotion, incumbent: str | None = None) -> Decision:
    """The decision over all models' scores on one set of rows; `incumbent` names the one that serves now.

    Baselines are yardsticks and can never win. The best candidate is the one of least composite among those that beat
    both baselines at every horizon; if none does, the one of least composite is refused for it.

    Raises:
        AeroCastError: the incumbent was scored on other rows than the candidates.
    """
    models = {score.model for score in scores} - {*BASELINES, incumbent}
    if not models:
        return Decision(False, None, "Refused: no candidate beside the baselines.")
    weakest = {model: min(_skills(scores, model).items(), key=lambda entry: entry[1]) for model in models}
    able = {model for model in models if weakest[model][1] > promotion.min_skill}
    best = min((overall(scores, model) for model in able or models), key=lambda score: (score.composite, score.model))
    rival = overall(scores, incumbent) if incumbent else None
    if rival is not None and rival.n != best.n:
        raise AeroCastError(f"promotion: the incumbent was scored on {rival.n} rows, {best.model} on {best.n}")
    gain = None if rival is None else 1 - best.composite / rival.composite
    failures = _failures(weakest[best.model], gain, promotion)
    facts = f"{best.model} has composite {best.composite:.4f} and skill {best.skill:.4f} over the better baseline"
    if rival is not None:
        facts += f"; the incumbent has {rival.composite:.4f} on the same {best.n} rows"
    verdict = f"Refused: {facts}; {'; '.join(failures)}." if failures else f"Promoted: {facts}{_why(gain)}."
    before = None if rival is None else rival.composite
    return Decision(not failures, best.model, verdict, best.composite, best.skill, before, gain)


def _skills(scores: Sequence[Score], model: str) -> dict[int, float]:
    """Skill over the better baseline at each horizon, all stations pooled."""
    own = [score for score in scores if score.model == model and score.station == ALL and score.horizon]
    return {score.horizon: score.skill for score in own}


def _why(gain: float | None) -> str:
    return "; there is no incumbent" if gain is None else f", a gain of {gain:.2%}"


def _failures(weakest: tuple[int, float], gain: float | None, promotion: Promotion) -> list[str]:
    horizon, skill = weakest
    failures = []
    if not skill > promotion.min_skill:
        failures.append(f"skill {skill:.4f} at {horizon} steps is not above min_skill {promotion.min_skill:g}")
    if gain is not None and not gain > promotion.min_gain:
        failures.append(f"gain {gain:.2%} is not above min_gain {promotion.min_gain:.2%}")
    return failures
