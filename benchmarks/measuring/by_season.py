"""Coverage of intervals by the meteorological season in which outcomes were measured, on the place's own clock."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Place, Times
from aerocast.features.local_time import local_seconds
from measuring.table import verdict

SEASONS = ("winter", "spring", "summer", "autumn")  # from December, in the north
FEWEST = 300  # outcomes, below which a season is not judged
GOAL = (0.87, 0.93)


@dataclass(frozen=True)
class Coverage:
    """The share of a season's `outcomes` that lay in their intervals."""

    season: str
    outcomes: int
    share: float

    @property
    def has_enough(self) -> bool:
        return self.outcomes >= FEWEST

    @property
    def reached(self) -> bool:
        """By the share as it is shown."""
        return GOAL[0] <= round(self.share, 3) <= GOAL[1]

    def cells(self) -> list[str]:
        judged = verdict(self.reached) if self.has_enough else f"too few, of {FEWEST}"
        return [self.season, f"{self.outcomes:,}", f"{self.share:.1%}", judged]


def seasons_of(times: Times, place: Place) -> NDArray[np.int64]:
    """Index (n,) in SEASONS of each time (UTC); a place without a latitude counts as northern."""
    month = local_seconds(times, place.timezone).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12
    is_southern = place.latitude is not None and place.latitude < 0
    return (month + 1) // 3 % 4 if not is_southern else ((month + 1) // 3 + 2) % 4


def by_season(times: Times, place: Place, inside: NDArray[np.bool_]) -> Iterator[Coverage]:
    """Of outcomes at `times` (n,) and whether each was `inside`: each season of more than one, as they come."""
    season = seasons_of(times, place)
    order = list(dict.fromkeys(season.tolist()))
    for each in order if len(order) > 1 else ():
        own = season == each
        yield Coverage(SEASONS[each], int(own.sum()), float(inside[own].mean()))


def summary(coverages: list[Coverage]) -> str:
    """How many seasons reach the goal."""
    judged = [each for each in coverages if each.has_enough]
    text = f"{sum(each.reached for each in judged)} of {len(judged)} cells within {GOAL[0]:.0%} and {GOAL[1]:.0%}"
    few = len(coverages) - len(judged)
    return f"{text}; {few} with fewer than {FEWEST} outcomes" if few else text
