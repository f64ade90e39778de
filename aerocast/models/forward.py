"""Measures how much worse forecasts are beyond the training span than inside it, which calibration cannot see.

A model knows the weeks before and after a scattered calibration week; it will serve weeks that lie after all it knows.
Both are tried on the same past rows with ridge, from as many weeks each: forward, from the weeks before, and
scattered, from weeks all around. The ratio of their error quantiles says how far an interval must be widened
(rolling-origin evaluation: Tashman 2000). Only rows before the test span are used.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features.dataset import Dataset
from aerocast.features.grid import Floats, Ints, Times
from aerocast.feed.policies import Split
from aerocast.models.kinds._ridge import Design

ORIGINS = (0.5, 0.65, 0.8)  # where the past ends, as shares of the weeks
PENALTY = 0.03  # ridge, a share of the rows
LIMIT = 1.5  # a factor beyond this says that the past is too short to tell
FEWEST, MOST = 8, 60  # blocks


@dataclass(frozen=True)
class _Blocks:
    """Sums over each block of time, so that a fit on any of them is one solve; no block overlaps the next."""

    matrix: Floats  # (n, K) design
    change: NDArray[Any]  # (n, H)
    block: Ints  # (n,)
    gram: Floats  # (B, K, K)
    whole: Floats  # (K, K), of all blocks
    moment: Floats  # (B, K, H)

    @classmethod
    def of(cls, matrix: Floats, change: Floats, block: Ints) -> "_Blocks":
        own = [block == index for index in range(block.max() + 1)]
        gram = np.stack([matrix[rows].T @ matrix[rows] for rows in own])
        moment = np.stack([matrix[rows].T @ change[rows] for rows in own])
        return cls(matrix, change, block, gram, gram.sum(axis=0), moment)

    def errors(self, train: Ints, test: Ints) -> NDArray[np.float64]:
        """|error| (m, H) on the rows of blocks `test` of the ridge on blocks `train`."""
        # Most blocks are fitted: what is left out is less to sum.
        gram = self.whole - self.gram[np.setdiff1d(np.arange(len(self.gram)), train)].sum(axis=0)
        gram += PENALTY * np.isin(self.block, train).sum() * np.eye(len(gram), dtype=np.float32)
        weights = np.linalg.solve(gram, self.moment[train].sum(axis=0))
        rows = np.isin(self.block, test)
        return np.abs(self.change[rows] - self.matrix[rows] @ weights)


def forward_factors(data: Dataset, times: Times, split: Split, level: float) -> tuple[float, ...]:
    """The factor by which each horizon's interval of `level` must widen, 1 .. LIMIT; 1 where the past is too short.

    `data.train` holds every row before the test span, in any order, with origin `times` (n,).
    """
    spec, rows = data.spec, data.train
    change = data.change(rows)
    inside, block = _blocks(times, split, spec.horizons[-1] * np.timedelta64(spec.cadence, "s"))
    inside &= np.isfinite(change).all(axis=1)
    if not inside.any() or block[inside].max() + 1 < FEWEST:
        return (1.0,) * len(spec.horizons)
    matrix = Design.of(data.names, rows.x).matrix(rows.x[inside])
    matrix = np.hstack([matrix, np.ones((len(matrix), 1), dtype=np.float32)])
    forward, around = _compare(_Blocks.of(matrix, change[inside], block[inside]), split)
    ratio = np.quantile(forward, level, axis=0) / np.maximum(np.quantile(around, level, axis=0), 1e-9)
    return tuple(float(factor) for factor in np.clip(ratio, 1.0, LIMIT))


def _blocks(times: Times, split: Split, reach: np.timedelta64) -> tuple[NDArray[np.bool_], Ints]:
    """Rows (n,) whose labels stay in their block, and the blocks; a long past has longer ones, for they cost memory."""
    length, since = np.timedelta64(int(split.block.total_seconds()), "s"), times - times.min()
    length *= int(np.ceil((since.max() / length) / MOST))
    return (since % length) < length - reach, (since // length).astype(np.int64)


def _compare(blocks: _Blocks, split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors on the same rows, from the blocks before them and from as many around them."""
    count = len(blocks.gram)
    forward, around = [], []
    for origin in ORIGINS:
        past = round(origin * count)
        future = np.arange(past, min(count, past + max(1, round(past * split.test / (1 - split.test)))))
        forward.append(blocks.errors(np.arange(past), future))
        for index in future:
            nearest = np.argsort(np.abs(np.arange(count) - index), kind="stable")
            around.append(blocks.errors(nearest[1 : past + 1], np.array([index])))
    return np.concatenate(forward), np.concatenate(around)
