"""Features of what is known ahead: the newest vintage's value for each target, and how old that vintage is.

A row of the grid has what had been issued by its step, carried on from older vintages with their age. One that is a
steps old says for the target of a horizon what it was issued for a steps further ahead. What is assumed to be known
perfectly is the measured value at the target, which is in a request's grid if the request brings it.
The server imports this module: numpy, msgspec and the standard library only.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Ahead, Floats, Grid, Ints, WindowSpec


def value_names(spec: WindowSpec) -> list[str]:
    return [f"{each.name}_ahead_{horizon}" for each in spec.ahead for horizon in spec.horizons]


def names(spec: WindowSpec) -> list[str]:
    """The names of the rows of `rows`."""
    return value_names(spec) + [f"{each.name}_ahead_age" for each in spec.ahead if not each.is_perfect]


def rows(spec: WindowSpec, grid: Grid, origins: Ints) -> NDArray[Any]:
    """(F, n) at the grid rows `origins` (n,): values in canonical units, NaN for unknown; ages in steps."""
    values, ages = [np.empty((0, len(origins)), dtype=np.float32)], []
    for each in spec.ahead:
        own, age = _perfect(spec, each, grid, origins) if each.is_perfect else _issued(spec, each, grid, origins)
        values.append(own)
        ages += [] if each.is_perfect else [age]
    return np.concatenate([*values, np.array(ages, dtype=np.float32).reshape(-1, len(origins))])


def _issued(spec: WindowSpec, ahead: Ahead, grid: Grid, origins: Ints) -> tuple[Floats, Floats]:
    """Values (H, n) of the newest vintage that has each target, and the age (n,) of the oldest of these."""
    place = {name: at for at, name in enumerate(grid.columns)}
    values, ages = (np.full((len(spec.horizons), len(origins)), np.nan, dtype=np.float32) for _ in range(2))
    for at, horizon in enumerate(spec.horizons):
        for age in range(ahead.oldest, -1, -1):  # the newest last, which stays
            column = place.get(ahead.column(horizon + age))
            if column is None:
                continue
            is_own = grid.age[origins, column] == age
            values[at] = np.where(is_own, grid.values[origins, column], values[at])
            ages[at] = np.where(is_own, np.float32(age), ages[at])
    return values, ages.max(axis=0)


def _perfect(spec: WindowSpec, ahead: Ahead, grid: Grid, origins: Ints) -> tuple[Floats, Floats]:
    values = np.full((len(spec.horizons), len(origins)), np.nan, dtype=np.float32)
    if ahead.name in grid.columns:
        column = grid.columns.index(ahead.name)
        measured = np.where(grid.age[:, column] == 0, grid.values[:, column], np.float32(np.nan))
        beyond = np.full(spec.horizons[-1], np.nan, dtype=np.float32)
        values = np.concatenate([measured, beyond])[origins + np.array(spec.horizons)[:, None]]
    return values, np.where(np.isnan(values).any(axis=0), np.float32(np.nan), np.float32(0))
