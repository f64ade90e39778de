"""Who serves: the best candidate, if it beats both baselines and the incumbent on the very same rows.

Skill here is RMSE skill against the better baseline of each horizon, averaged over the horizons, all stations pooled.
Gain is the share by which the composite falls below the incumbent's.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from aerocast.errors import AeroCastError
from aerocast.feed import BASELINES, Promotion
from aerocast.scoring import Score


class Decision(msgspec.Struct, frozen=True):
    """`winner` is the best candidate by composite (None: only baselines ran); it serves if `promoted`."""

    promoted: bool
    winner: str | None
    reason: str
    composite: float | None = None
    skill: float | None = None
    incumbent_composite: float | None = None
    gain: float | None = None


def decide(candidates: Mapping[str, Score], incumbent: Score | None, promotion: Promotion) -> Decision:
    """The decision over `overall` scores, by kind; baselines among them are yardsticks and can never win.

    Raises:
        AeroCastError: the incumbent was scored on other rows than the candidates.
    """
    contenders = {kind: score for kind, score in candidates.items() if kind not in BASELINES}
    if not contenders:
        return Decision(False, None, "Refused: no candidate beside the baselines.")
    kind, best = min(contenders.items(), key=lambda entry: (entry[1].composite, entry[0]))
    if incumbent is not None and incumbent.n != best.n:
        raise AeroCastError(f"promotion: the incumbent was scored on {incumbent.n} rows, {kind} on {best.n}")
    gain = None if incumbent is None else 1 - best.composite / incumbent.composite
    failures = _failures(best, incumbent, gain, promotion)
    facts = f"{kind} has composite {best.composite:.4f} and skill {best.skill:.4f} over the better baseline"
    if incumbent is not None:
        facts += f"; the incumbent has {incumbent.composite:.4f} on the same {best.n} rows"
    verdict = f"Refused: {facts}; {'; '.join(failures)}." if failures else f"Promoted: {facts}{_why(gain)}."
    before = None if incumbent is None else incumbent.composite
    return Decision(not failures, kind, verdict, best.composite, best.skill, before, gain)


def _why(gain: float | None) -> str:
    return "; there is no incumbent" if gain is None else f", a gain of {gain:.2%}"


def _failures(best: Score, incumbent: Score | None, gain: float | None, promotion: Promotion) -> list[str]:
    failures = []
    if not best.skill > promotion.min_skill:
        failures.append(f"skill {best.skill:.4f} is not above min_skill {promotion.min_skill:g}")
    if incumbent is not None and gain is not None and not gain > promotion.min_gain:
        failures.append(f"gain {gain:.2%} is not above min_gain {promotion.min_gain:.2%}")
    return failures
