"""Interpolates gaps that were closed before a forecast's origin; a gap that is still open there holds its last value.

The stored grid knows the last value alone, with its age, so nothing that was measured after an origin can be in it. The
interpolation is made for each origin, from the values that were measured until then.
The server imports this module: numpy and the standard library only.
"""

import numpy as np

from aerocast.features.grid import Floats, Ints


def newest_measured(age: Floats) -> Ints:
    """The row (T,) of the newest measured value at each row; -1 before the first."""
    newest: Ints = np.maximum.accumulate(np.where(age == 0, np.arange(len(age)), -1))
    return newest


def between_measured(values: Floats, age: Floats) -> Floats:
    """The values (T,) of one column, on a line between the two measured ones where every step of a gap is filled."""
    length = len(age)
    step = np.arange(length)
    following = np.minimum.accumulate(np.where(age == 0, step, length)[::-1])[::-1]
    is_gap = (age > 0) & (following < length)
    at = np.minimum(following, length - 1)
    is_gap &= np.isfinite(age[at - 1])
    part = np.divide(age, age + (following - step), out=np.zeros_like(age), where=is_gap)
    return np.where(is_gap, values + (values[at] - values) * part, values)
