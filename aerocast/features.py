"""The features of a window, in blocks: each gives its names from the spec and its values from the same rows.

A row at origin `i` is a function of grid rows `i - look_back + 1 .. i` and of the clock alone, so the newest
`look_back` rows give the same features as the whole history, and nothing later than the origin counts. Sums run step
by step from the newest, so that one origin gets the very bits that it gets among a million.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.daylight import local_hours, sun_height
from aerocast.grid import Floats, Grid, Ints, Place, Times, WindowSpec

NEAR = 12
FAR = (14, 17, 20, 23, 29, 35, 41, 47)
CHANGES = (1, 3, 6, 12, 24)
SPANS = ((0, 3), (0, 6), (0, 12), (0, 24), (24, 48))
OTHERS = (0, 1, 3)
CHUNK = 4096  # origins at a time: their windows stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Sums over stations side by side, for the mean of the others: made once, it costs no more per station than one.

    `total` (C, T + 1) float64 and `count` are of the spec's inputs from the time `first` on; the last place is empty.
    Sums of float32 are as good as exact in float64, so a station's own value can be taken off again.
    """

    stations: frozenset[str]
    first: np.datetime64
    total: NDArray[np.float64]
    count: NDArray[np.int32]


@dataclass(frozen=True)
class _Rows:
    """What the feature blocks see of n origins; nothing in it is later than its origin."""

    spec: WindowSpec
    place: Place
    window: Floats  # (C, look_back, n) of the spec's inputs, index = steps before the origin
    age: Floats  # (C, n) at the origin
    near: NDArray[np.float64]  # (C, len(OTHERS), n) mean of the other stations
    steps: Times  # (m,) every step from the oldest origin to the newest target
    at: Ints  # (n,) the origins among `steps`

    @cached_property
    def change(self) -> Floats:
        """The window less its newest step."""
        return self.window - self.window[:, :1]

    def ahead(self, table: NDArray[Any]) -> NDArray[Any]:
        """(1 + H, n): what a table of `steps` says of the origin and of each target."""
        picked: NDArray[Any] = table[self.at + np.array([0, *self.spec.horizons])[:, None]]
        return picked


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
    near, far = rows.window[:, near_lags(spec)], rows.window[:count, _far_lags(spec)]
    return np.concatenate([_flat(near), _flat(far)])


def _age_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_age" for column in spec.inputs]


def _change_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in CHANGES if lag < spec.look_back]


def change_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_change{lag}" for column in spec.inputs for lag in _change_lags(spec)]


def _changes(rows: _Rows) -> NDArray[Any]:
    return -_flat(rows.change[:, _change_lags(rows.spec)])


def _spans(spec: WindowSpec) -> list[tuple[int, int]]:
    return [span for span in SPANS if span[1] <= spec.look_back]


def _mean_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_mean{start}to{end}" for column in spec.inputs for start, end in _spans(spec)]


def _means(rows: _Rows) -> NDArray[Any]:
    """Means over spans less the newest value; what is missing does not count."""
    means = _averages(rows.change, _spans(rows.spec))
    return _flat(np.stack(means, axis=1)) if means else np.empty((0, len(rows.at)))


def _range_names(spec: WindowSpec) -> list[str]:
    return [f"{spec.target}_{stat}{end}" for _, end in _spans(spec) for stat in ("std", "min", "max")]


def _ranges(rows: _Rows) -> NDArray[Any]:
    """How the target varied since a span began, and its extremes less its newest value."""
    series = rows.change[[rows.spec.columns.index(rows.spec.target)]]
    spans = [(0, end) for _, end in _spans(rows.spec)]
    powers = np.concatenate([series, np.square(series, dtype=np.float64)], dtype=np.float64)
    parts: list[NDArray[Any]] = [np.empty((0, len(rows.at)))]
    for (start, end), (mean, square) in zip(spans, _averages(powers, spans), strict=True):
        span = series[0, start:end]
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        parts.append(np.stack([spread, np.fmin.reduce(span), np.fmax.reduce(span)]))
    return np.concatenate(parts)


