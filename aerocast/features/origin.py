"""When a row's forecast starts, as two features for kinds that look at the date: days and seconds are exact in float32.

No window has them: a model of the past that sees the date takes what happened once for what happens always.
"""

from collections.abc import Sequence

import numpy as np

from aerocast.features.grid import Floats, Times

NAMES = ("origin_day", "origin_second")  # since 1970-01-01 UTC, and since its midnight
DAY = 86_400


def columns(times: Times) -> Floats:
    """(n, 2) of origin times (n,)."""
    seconds = times.astype("datetime64[s]").astype(np.int64)
    return np.stack([seconds // DAY, seconds % DAY], axis=1).astype(np.float32)


def times(x: Floats, names: Sequence[str]) -> Times:
    """(n,) origin times of rows (n, F) with these features."""
    day, second = (x[:, names.index(name)].astype(np.int64) for name in NAMES)
    return (day * DAY + second).astype("datetime64[s]")
