"""Bridges a silence of the target that is longer than its gap policy, by the last season in which it was measured.

A step without a value has that of the same step of the season before, or of the newest one before that was measured;
its age says since when nothing was. Models learn from rows that were bridged in this way, by class of age.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aerocast.features.gaps import newest_measured
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec

HOUR, DAY = 3_600, 86_400
ENDS = (HOUR, DAY // 2, DAY, 3 * DAY, 8 * DAY)  # seconds: where classes of age end; a week may begin with a gap


def age_classes(cadence: int, gap_steps: int) -> tuple[int, ...]:
    """The oldest age in steps of each class of silence: up to ENDS, and to what the gap policy fills.

    `cadence` is in seconds.
    """
    return tuple(sorted({gap_steps, *(max(1, end // cadence) for end in ENDS)} - {0}))


def rows_needed(look_back: int, season: int, cadence: int) -> int:
    """The newest rows of a grid that a model looks at, or that bridge the longest silence."""
    return max(look_back, ENDS[-1] // cadence + 2 * season)


def bridged(spec: WindowSpec, grid: Grid) -> Grid | None:
    """The grid with its target known in the newest `spec.steps` steps, so that its last row may be forecast from.

    None where the silence is too long, or no season was measured that could stand in.
    """
    at, length = grid.columns.index(spec.target), len(grid.time)
    if length < spec.steps:
        return None
    newest = int(newest_measured(grid.age[:, at])[-1])
    if newest < 0 or length - 1 - newest > max(1, ENDS[-1] // spec.cadence):
        return None
    rows, absent = np.arange(length), np.isnan(grid.values[:, at])
    # What was carried on before the silence was too long for that is no better than the rest of it.
    absent |= (rows > newest) & absent[-1]
    absent &= rows >= min(newest + 1, length - spec.steps)
    values, age = by_season(grid.values[:, at], grid.age[:, at], spec.season, absent)
    return None if np.isnan(values[-spec.steps :]).any() else with_column(grid, at, values, age)


def by_season(values: Floats, age: Floats, season: int, absent: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Values and ages (T,) of a column with the last measured season in the `absent` steps; NaN where none was."""
    length = len(values)
    rows = np.full(-(-length // season) * season, -1)
    rows[:length] = np.where(age == 0, np.arange(length), -1)
    source: Ints = np.maximum.accumulate(rows.reshape(-1, season), axis=0).ravel()[:length]
    nothing, since = np.float32(np.nan), (np.arange(length) - newest_measured(age)).astype(np.float32)
    filled = np.where(absent, np.where(source >= 0, values[source], nothing), values)
    return filled, np.where(absent, np.where(source >= 0, since, nothing), age)


def silenced(values: Floats, age: Floats, silent: NDArray[np.bool_], method: str, most: int) -> tuple[Floats, Floats]:
    """Values and ages (T,) of a column as silver has them had it not been measured in the `silent` steps.

    Gaps are filled by the `method` of the policy for at most `most` steps.
    """
    source = newest_measured(np.where(silent, np.float32(np.nan), age))
    nothing, since = np.float32(np.nan), (np.arange(len(values)) - source).astype(np.float32)
    is_filled = silent & (source >= 0) & (since <= most) & (method != "none")
    last = np.zeros_like(values) if method == "zero" else values[source]
    filled = np.where(silent, np.where(is_filled, last, nothing), values)
    return filled, np.where(silent, np.where(is_filled, since, nothing), age)


def with_column(grid: Grid, at: int, values: Floats, age: Floats) -> Grid:
    """The grid with other values and ages (T,) of one column."""
    table, ages = grid.values.copy(), grid.age.copy()
    table[:, at], ages[:, at] = values, age
    return replace(grid, values=table, age=ages)


def extent_names(spec: WindowSpec) -> list[str]:
    """The features that `age_and_extent` needs."""
    return [*(f"{column}_age" for column in (spec.target, *spec.inputs)), f"near_{spec.target}_lag0"]


def age_and_extent(spec: WindowSpec, names: Sequence[str], x: Floats) -> tuple[Floats, Ints]:
    """How old the target's newest value is (n,), and what else is silent: 0 .. 3, of feature rows (n, F).

    3 is nothing else; without 1, the target is known of no other station; without 2, no other column was measured.
    """
    place = {name: at for at, name in enumerate(names)}
    others = [place[f"{column}_age"] for column in spec.inputs if column != spec.target and f"{column}_age" in place]
    near = place.get(f"near_{spec.target}_lag0")
    columns = (x[:, others] == 0).any(axis=1)
    stations = np.zeros(len(x), dtype=bool) if near is None else np.isfinite(x[:, near])
    return x[:, place[f"{spec.target}_age"]], 2 * columns.astype(np.int64) + stations