def _near_names(spec: WindowSpec) -> list[str]:
    return [f"near_{column}_lag{lag}" for column in spec.inputs for lag in _others_lags(spec)]


def _near(rows: _Rows) -> NDArray[Any]:
    """The other stations' mean less this station's value."""
    return _flat(rows.near - rows.window[:, _others_lags(rows.spec)])


def _others_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in OTHERS if lag < spec.look_back]


def _flat(table: NDArray[Any]) -> NDArray[Any]:
    return table.reshape(-1, table.shape[-1])


def _averages(table: NDArray[Any], spans: Sequence[tuple[int, int]]) -> list[NDArray[Any]]:
    """Means (C, n) over spans of the steps of a table (C, look_back, n), of what is not missing; NaN where all is."""
    missing = np.isnan(table)
    whole = not missing.any()
    table = table if whole else np.where(missing, table.dtype.type(0), table)
    edges = sorted({edge for span in spans for edge in span})
    # With n > 1 the sum runs along the steps, in order; spans that overlap share their pieces.
    sums = [table[:, start:end].sum(axis=1) for start, end in pairwise(edges)]
    counts = [end - start - (0 if whole else missing[:, start:end].sum(axis=1)) for start, end in pairwise(edges)]
    means = []
    for start, end in spans:
        pieces = slice(edges.index(start), edges.index(end))
        count = np.asarray(sum(counts[pieces]), dtype=table.dtype)
        means.append(np.where(count > 0, sum(sums[pieces]) / np.maximum(count, 1), np.nan))
    return means


def clock_names(spec: WindowSpec) -> list[str]:
    return [f"hour_{wave}_{step}" for step in (0, *spec.horizons) for wave in ("sin", "cos")]


def _clock(rows: _Rows) -> NDArray[Any]:
    """Local hour of day of the origin and of each target, on the circle."""
    angle = 2 * np.pi * local_hours(rows.steps, rows.place.timezone) / 24
    return _flat(np.stack([rows.ahead(np.sin(angle)), rows.ahead(np.cos(angle))], axis=1))


def sun_names(spec: WindowSpec) -> list[str]:
    return [f"sun_{step}" for step in (0, *spec.horizons)] + [f"sunshine_{step}" for step in spec.horizons] + ["season"]


def _sun(rows: _Rows) -> NDArray[Any]:
    """Height of the sun at origin and targets, its sum between them, and its noon: what a day of the year means.

    A date that was never trained on has a sun that was; a sine of the day of the year has not.
    """
    place = rows.place
    if place.latitude is None or place.longitude is None:
        return np.full((len(sun_names(rows.spec)), len(rows.at)), np.nan)
    path, declination = sun_height(rows.steps, place.latitude, place.longitude)
    shining, energy, sums = np.maximum(path, 0), np.zeros(len(rows.at)), []
    for step in range(1, rows.spec.horizons[-1] + 1):
        energy = energy + shining[rows.at + step]
        sums.append(energy)
    total = [sums[horizon - 1] for horizon in rows.spec.horizons]
    return np.concatenate([rows.ahead(path), total, declination[rows.at][None]])


def _station_names(spec: WindowSpec) -> list[str]:
    return [f"station_{place.id}" for place in spec.places]


def _station(rows: _Rows) -> NDArray[Any]:
    known = [place.id == rows.place.id for place in rows.spec.places]
    code = np.array(known, dtype=np.float32) if any(known) else np.full(len(known), np.nan, dtype=np.float32)
    return np.broadcast_to(code[:, None], (len(code), len(rows.at)))


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


