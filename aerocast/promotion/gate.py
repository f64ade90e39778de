"""The gate at each horizon: what serves there has beaten both baselines on the rows that judge, or is the better one.

A model beats the baselines at a horizon if its skill in RMSE and its skill in MAE are both above `min_skill`, all
stations pooled. Each skill is 1 - error / the least error of the two baselines in that measure, so that with the
default of 0 the model is better than both in both. Where the challenger does not, the incumbent's forecast stands in if
it does; else the better baseline, which is the one of lesser RMSE (of equals, of lesser MAE).
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from aerocast.common.words import count
from aerocast.feed.declaration import BASELINES
from aerocast.promotion.scoring import ALL, Score

LEAST = 1e-9  # below it an error is none, and no divisor
Source = Literal["challenger", "incumbent", "baseline"]


class Skills(NamedTuple):
    """Skill over the better baseline in RMSE and in MAE."""

    rmse: float
    mae: float

    def beat(self, least: float) -> bool:
        return self.rmse > least and self.mae > least

    def __str__(self) -> str:
        return f"skill {self.rmse:+.4f} in RMSE and {self.mae:+.4f} in MAE"


class Column(NamedTuple):
    """What serves a horizon: a model by its name in the scores. `challenger` and its `skills` are what stood there."""

    model: str
    source: Source
    challenger: str
    skills: Skills


def pass_columns(
    scores: Sequence[Score], challenger: Mapping[int, str], incumbent: str | None, least: float
) -> dict[int, Column]:
    """What serves each horizon of the challenger (kind by horizon); `incumbent` only if its forecasts can stand in."""
    columns = {}
    for horizon, kind in challenger.items():
        own = skills(scores, kind)[horizon]
        if own.beat(least):
            columns[horizon] = Column(kind, "challenger", kind, own)
        elif incumbent and skills(scores, incumbent)[horizon].beat(least):
            columns[horizon] = Column(incumbent, "incumbent", kind, own)
        else:
            columns[horizon] = Column(better_baseline(scores, horizon), "baseline", kind, own)
    return columns


def skills(scores: Sequence[Score], model: str) -> dict[int, Skills]:
    """A model's skills at each horizon, all stations pooled."""
    least: dict[int, tuple[float, float]] = {}
    for each in _pooled(scores, *BASELINES):
        rmse, mae = least.get(each.horizon, (float("inf"), float("inf")))
        least[each.horizon] = (min(rmse, each.rmse), min(mae, each.mae))
    return {
        each.horizon: Skills(_skill(each.rmse, least[each.horizon][0]), _skill(each.mae, least[each.horizon][1]))
        for each in _pooled(scores, model)
    }


def better_baseline(scores: Sequence[Score], horizon: int) -> str:
    """The baseline that serves a horizon at which no model is better."""
    own = [each for each in _pooled(scores, *BASELINES) if each.horizon == horizon]
    return min(own, key=lambda each: (each.rmse, each.mae, each.model)).model


def stand_ins(columns: Mapping[int, Column]) -> str:
    """Where and why the challenger does not serve, as clauses; empty if it serves everywhere."""
    clauses = []
    for horizon, column in columns.items():
        if column.source != "challenger":
            name = "the incumbent" if column.source == "incumbent" else column.model
            clauses.append(f"; at {count(horizon, 'step')} {name} serves: {column.challenger} has {column.skills}")
    return "".join(clauses)


def _pooled(scores: Sequence[Score], *models: str) -> list[Score]:
    return [each for each in scores if each.model in models and each.station == ALL and each.horizon]


def _skill(error: float, least: float) -> float:
    return 1 - max(error, LEAST) / max(least, LEAST)
