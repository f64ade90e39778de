"""Cuts full feature rows down to what a request with a short sequence contains, for training and calibration.

The graph for such requests learns from the same rows without what a request may lack: older steps, other columns and
stations, and the time. So requests look like its training rows.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.features import calendar, seasons, sky
from aerocast.features.features import feature_names
from aerocast.features.grid import Floats, Ints, WindowSpec
from aerocast.features.lags import change_names, lag_names

SHORTEST = 0.5  # share of training rows cut to `steps`, the length of older clients' requests


def sequence_names(spec: WindowSpec) -> list[str]:
    """The features that a sequence request has: lags and changes of the window's columns, seasons, clock and sun."""
    bare = msgspec.structs.replace(spec, covariates=())
    names = {*lag_names(bare), *change_names(bare), *seasons.names(spec), *sky.names(spec), *calendar.names(spec)}
    return [name for name in feature_names(spec) if name in names]


def sequence_rows(spec: WindowSpec, names: Sequence[str], x: Floats, seed: int) -> tuple[Ints, Floats]:
    """Rows as requests for training: half are `steps` long, the rest of any length; half have no time.

    From feature rows `x` (n, F) called `names` to (rows that a request could hold, their features (m, F') as
    `sequence_names`). A request has no hole, so a row is cut where a column's value is missing.
    """
    generator = np.random.default_rng(seed)
    lengths = generator.integers(spec.steps, spec.look_back + 1, len(x))
    lengths = np.where(generator.random(len(x)) < SHORTEST, spec.steps, lengths)
    return cut(spec, names, x, lengths, generator.random(len(x)) < 0.5)


def shortest_rows(spec: WindowSpec, names: Sequence[str], x: Floats) -> tuple[Ints, Floats]:
    """Rows as the hardest requests, `steps` long and without a time: what sequences are calibrated and judged on."""
    return cut(spec, names, x, np.full(len(x), spec.steps), np.zeros(len(x), dtype=bool))


def cut(
    spec: WindowSpec, names: Sequence[str], x: Floats, lengths: NDArray[Any], timed: NDArray[np.bool_]
) -> tuple[Ints, Floats]:
    """As `sequence_rows`, with each row's length in steps (n,) and whether its time is known (n,)."""
    place = {name: index for index, name in enumerate(names)}
    own = sequence_names(spec)
    rows = x[:, [place[name] for name in own]].copy()
    seasonal = seasons.nominal_lags(spec)
    lags = np.array([seasonal.get(name, _lag(name)) for name in own])
    values = np.array(["_lag" in name for name in own])
    # The oldest steps that are whole in every column: the first missing lag ends the sequence.
    missing = np.where(np.isnan(rows[:, values]), lags[values], spec.look_back).min(axis=1, initial=spec.look_back)
    lengths = np.minimum(lengths, missing)
    rows[lags[None, :] >= lengths[:, None]] = np.nan
    clock = {*sky.names(spec), *calendar.names(spec)}
    rows[~timed[:, None] & np.array([name in clock for name in own])] = np.nan
    whole = np.flatnonzero(lengths >= spec.steps)
    return whole, rows[whole]


def none_whole(spec: WindowSpec, role: str) -> str:
    """The sentence for a role without any row that is a sequence of `steps` steps."""
    columns = ", ".join(spec.columns)
    return f"no {role} row has {spec.steps} steps on end in which all of {columns} are measured"


def _lag(name: str) -> int:
    """How old the oldest step is that a feature needs; clock and sun need none."""
    match = re.search(r"_(?:lag|change)(\d+)$", name)
    return int(match[1]) if match else -1
