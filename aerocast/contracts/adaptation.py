"""What live outcomes add to a station's intervals between two trainings: how much wider they are, and where they lie.

The server imports this module: numpy, msgspec and the standard library only.
"""

import math

import msgspec
import numpy as np

from aerocast.features.grid import Floats


class Adaptation(msgspec.Struct, frozen=True):
    """Of one station: quantiles of `version` are `factor` (H,) times as far from the forecast, moved by `shift` (H,).

    `shift` is in the target's unit; `outcomes` is of how many forecasts it was made.
    """

    version: str
    factor: tuple[float, ...]
    shift: tuple[float, ...]
    outcomes: int

    def __post_init__(self) -> None:
        is_finite = all(map(math.isfinite, (*self.factor, *self.shift)))
        if len(self.factor) != len(self.shift) or not is_finite or min(self.factor, default=1) <= 0:
            raise ValueError(f"adaptation of {self.version}: one finite factor above 0 and one finite shift a horizon")

    def apply(self, distances: Floats) -> Floats:
        """Distances (n, H, Q) of quantiles from their forecasts, adapted."""
        factor, shift = (np.array(each, dtype=np.float32)[None, :, None] for each in (self.factor, self.shift))
        adapted: Floats = distances * factor + shift
        return adapted
