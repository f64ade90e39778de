"""Computes the local time of day and the height of the sun at a place.

Times are UTC datetime64 of any shape; NaT gives NaN. The server imports this module: numpy and stdlib only.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


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
