"""How much wider intervals are while the target is silent, by the age of its newest value and by what else is silent.

The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

import msgspec
import numpy as np

from aerocast.features.grid import Floats, Ints

EXTENTS = 4  # see `features.outages.age_and_extent`


class Outages(msgspec.Struct, frozen=True):
    """`factors` (K, EXTENTS, H) of each class of age; class k goes up to `ages[k]` steps."""

    ages: tuple[int, ...]
    factors: tuple[tuple[tuple[float, ...], ...], ...]

    def wider(self, age: Floats, extent: Ints) -> Floats:
        """(n, H) by which intervals are wider where the target is silent for `age` (n,) steps; 1 where it is not."""
        classes = np.minimum(np.searchsorted(self.ages, age), len(self.ages) - 1)
        factors = np.array(self.factors, dtype=np.float32)[classes, extent]
        return np.where(age[:, None] > 0, factors, np.float32(1))
