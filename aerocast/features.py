"""The features of a window, in blocks: each gives its names from the spec and its values from the same rows.

A row at origin `i` is a function of grid rows `i - look_back + 1 .. i` and of the clock alone, so the newest
`look_back` rows give the same features as the whole history, and nothing later than the origin counts.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aerocast.daylight import local_hours, sun_height
from aerocast.grid import Floats, Grid, Ints, Place, Times, WindowSpec

NEAR = 12
FAR = (14, 17, 20, 23, 29, 35, 41, 47)
CHANGES = (1, 3, 6, 12, 24)
SPANS = ((0, 3), (0, 6), (0, 12), (0, 24), (24, 48))
OTHERS = (0, 1, 3)
CHUNK = 16384  # origins at a time: bounds the memory of the windows


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the feature blocks see of n origins; nothing in it is later than its origin."""

    spec: WindowSpec
    place: Place
    time: Times  # (n,) of the origins
    window: Floats  # (n, C, look_back) of the spec's inputs, index = steps before the origin
    age: Floats  # (n, C) at the origin
    near: Floats  # (n, C, len(OTHERS)) mean of the other stations


Block = tuple[Callable[[WindowSpec], list[str]], Callable[[_Rows], NDArray[Any]]]


def near_lags(spec: WindowSpec) -> list[int]:
    """Lags that every input has: the newest ones, without a hole (a recurrent model's sequence)."""
    return list(range(min(NEAR, spec.look_back)))


def _far_lags(spec: WindowSpec) -> list[int]:
    """Further lags of the window's columns, with those one season before each target."""
    lags = {*FAR, *((spec.season - horizon) % spec.season for horizon in spec.horizons)}
    return sorted(lag for lag in lags if NEAR <= lag < spec.look_back)


def lag_names(spec: WindowSpec) -> list[str]:
    near = [f"{column}_lag{lag}" for column in spec.inputs for lag in near_lags(spec)]
    return near + [f"{column}_lag{lag}" for column in spec.columns for lag in _far_lags(spec)]


def _lags(rows: _Rows) -> NDArray[Any]:
    spec, count = rows.spec, len(rows.spec.columns)
    near, far = rows.window[:, :, near_lags(spec)], rows.window[:, :count, _far_lags(spec)]
    return np.hstack([_flat(near), _flat(far)])


def _age_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_age" for column in spec.inputs]


def _change_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in CHANGES if lag < spec.look_back]


def change_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_change{lag}" for column in spec.inputs for lag in _change_lags(spec)]


def _changes(rows: _Rows) -> NDArray[Any]:
    return _flat(rows.window[:, :, :1] - rows.window[:, :, _change_lags(rows.spec)])


def _spans(spec: WindowSpec) -> list[tuple[int, int]]:
    return [span for span in SPANS if span[1] <= spec.look_back]


def _mean_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_mean{start}to{end}" for column in spec.inputs for start, end in _spans(spec)]


def _means(rows: _Rows) -> NDArray[Any]:
    """Means over spans less the newest value; what is missing does not count."""
    means = [_mean(rows.window[:, :, start:end]) - rows.window[:, :, 0] for start, end in _spans(rows.spec)]
    return _flat(np.stack(means, axis=2))


def _range_names(spec: WindowSpec) -> list[str]:
    return [f"{spec.target}_{stat}{end}" for _, end in _spans(spec) for stat in ("std", "min", "max")]


def _ranges(rows: _Rows) -> NDArray[Any]:
    """How the target varied, and its extremes less its newest value."""
    series = rows.window[:, rows.spec.columns.index(rows.spec.target)]
    series = series - series[:, :1]
    parts = []
    for _, end in _spans(rows.spec):
        span = series[:, :end]
        spread = np.sqrt(_mean((span - _mean(span)[:, None]) ** 2))
        parts += [spread, np.fmin.reduce(span, axis=1), np.fmax.reduce(span, axis=1)]
    return np.stack(parts, axis=1)


def _near_names(spec: WindowSpec) -> list[str]:
    return [f"near_{column}_lag{lag}" for column in spec.inputs for lag in _others_lags(spec)]


def _near(rows: _Rows) -> NDArray[Any]:
    """The other stations' mean less this station's value."""
    return _flat(rows.near - rows.window[:, :, _others_lags(rows.spec)])


def _others_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in OTHERS if lag < spec.look_back]


def _flat(table: NDArray[Any]) -> NDArray[Any]:
    return table.reshape(len(table), -1)


def _mean(table: NDArray[Any]) -> NDArray[Any]:
    """Mean over the last axis of what is not missing; NaN where all is."""
    seen = ~np.isnan(table)
    count = seen.sum(axis=-1)
    total: NDArray[Any] = np.where(seen, table, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def clock_names(spec: WindowSpec) -> list[str]:
    return [f"hour_{wave}_{step}" for step in (0, *spec.horizons) for wave in ("sin", "cos")]


def _clock(rows: _Rows) -> NDArray[Any]:
    """Local hour of day of the origin and of each target, on the circle."""
    times = _ahead(rows)
    angle = 2 * np.pi * local_hours(times, rows.place.timezone) / 24
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(times), -1)


