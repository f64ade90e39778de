"""Decides whether the challenger serves: if it beats both baselines at a horizon, and the incumbent, on the same rows.

What is judged is the release as it would serve: at a horizon at which the challenger does not beat the baselines, what
stands in there (see `aerocast.promotion.gate`). A challenger that beats them nowhere is refused.

Beating the incumbent means a gain above `min_gain`, the share by which the composite falls below the incumbent's, and
one that luck explains with a chance of at most `max_p` (see `aerocast.promotion.diebold_mariano`).

Where the incumbent lacks what is declared now (a horizon, a station), it is enough to be not proven worse by more than
`max_loss` on what both forecast. One that cannot be scored is replaced only by a release of no less skill than it had
when it was judged.
"""

from collections.abc import Mapping, Sequence

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.words import count
from aerocast.feed.policies import Promotion
from aerocast.promotion import gate
from aerocast.promotion.diebold_mariano import Comparison
from aerocast.promotion.gate import Column
from aerocast.promotion.scoring import Score, overall


class Decision(msgspec.Struct, frozen=True):
    """`winner` is the release's kind (None: only baselines ran); it serves if `promoted`.

    `gain`, `p_value` and `statistic` compare it with the incumbent, where there is one. `kinds` says by horizon what it
    would serve with, and `served_by` where that is not the challenger's own.
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
    kinds: dict[int, str] = {}
    served_by: dict[int, str] = {}


class Rival(msgspec.Struct, frozen=True):
    """The incumbent in a trial: its name in the scores, what it `lacks` of the declaration, and the comparison.

    `scores` are those on what it and the challenger both forecast. Without them it could not be scored: then `bar` is
    the skill that it had by horizon when it was judged.
    """

    name: str = ""
    scores: Sequence[Score] = ()
    comparison: Comparison | None = None
    lacks: str = ""
    bar: Mapping[int, float] = {}


NOBODY = Rival()
NO_CANDIDATE = Decision(False, None, "Refused: no candidate beside the baselines.")


def decide(
    scores: Sequence[Score],
    promotion: Promotion,
    release: str,
    columns: Mapping[int, Column],
    rival: Rival = NOBODY,
    obstacle: str = "",
) -> Decision:
    """Decides by all models' scores on one set of rows; `release` names what would serve there, by `columns`.

    `obstacle` is why it could not serve whatever its scores, as a clause.

    Raises:
        AeroCastError: the incumbent was scored on other rows than the release, or nobody compared the two.
    """
    own = overall(scores, release)
    before, same = _both(rival, release)
    gain = None if before is None or same is None else 1 - same.composite / before.composite
    failures = [obstacle] if obstacle else []
    failures += _column_failures(columns, promotion.min_skill)
    if gain is not None and rival.comparison is not None:
        failures += (_loss_failures if rival.lacks else _gain_failures)(gain, rival.comparison, promotion)
    failures += _bar_failures(scores, release, rival.bar)
    facts = f"{_label(release, columns)} has composite {own.composite:.4f} and skill {own.skill:.4f}"
    facts += " over the better baseline"
    if before is not None and same is not None:
        apart = f", it {same.composite:.4f}" if rival.lacks else ""
        facts += f"; the incumbent has {before.composite:.4f} on the same {same.n} rows{apart}"
    facts += f"; the incumbent does not {rival.lacks}" if rival.lacks else ""
    facts += _short_note(rival, promotion.min_skill) if failures else _worse_note(rival, columns)
    facts += "" if failures else gate.stand_ins(columns)
    note = _gain_note(gain, rival)
    return Decision(
        promoted=not failures,
        winner=release,
        reason=f"Refused: {facts}; {'; '.join(failures)}." if failures else f"Promoted: {facts}{note}.",
        composite=own.composite,
        skill=own.skill,
        incumbent_composite=None if before is None else before.composite,
        gain=gain,
        p_value=rival.comparison.p_value if rival.comparison else None,
        statistic=rival.comparison.statistic if rival.comparison else None,
    )


def _both(rival: Rival, release: str) -> tuple[Score | None, Score | None]:
    """The incumbent's score and the release's on the same rows; None if it could not be scored."""
    if not rival.scores:
        return None, None
    before, same = overall(rival.scores, rival.name), overall(rival.scores, release)
    if before.n != same.n:
        raise AeroCastError(f"promotion: the incumbent was scored on {before.n} rows, {release} on {same.n}")
    if rival.comparison is None:
        raise AeroCastError(f"promotion: {release} was not compared with the incumbent")
    return before, same


def _label(release: str, columns: Mapping[int, Column]) -> str:
    """The release's kind; of one that has several, which serves where."""
    serves = any(column.source == "challenger" for column in columns.values())
    model_at = {horizon: column.model if serves else column.challenger for horizon, column in columns.items()}
    models = list(dict.fromkeys(model_at.values()))
    if models == [release]:
        return release
    parts = [f"{model} at {', '.join(str(at) for at, each in model_at.items() if each == model)}" for model in models]
    return f"{release} ({'; '.join(parts)} steps ahead)"


