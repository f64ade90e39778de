"""How far the vector of a station's columns lies from where it usually does: a robust Mahalanobis distance.

It notices what no column shows alone, such as warmth without sun, where the two usually go together.
"""

import numpy as np

from aerocast.monitoring.anomalies.views import GROSS, Reals

_CLIP = 3.0  # deviations count at most so much in what is usual
_SHRINK = 0.1  # of the covariance towards columns that do not go together


def distances(deviation: Reals, before: int) -> tuple[Reals, Reals]:
    """Distances (n,) of deviations (n, C) from what is usual in the first `before` rows, and each column's part.

    Parts, of the rows from `before` on, (n - before, C), sum to the squared distance. NaN where a column is missing.
    """
    whole = np.asarray(np.isfinite(deviation).all(axis=1))
    near = np.clip(deviation[:before][whole[:before]], -_CLIP, _CLIP)
    if len(near) <= 2 * deviation.shape[1]:
        nothing = np.full(deviation.shape, np.nan)
        return nothing[:, 0], nothing[before:]
    middle = np.median(near, axis=0)
    spread = (near - middle).T @ (near - middle) / len(near)
    diagonal = np.diag(np.diag(spread)) + 1e-9 * np.eye(len(spread))
    inverse = np.linalg.inv((1 - _SHRINK) * spread + _SHRINK * diagonal + 1e-9 * np.eye(len(spread)))
    apart = np.clip(np.nan_to_num(deviation), -GROSS * _CLIP, GROSS * _CLIP) - middle
    parts = apart * (apart @ inverse)
    distance = np.where(whole, np.sqrt(np.maximum(parts.sum(axis=1), 0)), np.nan)
    return distance, np.where(whole[before:, None], parts[before:], np.nan)
