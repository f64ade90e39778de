"""Decides who serves: the best candidate, if it beats both baselines and the incumbent on the very same rows.

Beating the baselines means RMSE skill above `min_skill` at every horizon, against the better baseline there, with all
stations pooled, and in the mean over the horizons (`Decision.skill`). A horizon at which the incumbent falls short on
these rows, too, refuses nobody: to keep the worse one would help nobody. The reason names it, and the champion's check.

Beating the incumbent means a gain above `min_gain`, the share by which the composite falls below the incumbent's, and
one that luck explains with a chance of at most `max_p` (see `aerocast.promotion.diebold_mariano`). Only the best of the
candidates is tried; picking it on the same rows flatters it, so of k candidates the chance is below k times `max_p`.

Where the incumbent lacks what is declared now (a horizon, a station), it is enough to be not proven worse by more than
`max_loss` on what both forecast. One that cannot be scored is replaced only by a candidate of no less skill than it
had when it was judged.
"""

from collections.abc import Collection, Mapping, Sequence, Set

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.words import count
from aerocast.feed.declaration import BASELINES
from aerocast.feed.policies import Promotion
from aerocast.promotion.diebold_mariano import Comparison
from aerocast.promotion.scoring import ALL, Score, overall


class Decision(msgspec.Struct, frozen=True):
    """`winner` is the best candidate by composite (None: only baselines ran); it serves if `promoted`.

    `gain`, `p_value` and `statistic` compare it with the incumbent, where there is one.
    """

    promoted: bool
    winner: str | None
    reason: str
    composite: float | None = None
    skill: float | None = None
    incumbent_composite: float | None = None
    gain: float | None = None
    p_value: float | None = None
    statistic: float | None = None


def decide(
    scores: Sequence[Score],
    promotion: Promotion,
    incumbent: str | None = None,
    proof: Mapping[str, Comparison] | None = None,
    common_scores: Sequence[Score] | None = None,
    lacks: str = "",
    bar: Mapping[int, float] | None = None,
    yardsticks: Collection[str] = BASELINES,
) -> Decision:
    """Decides by all models' scores on one set of rows; `incumbent` names the one that serves now.

    `proof` compares it with each candidate, by kind. `common_scores` are those on what it and the candidates both
    forecast, if that is less than all; `lacks` is what is declared that it does not do. `bar` is the skill that one
    which could not be scored had by horizon.

    `yardsticks` are scored and can never win: baselines, and kinds that cannot serve. The best candidate is the one of
    least composite among those that beat both baselines; if none does, the one of least composite is refused for it.

    Raises:
        AeroCastError: the incumbent was scored on other rows than the candidates, or nobody compared the two.
    """
    models = {score.model for score in scores} - {*yardsticks, incumbent}
    if not models:
        return Decision(False, None, "Refused: no candidate beside the baselines.")
    least = promotion.min_skill
    common_scores = scores if common_scores is None else common_scores
    exempt = {horizon for horizon, skill in _skills(common_scores, incumbent).items() if not skill > least}
    able = {model for model in models if not _skill_failures(scores, model, exempt, least)}
    best = min((overall(scores, model) for model in able or models), key=lambda score: (score.composite, score.model))
    rival, same = (overall(common_scores, name) if incumbent else None for name in (incumbent or "", best.model))
    if rival is not None and same is not None and rival.n != same.n:
        raise AeroCastError(f"promotion: the incumbent was scored on {rival.n} rows, {best.model} on {same.n}")
    gain = None if rival is None or same is None else 1 - same.composite / rival.composite
    comparison = None if rival is None else (proof or {}).get(best.model)
    if rival is not None and comparison is None:
        raise AeroCastError(f"promotion: {best.model} was not compared with the incumbent")
    failures = _skill_failures(scores, best.model, exempt, least)
    failures += _loss_failures(gain, comparison, promotion) if lacks else _gain_failures(gain, comparison, promotion)
    failures += _bar_failures(scores, best.model, bar or {})
    facts = f"{best.model} has composite {best.composite:.4f} and skill {best.skill:.4f} over the better baseline"
    if rival is not None and same is not None:
        own = "" if common_scores is scores else f", it {same.composite:.4f}"
        facts += f"; the incumbent has {rival.composite:.4f} on the same {same.n} rows{own}"
    facts += f"; the incumbent does not {lacks}" if lacks else ""
    facts += _exemption_note(scores, best.model, exempt, least)
    gain_note = _gain_note(gain, comparison, bar)
    verdict = f"Refused: {facts}; {'; '.join(failures)}." if failures else f"Promoted: {facts}{gain_note}."
    return Decision(
        promoted=not failures,
        winner=best.model,
        reason=verdict,
        composite=best.composite,
        skill=best.skill,
        incumbent_composite=None if rival is None else rival.composite,
        gain=gain,
        p_value=None if comparison is None else comparison.p_value,
        statistic=None if comparison is None else comparison.statistic,
    )