def _column_failures(columns: Mapping[int, Column], least: float) -> list[str]:
    """Says that the challenger beats the baselines nowhere, and how near it comes."""
    if any(column.source == "challenger" for column in columns.values()):
        return []
    horizon, best = max(columns.items(), key=lambda item: min(item[1].skills))
    where = f"its best, {best.challenger} at {count(horizon, 'step')}, has {best.skills}"
    return [f"no horizon is above min_skill {least:g} over both baselines: {where}"]


def _worse_note(rival: Rival, columns: Mapping[int, Column]) -> str:
    """Where the challenger serves although the incumbent was better there, in either measure."""
    if not rival.scores or rival.lacks:
        return ""
    incumbent = gate.skills(rival.scores, rival.name)
    own = {horizon: column.skills for horizon, column in columns.items() if column.source == "challenger"}
    at = [
        str(horizon)
        for horizon, each in own.items()
        if incumbent[horizon].rmse > each.rmse or incumbent[horizon].mae > each.mae
    ]
    return f"; at {', '.join(at)} steps the incumbent alone would be better in RMSE or MAE" if at else ""


def _short_note(rival: Rival, least: float) -> str:
    """Where the incumbent, which serves on, is no better than the baselines on these rows."""
    skills = gate.skills(rival.scores, rival.name) if rival.scores else {}
    at = [str(horizon) for horizon, each in skills.items() if not each.beat(least)]
    return f"; the incumbent itself does not beat both baselines {', '.join(at)} steps ahead" if at else ""


def _gain_note(gain: float | None, rival: Rival) -> str:
    if rival.bar:
        return ", no less than the incumbent's when it was judged"
    if gain is None or rival.comparison is None:
        return "; there is no incumbent"
    return f", a gain of {gain:.2%} with p = {rival.comparison.p_value:.3g} over {rival.comparison.n} instants"


def _loss_failures(gain: float, comparison: Comparison, promotion: Promotion) -> list[str]:
    """Says whether the release is much worse, with the certainty that is asked of a gain."""
    if gain >= -promotion.max_loss or 1 - comparison.p_value > promotion.max_p:
        return []
    chance = f"p = {1 - comparison.p_value:.3g}"
    return [f"gain {gain:.2%} with {chance}: it is worse on what both forecast by more than {promotion.max_loss:.0%}"]


def _bar_failures(scores: Sequence[Score], release: str, bar: Mapping[int, float]) -> list[str]:
    own = {horizon: each.rmse for horizon, each in gate.skills(scores, release).items() if horizon in bar}
    if not own:
        return []
    skill, least = (sum(each[horizon] for horizon in own) / len(own) for each in (own, bar))
    if skill >= least:
        return []
    at = ", ".join(map(str, own))
    return [f"skill {skill:.4f} at {at} steps is below the {least:.4f} that the incumbent had when it was judged"]


def _gain_failures(gain: float, comparison: Comparison, promotion: Promotion) -> list[str]:
    failures = []
    if not gain > promotion.min_gain:
        failures.append(f"gain {gain:.2%} is not above min_gain {promotion.min_gain:.2%}")
    if not comparison.p_value <= promotion.max_p:
        why = f" ({comparison.reason})" if comparison.reason else ""
        p = f"p = {comparison.p_value:.3g} over {comparison.n} instants"
        failures.append(f"{p} is above max_p {promotion.max_p:g}{why}")
    return failures
