"""Features of the clock and the sun: the time of day and of the year of an origin and its targets, at a place.

The server imports this module: numpy, msgspec and the standard library only.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Ints, Place, Times, WindowSpec
from aerocast.features.local_time import local_hours


def names(spec: WindowSpec) -> list[str]:
    """The names of the columns of `rows`."""
    hours = [f"hour_{wave}_{step}" for step in (0, *spec.horizons) for wave in ("sin", "cos")]
    sun = [f"sun_{step}" for step in (0, *spec.horizons)] + [f"sunshine_{step}" for step in spec.horizons]
    return [*hours, *sun, "season"]


def rows(spec: WindowSpec, place: Place, start: np.datetime64, at: Ints) -> NDArray[Any]:
    """(F, n) of the origins `at` (n,) steps after `start`; NaN where the time is unknown."""
    horizons = spec.horizons
    steps = start + np.arange(int(at.max()) + 1 + horizons[-1]) * np.timedelta64(spec.cadence, "s")
    ahead = at + np.array([0, *horizons])[:, None]  # (1 + H, n): the origin and each target among the steps
    angle = 2 * np.pi * local_hours(steps, place.timezone) / 24
    hours = np.stack([np.sin(angle)[ahead], np.cos(angle)[ahead]], axis=1).reshape(-1, len(at))
    return np.concatenate([hours, _sun(horizons, place, steps, at, ahead)])


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


def sun_height(times: Times, latitude: float, longitude: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine of the sun's elevation and its declination (radians), to half a degree (Spencer 1971, Cooper 1969)."""
    moment = times.astype("datetime64[s]")
    seconds = np.where(np.isnat(moment), np.nan, moment.astype(np.int64).astype(np.float64))
    year = 2 * np.pi * ((seconds / 86400 / 365.2425) % 1)
    declination = np.deg2rad(23.44) * np.sin(year - 2 * np.pi * 80 / 365.2425)
    orbit = 0.0000075 + 0.001868 * np.cos(year) - 0.032077 * np.sin(year)
    orbit = orbit - 0.014615 * np.cos(2 * year) - 0.040849 * np.sin(2 * year)
    angle = 2 * np.pi * ((seconds % 86400) / 86400 - 0.5) + np.deg2rad(longitude) + orbit
    north = np.deg2rad(latitude)
    height = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(angle)
    return height, declination
