"""Describes in a manifest the rows that one training read: how many, their digest, and which role saw which."""

import hashlib

import numpy as np

from aerocast.common.times import from_numpy
from aerocast.contracts.manifest import TrainingRows
from aerocast.models.splits import Cut
from aerocast.tables.training import Samples


def describe_rows(samples: Samples, cut: Cut) -> TrainingRows:
    """The manifest's record of a training's rows, and of how they were split."""
    return TrainingRows(
        digest=digest(samples),
        count=len(samples.time),
        start=from_numpy(cut.start),
        end=from_numpy(cut.end),
        test=from_numpy(cut.test),
        block=_seconds(cut.block),
        reach=_seconds(cut.reach),
        roles=tuple(str(role) for role in cut.roles),
        earlier=None if cut.earlier is None else from_numpy(cut.earlier),
    )


def digest(samples: Samples) -> str:
    """SHA-256 of rows in their order: names of the features, stations, times, features and outcomes."""
    whole = hashlib.sha256("\0".join(samples.names).encode())
    whole.update("\0".join(samples.station.tolist()).encode())
    for array in (samples.time.astype("datetime64[s]").astype(np.int64), samples.rows.x, samples.rows.y):
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def _seconds(span: np.timedelta64) -> int:
    return int(span / np.timedelta64(1, "s"))
