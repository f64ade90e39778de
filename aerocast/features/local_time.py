"""The local clock of a place: its hours, its days, and how far it is ahead of UTC.

The server imports this module: numpy and the standard library only.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Times

DAY = 86_400


def local_seconds(times: Times, timezone: str) -> NDArray[np.float64]:
    """What the local clock shows, in seconds since its 1 January 1970; NaN where the time is unknown."""
    seconds = np.where(np.isnat(times), np.nan, times.astype("datetime64[s]").astype(np.float64))
    return seconds + offsets(times, timezone)


def local_hours(times: Times, timezone: str) -> NDArray[np.float64]:
    """Hours since local midnight, fractions included; NaN where the time is unknown."""
    return (local_seconds(times, timezone) % DAY) / 3600


def offsets(times: Times, timezone: str) -> NDArray[np.float64]:
    """Seconds that the local clock is ahead of UTC; NaN where the time is unknown."""
    is_time = ~np.isnat(times)
    seconds = times.astype("datetime64[s]").astype(np.int64)[is_time]
    # A zone's offset holds for a whole day, or, where the clock is changed, for whole quarters of an hour.
    days, day = np.unique(seconds // DAY, return_inverse=True)
    edges = [(_offset(timezone, int(each) * 96), _offset(timezone, int(each) * 96 + 96)) for each in days]
    shift = np.array([start for start, _ in edges])[day]
    for at in np.flatnonzero([start != end for start, end in edges]):
        shift[day == at] = [_offset(timezone, int(each)) for each in seconds[day == at] // 900]
    ahead = np.full(times.shape, np.nan)
    ahead[is_time] = shift
    return ahead


@lru_cache(maxsize=65_536)
def _offset(timezone: str, quarter: int) -> float:
    """Seconds that local clocks are ahead of UTC in a quarter of an hour, counted from 1970."""
    offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(timezone)).utcoffset()
    return offset.total_seconds() if offset else 0.0
