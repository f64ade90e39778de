"""Features of the clock and the sun: the time of day and of the year of an origin and its targets, at a place.

They depend on no reading, so those of one origin are cached for all requests from the same step.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.daylight import local_hours, sun_height
from aerocast.features.grid import Ints, Place, WindowSpec


def names(spec: WindowSpec) -> list[str]:
    """The names of the columns of `rows`."""
    hours = [f"hour_{wave}_{step}" for step in (0, *spec.horizons) for wave in ("sin", "cos")]
    sun = [f"sun_{step}" for step in (0, *spec.horizons)] + [f"sunshine_{step}" for step in spec.horizons]
    return [*hours, *sun, "season"]


def rows(horizons: tuple[int, ...], cadence: int, place: Place, start: np.datetime64, at: Ints) -> NDArray[Any]:
    """(F, n) of the origins `at` (n,) steps of `cadence` seconds after `start`; NaN where the time is unknown."""
    steps = start + np.arange(int(at.max()) + 1 + horizons[-1]) * np.timedelta64(cadence, "s")
    ahead = at + np.array([0, *horizons])[:, None]  # (1 + H, n): the origin and each target among the steps
    angle = 2 * np.pi * local_hours(steps, place.timezone) / 24
    hours = np.stack([np.sin(angle)[ahead], np.cos(angle)[ahead]], axis=1).reshape(-1, len(at))
    return np.concatenate([hours, _sun(horizons, place, steps, at, ahead)])


@lru_cache(maxsize=4096)
def row(horizons: tuple[int, ...], cadence: int, place: Place, origin: int) -> NDArray[Any]:
    """(F, 1) of one origin, in seconds since 1970. Not to be changed."""
    return rows(horizons, cadence, place, np.datetime64(origin, "s"), np.zeros(1, dtype=np.int64))


def _sun(horizons: tuple[int, ...], place: Place, steps: NDArray[Any], at: Ints, ahead: Ints) -> NDArray[Any]:
    """The sun's height at origin and targets, its sum between them, and its declination.

    They generalise to dates without training rows; a sine of the day of the year does not.
    """
    if place.latitude is None or place.longitude is None:
        return np.full((2 * len(horizons) + 2, len(at)), np.nan)
    path, declination = sun_height(steps, place.latitude, place.longitude)
    shining = np.maximum(path, 0)[at + np.arange(1, horizons[-1] + 1)[:, None]]
    energy = np.add.accumulate(shining, axis=0)[np.array(horizons) - 1]
    return np.concatenate([path[ahead], energy, declination[at][None]])
