"""How much worse the future is than a week in between: what calibration on scattered weeks cannot see.

A model knows the weeks before and after a scattered calibration week; it will serve weeks that lie after all it knows.
Both are tried on the same past rows with a plain ridge, from as many weeks each: forward, from the weeks before, and
scattered, from weeks all around. The ratio of their error quantiles says how far an interval must be widened
(rolling-origin evaluation: Tashman 2000). Only rows before the test span are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.feed import Split
from aerocast.forecasters.base import Training
from aerocast.forecasters.linear import Design
from aerocast.grid import Times

ORIGINS = (0.5, 0.6, 0.7, 0.8)  # where the past ends, as shares of the weeks
PENALTY = 0.03  # ridge, a share of the rows
LIMIT = 1.5  # a factor beyond this says that the past is too short to tell
FEWEST = 8  # blocks


@dataclass(frozen=True)
class _Blocks:
    """Sums over each block of time, so that a fit on any of them is one solve; none reaches into the next."""

    matrix: NDArray[Any]
    change: NDArray[Any]
    block: NDArray[np.int64]
    gram: NDArray[Any]  # (B, K, K)
    moment: NDArray[Any]  # (B, K)
    rows: NDArray[Any]  # (B,)

    @classmethod
    def of(cls, matrix: NDArray[Any], change: NDArray[Any], block: NDArray[np.int64]) -> _Blocks:
        known = ~np.isnan(change)
        matrix, change, block = matrix[known], change[known], block[known]
        width = matrix.shape[1]
        gram = np.zeros((block.max() + 1, width, width), dtype=np.float32)
        moment = np.zeros((block.max() + 1, width), dtype=np.float64)
        for index in range(len(gram)):
            own = block == index
            gram[index], moment[index] = matrix[own].T @ matrix[own], matrix[own].T @ change[own]
        return cls(matrix, change, block, gram, moment, np.bincount(block, minlength=len(gram)))

    def errors(self, fitted: NDArray[np.int64], tried: NDArray[np.int64]) -> NDArray[np.float64]:
        """|error| on the rows of blocks `tried` of the ridge on blocks `fitted`."""
        gram = self.gram[fitted].sum(axis=0, dtype=np.float64)
        gram += PENALTY * self.rows[fitted].sum() * np.eye(len(gram))
        weights = np.linalg.solve(gram, self.moment[fitted].sum(axis=0))
        rows = np.isin(self.block, tried)
        errors: NDArray[np.float64] = np.abs(self.change[rows] - self.matrix[rows] @ weights)
        return errors


def forward_factors(training: Training, times: Times, split: Split, level: float) -> tuple[float, ...]:
    """By how much each horizon's interval of `level` must widen, 1 .. LIMIT; 1 where the past is too short to tell.

    `training.train` holds every row before the test span, in any order, with origin `times` (n,).
    """
    spec, rows = training.spec, training.train
    inside, block = _weeks(times, split, spec.horizons[-1] * np.timedelta64(spec.cadence, "s"))
    if not len(block) or block.max() + 1 < FEWEST:
        return (1.0,) * len(spec.horizons)
    design = Design.of(training.names, rows.x)
    plain = design.matrix(rows.x)[inside, : design.plain]
    matrix = np.hstack([plain, np.ones((len(plain), 1), dtype=np.float32)])
    change = training.change(rows)[inside]
    return tuple(_factor(_Blocks.of(matrix, change[:, at], block), split, level) for at in range(change.shape[1]))


def _weeks(times: Times, split: Split, reach: np.timedelta64) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Rows whose labels stay in their block, and those rows' blocks."""
    length = np.timedelta64(int(split.block.total_seconds()), "s")
    since = times - times.min()
    inside = (since % length) < length - reach
    return inside, (since[inside] // length).astype(np.int64)


def _factor(blocks: _Blocks, split: Split, level: float) -> float:
    count = len(blocks.gram)
    forward, scattered = [], []
    for origin in ORIGINS:
        past = round(origin * count)
        future = np.arange(past, min(count, past + max(1, round(past * split.test / (1 - split.test)))))
        forward.append(blocks.errors(np.arange(past), future))
        for week in future:
            nearest = np.argsort(np.abs(np.arange(count) - week), kind="stable")
            around = nearest[1 : past + 1]
            scattered.append(blocks.errors(around, np.array([week])))
    ahead, between = (np.quantile(np.concatenate(part), level) for part in (forward, scattered))
    return float(np.clip(ahead / max(between, 1e-9), 1.0, LIMIT))