def sun_names(spec: WindowSpec) -> list[str]:
    return [f"sun_{step}" for step in (0, *spec.horizons)] + [f"sunshine_{step}" for step in spec.horizons] + ["season"]


def _sun(rows: _Rows) -> NDArray[Any]:
    """Height of the sun at origin and targets, its sum between them, and its noon: what a day of the year means.

    A date that was never trained on has a sun that was; a sine of the day of the year has not.
    """
    times, place = _ahead(rows), rows.place
    if place.latitude is None or place.longitude is None:
        return np.full((len(times), len(sun_names(rows.spec))), np.nan)
    hourly = np.arange(rows.spec.horizons[-1] + 1) * np.timedelta64(rows.spec.cadence, "s")
    path, declination = sun_height(rows.time[:, None] + hourly, place.latitude, place.longitude)
    energy = np.cumsum(np.maximum(path, 0), axis=1)
    steps = np.array(rows.spec.horizons)
    parts = [path[:, [0, *steps]], energy[:, steps] - energy[:, :1], declination[:, :1]]
    return np.hstack(parts)


def _station_names(spec: WindowSpec) -> list[str]:
    return [f"station_{place.id}" for place in spec.places]


def _station(rows: _Rows) -> NDArray[Any]:
    known = [place.id == rows.place.id for place in rows.spec.places]
    code = np.array(known, dtype=np.float32) if any(known) else np.full(len(known), np.nan, dtype=np.float32)
    return np.broadcast_to(code, (len(rows.time), len(code)))


_BLOCKS: tuple[Block, ...] = (
    (lag_names, _lags),
    (_age_names, lambda rows: rows.age),
    (change_names, _changes),
    (_mean_names, _means),
    (_range_names, _ranges),
    (_near_names, _near),
    (clock_names, _clock),
    (sun_names, _sun),
    (_station_names, _station),
)


def feature_names(spec: WindowSpec) -> list[str]:
    """The F names of `features`' columns, in order."""
    return [name for names, _ in _BLOCKS for name in names(spec)]


def features(spec: WindowSpec, grid: Grid, origins: Ints, others: Sequence[Grid] = ()) -> Floats:
    """Feature rows (n, F) float32 at the grid rows `origins` (n,); NaN for what is missing. Cost is linear in n.

    `others` are the feed's other stations: their newest `look_back` rows, matched by time, are features too. The
    same grid among them does not count, so a caller may pass every station's.
    """
    origins = np.asarray(origins, dtype=np.int64)
    others = [other for other in others if other.station != grid.station]
    parts = [_block(spec, grid, origins[at : at + CHUNK], others) for at in range(0, max(1, len(origins)), CHUNK)]
    return np.concatenate(parts)


def _block(spec: WindowSpec, grid: Grid, origins: Ints, others: Sequence[Grid]) -> Floats:
    time = grid.time[origins]
    window = _window(spec, grid.columns, grid.values, origins)
    near = _others(spec, time, others, window.shape[1])
    age = _window(msgspec.structs.replace(spec, look_back=1), grid.columns, grid.age, origins)[:, :, 0]
    rows = _Rows(spec, spec.place(grid.station), time, window, age, near)
    return np.hstack([np.asarray(block(rows), dtype=np.float32) for _, block in _BLOCKS])


def _others(spec: WindowSpec, time: Times, others: Sequence[Grid], columns: int) -> Floats:
    """(n, C, len(lags)): mean over the other stations at the same times, of what is not missing there."""
    lags = _others_lags(spec)
    total = np.zeros((len(time), columns, len(lags)), dtype=np.float32)
    count = np.zeros(total.shape, dtype=np.int32)
    for other in others:
        step = (time - other.time[0]) // np.timedelta64(spec.cadence, "s")
        same = np.where(np.isnat(time), -1, step.astype(np.int64))
        window = _window(spec, other.columns, other.values, same)[:, :, lags]
        known = ~np.isnan(window)
        total += np.where(known, window, 0)
        count += known
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return mean


def _window(spec: WindowSpec, columns: tuple[str, ...], table: Floats, origins: Ints) -> Floats:
    """(n, C, look_back) of the spec's inputs, newest first; NaN for a column or a row that the table has not."""
    pad = spec.look_back
    picked = np.full((len(table) + 2 * pad, len(spec.inputs)), np.nan, dtype=np.float32)
    for index, name in enumerate(spec.inputs):
        if name in columns:
            picked[pad:-pad, index] = table[:, columns.index(name)]
    rows = np.clip(origins, -1, len(table) + pad - 1)
    windows: Floats = sliding_window_view(picked, spec.look_back, axis=0)[rows + 1, :, ::-1]
    return windows


def _ahead(rows: _Rows) -> Times:
    """(n, 1 + H): times of the origin and of each target."""
    steps = np.array([0, *rows.spec.horizons]) * np.timedelta64(rows.spec.cadence, "s")
    return rows.time[:, None] + steps
