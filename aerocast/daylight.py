"""The local clock and the sun over a place: what a time of day and a day of the year mean to the weather.

Times are UTC datetime64 of any shape; NaT gives NaN. The server imports this module: numpy and stdlib only.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]


def local_hours(times: Times, timezone: str) -> NDArray[np.float64]:
    """Hours since local midnight, fractions included; NaN where the time is unknown."""
    seconds = times.astype("datetime64[s]").astype(np.int64)
    known = ~np.isnat(times)
    # A zone's offset holds for whole quarters of an hour: look each up once, not once a row.
    quarters, back = np.unique(seconds[known] // 900, return_inverse=True)
    zone = ZoneInfo(timezone)
    offsets = [datetime.fromtimestamp(int(quarter) * 900, UTC).astimezone(zone).utcoffset() for quarter in quarters]
    shift = np.array([offset.total_seconds() if offset else 0.0 for offset in offsets])
    hours = np.full(times.shape, np.nan)
    if known.any():
        hours[known] = ((seconds[known] + shift[back]) % 86400) / 3600
    return hours


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
