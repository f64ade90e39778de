"""Explains a forecast: how much each group of features moves it away from the forecast for typical rows.

The parts are Shapley values of groups of features (Lundberg and Lee, 2017), where a feature that is "absent" has the
value of a typical row. They are computed from the graph that serves, whatever models are in it, along permutations of
the groups in opposite pairs (Mitchell et al., 2022): base and parts sum to the forecast, a group without influence has
0, and the values are exact where no more than two groups act together.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Floats, Ints, Times

ROWS = 16  # typical rows of a release
MOST_ROWS = 64  # so many are explained against, at most: they decide what an explanation costs
RECENT = np.timedelta64(366, "D")  # a year has each season

Forecast = Callable[[Floats], Floats]


def typical_rows(time: Times, x: Floats, before: np.datetime64, rows: int = ROWS) -> Ints:
    """Places of up to `rows` typical rows of `x` (n, F), in order of `time` (n,): one by chance in each part of a year.

    They lie in the last year before an instant, where there are rows, and are not among those that lack the most.
    """
    places = np.flatnonzero((time < before) & (time >= before - RECENT))
    missing = np.isnan(x[places]).sum(axis=1)
    places = places[missing <= np.median(missing)] if len(places) else places
    generator = np.random.default_rng(0)
    parts = np.array_split(places, min(rows, len(places))) if len(places) else []
    return np.array([generator.choice(part) for part in parts], dtype=np.int64)


def pack(x: Floats) -> bytes:
    """Rows (n, F) as they stand in a manifest."""
    return np.ascontiguousarray(x, dtype="<f4").tobytes()


def unpack(data: bytes, width: int) -> Floats:
    """Rows (n, `width`) of `pack`. Raises AeroCastError: not whole rows, or too many."""
    size = max(1, 4 * width)
    if len(data) % size or len(data) > MOST_ROWS * 4 * width:
        raise AeroCastError(f"its {len(data)} bytes of typical rows are not 0 to {MOST_ROWS} rows of {width} features")
    return np.frombuffer(data, dtype="<f4").reshape(len(data) // size, width).astype(np.float32)


def explain(
    forecast: Forecast, x: Floats, typical: Floats, owner: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Base (H,) and parts (n, G, H) of the forecasts for rows `x` (n, F), in the target's unit.

    `typical` (B, F), B > 0, are the rows to compare with: the base is their mean forecast. `owner` (F,) is the group of
    each feature, 0 .. G - 1. It costs 1 + 2 B (G - 1) rows of the graph for each row of `x`, and B once.
    """
    groups = int(owner.max()) + 1
    walks = _walks(len(typical), groups)
    rank = np.argsort(walks, axis=1)
    present = (rank[:, None, :] < np.arange(1, groups)[:, None])[:, :, owner]  # (2 B, G - 1, F)
    start = forecast(typical).astype(np.float64)
    starts, absent = np.concatenate([start, start])[:, None], np.concatenate([typical, typical])[:, None]
    parts = []
    for row in x:
        mixed = np.where(present, row, absent).reshape(-1, len(owner))
        levels = forecast(np.concatenate([row[None], mixed])).astype(np.float64)
        end, between = levels[0], levels[1:].reshape(len(walks), groups - 1, start.shape[1])
        path = np.concatenate([starts, between, np.broadcast_to(end, starts.shape)], axis=1)
        parts.append(np.take_along_axis(np.diff(path, axis=1), rank[:, :, None], axis=1).mean(axis=0))
    return start.mean(axis=0), np.stack(parts)


def _walks(rows: int, groups: int) -> Ints:
    """(2 B, G): orders in which groups become present, the second half each the reverse of one in the first."""
    generator = np.random.default_rng(0)
    forward = np.array([generator.permutation(groups) for _ in range(rows)], dtype=np.int64)
    return np.concatenate([forward, forward[:, ::-1]])