def _skills(scores: Sequence[Score], model: str | None) -> dict[int, float]:
    """Skill over the better baseline at each horizon, all stations pooled; empty for no model."""
    own = [score for score in scores if score.model == model and score.station == ALL and score.horizon]
    return {score.horizon: score.skill for score in own}


def _skill_failures(scores: Sequence[Score], model: str, exempt: Set[int], least: float) -> list[str]:
    """Says where a model does not beat the baselines: its weakest horizon, or else the mean over all."""
    weak = {horizon: skill for horizon, skill in _skills(scores, model).items() if not skill > least}
    failures = sorted((skill, horizon) for horizon, skill in weak.items() if horizon not in exempt)
    if failures:
        skill, horizon = failures[0]
        return [f"skill {skill:.4f} at {count(horizon, 'step')} is not above min_skill {least:g}"]
    mean = overall(scores, model).skill
    return [] if mean > least else [f"mean skill {mean:.4f} is not above min_skill {least:g}"]


def _exemption_note(scores: Sequence[Score], model: str, exempt: Set[int], least: float) -> str:
    weak = [
        str(horizon) for horizon, skill in _skills(scores, model).items() if horizon in exempt and not skill > least
    ]
    return f"; at {', '.join(weak)} steps neither it nor the incumbent beats the baselines" if weak else ""


def _gain_note(gain: float | None, comparison: Comparison | None, bar: Mapping[int, float] | None) -> str:
    if bar:
        return ", no less than the incumbent's when it was judged"
    if gain is None or comparison is None:
        return "; there is no incumbent"
    return f", a gain of {gain:.2%} with p = {comparison.p_value:.3g} over {comparison.n} instants"


def _loss_failures(gain: float | None, comparison: Comparison | None, promotion: Promotion) -> list[str]:
    """Says whether the candidate is much worse, with the certainty that is asked of a gain."""
    if gain is None or comparison is None or gain >= -promotion.max_loss or 1 - comparison.p_value > promotion.max_p:
        return []
    chance = f"p = {1 - comparison.p_value:.3g}"
    return [f"gain {gain:.2%} with {chance}: it is worse on what both forecast by more than {promotion.max_loss:.0%}"]


def _bar_failures(scores: Sequence[Score], model: str, bar: Mapping[int, float]) -> list[str]:
    own = {horizon: skill for horizon, skill in _skills(scores, model).items() if horizon in bar}
    if not own:
        return []
    skill, least = (sum(each[horizon] for horizon in own) / len(own) for each in (own, bar))
    if skill >= least:
        return []
    at = ", ".join(map(str, own))
    return [f"skill {skill:.4f} at {at} steps is below the {least:.4f} that the incumbent had when it was judged"]


def _gain_failures(gain: float | None, comparison: Comparison | None, promotion: Promotion) -> list[str]:
    failures = []
    if gain is not None and not gain > promotion.min_gain:
        failures.append(f"gain {gain:.2%} is not above min_gain {promotion.min_gain:.2%}")
    if comparison is not None and not comparison.p_value <= promotion.max_p:
        why = f" ({comparison.reason})" if comparison.reason else ""
        p = f"p = {comparison.p_value:.3g} over {comparison.n} instants"
        failures.append(f"{p} is above max_p {promotion.max_p:g}{why}")
    return failures
