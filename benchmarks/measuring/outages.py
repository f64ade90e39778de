"""What a server knows while something is silent: grids as silver would have them, and baselines on what is left."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Grid, WindowSpec

EVER = 1 << 20  # steps: longer than anything looks back


@dataclass(frozen=True)
class Regime:
    """What is silent at an origin: these columns (none named: every one) for the newest `steps` steps.

    `is_alone`: at the station that is asked for, and at no other. `is_sent`: requests bring what is known ahead.
    """

    name: str
    steps: int = 0
    columns: tuple[str, ...] = ()
    is_alone: bool = False
    is_sent: bool = True

    def silences(self, column: str) -> int:
        """The newest steps for which a column of the station that is asked for is silent."""
        return self.steps if not self.columns or column in self.columns else 0


def regimes(spec: WindowSpec) -> list[Regime]:
    """All that are measured by numbers on a feed with this window."""
    hour, target = max(1, 3600 // spec.cadence), (spec.target,)
    known_ahead = {each.name for each in spec.ahead}
    columns = [name for name in spec.inputs if name != spec.target and name not in known_ahead]
    spans = {"1 h": hour, "24 h": 24 * hour, "7 d": 168 * hour}
    several = len(spec.places) > 1
    return [
        Regime("nothing silent"),
        *(Regime(f"{name} gone", EVER, (name,)) for name in columns),
        *(Regime(f"target silent {span}", steps, target) for span, steps in spans.items()),
        *(Regime(f"station silent {span}", steps, is_alone=True) for span, steps in spans.items() if several),
        *([Regime("covariates absent", is_sent=False)] if known_ahead else []),
    ]


def silence(grid: Grid, columns: Iterable[str], steps: int, fill: int) -> Grid:
    """The grid as silver would have it, had these columns not been measured in its newest `steps` steps.

    The last value is carried on while it is at most `fill` steps old.
    """
    first = max(0, len(grid.time) - steps)
    values, age = grid.values.copy(), grid.age.copy()
    for at in (grid.columns.index(name) for name in columns):
        since = np.arange(1, len(grid.time) - first + 1)
        older = age[first - 1, at] + since if first else np.full(len(since), np.nan)
        is_filled = older <= fill
        values[first:, at] = np.where(is_filled, values[first - 1, at], np.nan)
        age[first:, at] = np.where(is_filled, older, np.nan)
    return replace(grid, values=values, age=age)


def measured(grid: Grid, column: str) -> NDArray[np.float64]:
    """The values (T,) of a column, NaN where it was not measured."""
    at = grid.columns.index(column)
    return np.where(grid.age[:, at] == 0, grid.values[:, at], np.nan).astype(np.float64)


def season_before(values: NDArray[np.float64], season: int, newest: int, target: int) -> float:
    """The value (T,) a whole number of seasons before row `target` that was measured last, no later than `newest`."""
    rows = np.arange(target - -(-(target - newest) // season) * season, -1, -season)
    known = rows[np.isfinite(values[rows])] if len(rows) else rows
    return float(values[known[0]]) if len(known) else float("nan")


def last_before(values: NDArray[np.float64], newest: int) -> float:
    """The value (T,) that was measured last, no later than row `newest`."""
    known = np.flatnonzero(np.isfinite(values[: newest + 1]))
    return float(values[known[-1]]) if len(known) else float("nan")
