"""Features of the clock and the sun: the time of day and of the year of an origin and its targets, at a place.

They depend on no reading, so those of one origin are cached for all requests from the same step.
The server imports this module: numpy, msgspec and the standard library only.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Ints, Place, Times, WindowSpec


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


def local_hours(times: Times, timezone: str) -> NDArray[np.float64]:
    """Hours since local midnight, fractions included; NaN where the time is unknown."""
    seconds = times.astype("datetime64[s]").astype(np.int64)
    is_time = ~np.isnat(times)
    # A zone's offset holds for a whole day, or, where the clock is changed, for whole quarters of an hour.
    days, day = np.unique(seconds[is_time] // 86400, return_inverse=True)
    edges = [(_offset(timezone, int(each) * 96), _offset(timezone, int(each) * 96 + 96)) for each in days]
    shift = np.array([start for start, _ in edges])[day]
    for at in np.flatnonzero([start != end for start, end in edges]):
        shift[day == at] = [_offset(timezone, int(each)) for each in seconds[is_time][day == at] // 900]
    hours = np.full(times.shape, np.nan)
    if is_time.any():
        hours[is_time] = ((seconds[is_time] + shift) % 86400) / 3600
    return hours


@lru_cache(maxsize=65_536)
def _offset(timezone: str, quarter: int) -> float:
    """Seconds that local clocks are ahead of UTC in a quarter of an hour, counted from 1970."""
    offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(timezone)).utcoffset()
    return offset.total_seconds() if offset else 0.0


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
