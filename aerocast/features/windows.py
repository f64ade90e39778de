"""Turns a station's regular grid into a model's input, in the same way for training, scoring and serving.

The server imports this module: numpy, msgspec and the standard library only.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec


def targets(spec: WindowSpec, grid: Grid, origins: Ints) -> Floats:
    """Measured target values (n, H) at origin + horizon; NaN where it was not measured or the grid ends."""
    column = grid.columns.index(spec.target)
    pad = np.full(spec.horizons[-1], np.nan, dtype=np.float32)
    measured = np.where(grid.age[:, column] == 0, grid.values[:, column], np.float32(np.nan))
    outcomes: Floats = np.concatenate([measured, pad])[np.asarray(origins)[:, None] + np.array(spec.horizons)]
    return outcomes


def valid_origins(spec: WindowSpec, grid: Grid, steps: int | None = None) -> Ints:
    """Rows that may be forecast from: no gap beyond the policy in the target's newest `steps` steps."""
    steps = steps or spec.steps
    if len(grid.time) < steps:
        return np.empty(0, dtype=np.int64)
    missing = np.isnan(grid.values[:, grid.columns.index(spec.target)])
    return np.flatnonzero(~sliding_window_view(missing, steps).any(axis=1)) + steps - 1


def sequence_grid(
    spec: WindowSpec, sequence: NDArray[Any], time: np.datetime64 | None = None, station: str = ""
) -> Grid:
    """The grid of a request: rows of `spec.columns`, oldest first, the newest at `time` (UTC; None: unknown).

    Raises:
        AeroCastError: not `steps` .. `look_back` rows of one finite number a column.
    """
    try:
        rows = np.asarray(sequence, dtype=np.float32)
    except (TypeError, ValueError):
        rows = np.empty(0, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(spec.columns) or not spec.steps <= len(rows) <= spec.look_back:
        columns = ", ".join(spec.columns)
        raise AeroCastError(f"sequence: give {spec.steps} to {spec.look_back} steps, oldest first, each [{columns}]")
    if not np.isfinite(rows).all():
        raise AeroCastError("sequence: every number must be finite")
    older = spec.look_back - len(rows)
    values = np.full((spec.look_back, len(spec.columns)), np.nan, dtype=np.float32)
    values[older:] = rows
    age = np.full_like(values, np.nan)
    age[older:] = 0
    steps = np.arange(1 - spec.look_back, 1) * np.timedelta64(spec.cadence, "s")
    moment = np.datetime64("NaT", "s") if time is None else time.astype("datetime64[s]")
    return Grid(station, moment + steps, spec.columns, values, age)


def windowed_csv_columns(spec: WindowSpec) -> list[str]:
    """Header of the windowed CSV: `t0_<label>, ...` oldest first, then `target`."""
    return [f"t{step}_{label}" for step in range(spec.steps) for label in spec.labels] + ["target"]


def windowed_rows(spec: WindowSpec, grid: Grid) -> tuple[Ints, Floats]:
    """Origins (n,) and windowed CSV rows (n, steps * columns + 1); the target is that of the first horizon.

    The CSV has no room for a flag, so its rows hold measured values only, never a filled one.
    """
    if len(grid.time) < spec.steps:
        return np.empty(0, dtype=np.int64), np.empty((0, spec.steps * len(spec.columns) + 1), dtype=np.float32)
    picked = [grid.columns.index(column) for column in spec.columns]
    measured = np.where(grid.age[:, picked] == 0, grid.values[:, picked], np.float32(np.nan))
    origins = np.arange(spec.steps - 1, len(grid.time))
    windows = sliding_window_view(measured, spec.steps, axis=0).transpose(0, 2, 1).reshape(len(origins), -1)
    rows = np.hstack([windows, targets(spec, grid, origins)[:, :1]])
    whole = ~np.isnan(rows).any(axis=1)
    return origins[whole], rows[whole]