def together(spec: WindowSpec, grids: Iterable[Grid]) -> Together:
    """The sums of stations whose grids share one cadence; a grid without times has no place among them."""
    known = [grid for grid in grids if len(grid.time) and not np.isnat(grid.time[0])]
    step = np.timedelta64(spec.cadence, "s")
    first = min((grid.time[0] for grid in known), default=np.datetime64("NaT", "s"))
    starts = [int((grid.time[0] - first) // step) for grid in known]
    length = max((start + len(grid.time) for start, grid in zip(starts, known, strict=True)), default=0)
    total = np.zeros((len(spec.inputs), length + 1))
    count = np.zeros(total.shape, dtype=np.int32)
    for start, grid in zip(starts, known, strict=True):
        own = slice(start, start + len(grid.time))
        values = _padded(spec, grid.columns, grid.values)[:, :-1]
        measured = ~np.isnan(values)
        total[:, own] += np.where(measured, values, 0)
        count[:, own] += measured
    return Together(frozenset(grid.station for grid in known), first, total, count)


def features(spec: WindowSpec, grid: Grid, origins: Ints, others: Sequence[Grid] | Together = ()) -> Floats:
    """Feature rows (n, F) float32 at the grid rows `origins` (n,); NaN for what is missing. Cost is linear in n.

    `others` are the feed's other stations: their newest `look_back` rows, matched by time, are features too. The
    same grid among them does not count, so a caller may pass every station's; who asks for every station's features
    passes them `together`, of these very grids. The rows lie column by column in memory.
    """
    origins = np.asarray(origins, dtype=np.int64)
    if not isinstance(others, Together):
        others = together(spec, [other for other in others if other.station != grid.station])
    values, ages = _padded(spec, grid.columns, grid.values), _padded(spec, grid.columns, grid.age)
    rows = np.empty((len(feature_names(spec)), len(origins)), dtype=np.float32)
    for start in range(0, len(origins), CHUNK):
        part = origins[start : start + CHUNK]
        seen = _seen(spec, grid, values, ages, np.repeat(part, 2) if len(part) == 1 else part, others)
        blocks = [block(seen)[:, : len(part)] for _, block in _BLOCKS]
        np.concatenate(blocks, out=rows[:, start : start + CHUNK], casting="same_kind")
    return rows.T


def _seen(spec: WindowSpec, grid: Grid, values: Floats, ages: Floats, origins: Ints, others: Together) -> _Rows:
    window = values[:, np.maximum(origins - np.arange(spec.look_back)[:, None], -1)]
    oldest, newest = int(origins.min()), int(origins.max())
    steps = grid.time[oldest] + np.arange(newest - oldest + 1 + spec.horizons[-1]) * np.timedelta64(spec.cadence, "s")
    near = _others(spec, grid, origins, window, others)
    return _Rows(spec, spec.place(grid.station), window, ages[:, origins], near, steps, origins - oldest)


def _padded(spec: WindowSpec, columns: tuple[str, ...], table: Floats) -> Floats:
    """(C, T + 1) of the spec's inputs; NaN for a column that the table (T, C') has not, and in the last place."""
    picked = np.full((len(spec.inputs), len(table) + 1), np.nan, dtype=np.float32)
    for index, name in enumerate(spec.inputs):
        if name in columns:
            picked[index, :-1] = table[:, columns.index(name)]
    return picked


def _others(spec: WindowSpec, grid: Grid, origins: Ints, window: Floats, others: Together) -> NDArray[np.float64]:
    """(C, len(lags), n): mean over the other stations at the same times, of what is not missing there."""
    lags = _others_lags(spec)
    if np.isnat(grid.time[0]) or np.isnat(others.first):
        return np.full((len(window), len(lags), len(origins)), np.nan)
    offset = int((grid.time[0] - others.first) // np.timedelta64(spec.cadence, "s"))
    at, empty = origins + offset - np.array(lags)[:, None], others.total.shape[1] - 1
    at = np.where((at < 0) | (at > empty), empty, at)
    total, count = others.total[:, at], others.count[:, at]
    if grid.station in others.stations:
        own = window[:, lags]
        measured = ~np.isnan(own)
        total, count = total - np.where(measured, own, 0), count - measured
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
