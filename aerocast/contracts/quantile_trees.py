"""Boosted trees of two quantiles, as arrays: what the interval's bounds follow besides their drivers.

Trees are complete, so that a row needs no search: it takes as many steps down as they are deep, in all trees at once.
The server imports this module: numpy and msgspec only.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Floats

DEEPEST = 8
PIECE = 4096  # rows at a time
_SMALLEST = 1e-6  # width of an interval, in the target's unit


class Ensemble(msgspec.Struct, frozen=True):
    """Trees (T,) of one quantile, each `depth` deep: the sum of their leaves and of `start`.

    A node takes the feature `columns` (T, 2**depth - 1) int16, and goes left below its `thresholds` float32, and where
    the feature is missing if it is in `missing_left` uint8; the children of node i are 2 i + 1 and 2 i + 2. `leaves`
    (T, 2**depth) are float32. All are little-endian bytes.
    """

    start: float
    depth: int
    columns: bytes
    thresholds: bytes
    missing_left: bytes
    leaves: bytes

    def __post_init__(self) -> None:
        nodes = len(self.missing_left)
        per_tree = 2**self.depth - 1 if 1 <= self.depth <= DEEPEST else 0
        sizes = (len(self.columns), len(self.thresholds), len(self.leaves) * per_tree)
        if not per_tree or nodes % per_tree or sizes != (2 * nodes, 4 * nodes, 4 * nodes * (per_tree + 1)):
            raise ValueError(f"quantile trees: arrays that belong to trees of a depth from 1 to {DEEPEST}")
        if self._nodes(self.columns, "<i2").min(initial=0) < 0:
            raise ValueError("quantile trees: a column is counted from 0")
        if not np.isfinite(self._leaves()).all() or not np.isfinite(self.start):
            raise ValueError("quantile trees: every leaf is a finite number")

    @property
    def width(self) -> int:
        """How many features it needs, at least."""
        return int(self._nodes(self.columns, "<i2").max(initial=-1)) + 1

    def values(self, x: Floats) -> NDArray[np.float64]:
        """(n,) sums of the leaves that rows (n, K) come to."""
        pieces = [self._values(x[at : at + PIECE]) for at in range(0, len(x), PIECE)]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def _values(self, x: Floats) -> NDArray[np.float64]:
        columns, thresholds = self._nodes(self.columns, "<i2"), self._nodes(self.thresholds, "<f4")
        missing_left, leaves = self._nodes(self.missing_left, "u1"), self._leaves()
        trees, row = np.arange(len(leaves))[None], np.arange(len(x))[:, None]
        node = np.zeros((len(x), len(leaves)), dtype=np.int64)
        for _ in range(self.depth):
            value = x[row, columns[trees, node]]
            is_left = (value < thresholds[trees, node]) | (np.isnan(value) & (missing_left[trees, node] > 0))
            node = 2 * node + 2 - is_left
        sums: NDArray[np.float64] = self.start + leaves[trees, node - (2**self.depth - 1)].sum(axis=1, dtype=float)
        return sums

    def _nodes(self, data: bytes, kind: str) -> NDArray[Any]:
        return np.frombuffer(data, kind).reshape(-1, 2**self.depth - 1)

    def _leaves(self) -> NDArray[np.float32]:
        return np.frombuffer(self.leaves, "<f4").reshape(-1, 2**self.depth)


class QuantileTrees(msgspec.Struct, frozen=True):
    """The interval's ends at one horizon: `low` and `high` are changes from the feature `newest`.

    Conformalised: each end is moved outwards by `stretch` times the distance between both, then `wider` times as far
    from the forecast. `share` is what they count beside the distances that follow drivers (`Intervals`).
    """

    features: tuple[str, ...]
    newest: str
    low: Ensemble
    high: Ensemble
    stretch: float = 0.0
    wider: float = 1.0
    share: float = 0.0

    def __post_init__(self) -> None:
        if max(self.low.width, self.high.width) > len(self.features):
            raise ValueError(f"quantile trees: a column beyond their {len(self.features)} features")
        if not 0 <= self.share <= 1 or not np.isfinite((self.stretch, self.wider)).all():
            raise ValueError("quantile trees: a share from 0 to 1, and finite factors")

    def ends(self, x: Floats, place_of: Mapping[str, int]) -> NDArray[np.float64]:
        """(n, 2) levels of both ends as the trees say, for feature rows (n, F) whose columns have these places."""
        own = x[:, [place_of[name] for name in self.features]]
        changes = np.stack([self.low.values(own), self.high.values(own)], axis=1)
        levels: NDArray[np.float64] = np.sort(changes, axis=1) + x[:, [place_of[self.newest]]]
        return levels

    def distances(self, forecast: Floats, x: Floats, place_of: Mapping[str, int]) -> NDArray[np.float64]:
        """(n, 2) of both ends from forecasts (n,); NaN where the newest value is missing."""
        return self.around(forecast, self.ends(x, place_of))

    def around(self, forecast: Floats, ends: NDArray[np.float64]) -> NDArray[np.float64]:
        """`distances` of `ends` (n, 2)."""
        outwards = self.stretch * span(ends)
        apart = ends + np.stack([-outwards, outwards], axis=1) - forecast.astype(np.float64)[:, None]
        return self.wider * np.stack([np.minimum(apart[:, 0], 0), np.maximum(apart[:, 1], 0)], axis=1)


def span(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) distances between both ends (n, 2)."""
    return np.maximum(ends[:, 1] - ends[:, 0], _SMALLEST)
