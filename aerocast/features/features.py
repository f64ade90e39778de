"""Computes the features of windows in blocks; each block names its features and computes their values.

A row at origin `i` is a function of grid rows `i - look_back + 1 .. i` and of the clock alone, so the newest
`look_back` rows give the same features as the whole history, and nothing later than the origin counts. Sums run step
by step from the newest, so one origin alone gets the same bits as among a million.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.features import sky
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec

NEAR = 12
FAR = (14, 17, 20, 23, 29, 35, 41, 47)
CHANGES = (1, 3, 6, 12, 24)
SPANS = ((0, 3), (0, 6), (0, 12), (0, 24), (24, 48))
OTHERS = (0, 1, 3)
CHUNK = 4096  # origins at a time: their windows stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Sums over all stations, for the mean of the other stations; computed once for all of them.

    `total` (C, T + 1) float64 and `count` are of the spec's inputs from the time `first` on; the last column is empty.
    Sums of float32 are almost exact in float64, so a station's own value can be subtracted again.
    """

    stations: frozenset[str]
    first: np.datetime64
    total: NDArray[np.float64]
    count: NDArray[np.int32]


class _Lags:
    """The indices of a spec's features in a window, computed once."""

    def __init__(self, spec: WindowSpec) -> None:
        self.near, self.far = np.array(near_lags(spec)), np.array(_far_lags(spec), dtype=np.int64)
        self.change, self.others = np.array(_change_lags(spec)), np.array(_others_lags(spec))
        self.back = np.arange(spec.look_back)[:, None]
        self.spans = _spans(spec)
        self.target = spec.columns.index(spec.target)


_lags_of = lru_cache(maxsize=64)(_Lags)


@dataclass(frozen=True)
class _Rows:
    """The input of the feature blocks for n origins; nothing in it is later than its origin."""

    spec: WindowSpec
    lags: _Lags
    grid: Grid
    origins: Ints
    others: Together

    @cached_property
    def window(self) -> Floats:
        """(C, look_back, n) of the spec's inputs, index = steps before the origin."""
        first = max(0, int(self.origins.min()) - self.spec.look_back + 1)
        values = _padded(self.spec, self.grid.columns, self.grid.values[first : int(self.origins.max()) + 1])
        return values[:, np.maximum(self.origins - first - self.lags.back, -1)]

    @cached_property
    def change(self) -> Floats:
        """The window less its newest step."""
        return self.window - self.window[:, :1]

    @cached_property
    def sky(self) -> NDArray[Any]:
        """Clock and sun; for one origin they are cached, because all requests of that step need the same."""
        oldest, newest = int(self.origins.min()), int(self.origins.max())
        place, start = self.spec.place_of(self.grid.station), self.grid.time[oldest]
        if oldest < newest:
            return sky.rows(self.spec.horizons, self.spec.cadence, place, start, self.origins - oldest)
        one = sky.row(self.spec.horizons, self.spec.cadence, place, int(start.astype(np.int64)))
        return np.broadcast_to(one, (len(one), len(self.origins)))


_NO_STATIONS = Together(frozenset(), np.datetime64("NaT", "s"), np.empty((0, 1)), np.empty((0, 1), dtype=np.int32))

Block = tuple[Callable[[WindowSpec], list[str]], Callable[[_Rows], NDArray[Any]]]


def near_lags(spec: WindowSpec) -> list[int]:
    """The lags of every input: the newest ones, without a gap (a recurrent model's sequence)."""
    return list(range(min(NEAR, spec.look_back)))


def _far_lags(spec: WindowSpec) -> list[int]:
    """Older lags of the window's columns, with those one season before each target."""
    lags = {*FAR, *((spec.season - horizon) % spec.season for horizon in spec.horizons)}
    return sorted(lag for lag in lags if NEAR <= lag < spec.look_back)


def lag_names(spec: WindowSpec) -> list[str]:
    near = [f"{column}_lag{lag}" for column in spec.inputs for lag in near_lags(spec)]
    return near + [f"{column}_lag{lag}" for column in spec.columns for lag in _far_lags(spec)]


def _lags(rows: _Rows) -> NDArray[Any]:
    near, far = rows.window[:, rows.lags.near], rows.window[: len(rows.spec.columns), rows.lags.far]
    return np.concatenate([_flat(near), _flat(far)])


def _ages(rows: _Rows) -> NDArray[Any]:
    return _padded(rows.spec, rows.grid.columns, rows.grid.age[rows.origins])[:, :-1]


def _change_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in CHANGES if lag < spec.look_back]


def change_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_change{lag}" for column in spec.inputs for lag in _change_lags(spec)]


def _changes(rows: _Rows) -> NDArray[Any]:
    return -_flat(rows.change[:, rows.lags.change])


def _spans(spec: WindowSpec) -> list[tuple[int, int]]:
    return [span for span in SPANS if span[1] <= spec.look_back]


def _means(rows: _Rows) -> NDArray[Any]:
    """Means over spans minus the newest value; missing values do not count."""
    means = _averages(rows.change, rows.lags.spans)
    return _flat(np.stack(means, axis=1)) if means else np.empty((0, len(rows.origins)))


def _ranges(rows: _Rows) -> NDArray[Any]:
    """The target's spread since the start of a span, and its extremes minus its newest value."""
    series = rows.change[rows.lags.target, None]
    spans = [(0, end) for _, end in rows.lags.spans]
    powers = np.concatenate([series, np.square(series, dtype=np.float64)], dtype=np.float64)
    parts: list[NDArray[Any]] = [np.empty((0, len(rows.origins)))]
    for (start, end), (mean, square) in zip(spans, _averages(powers, spans), strict=True):
        span = series[0, start:end]
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        parts.append(np.stack([spread, np.fmin.reduce(span), np.fmax.reduce(span)]))
    return np.concatenate(parts)


def _near(rows: _Rows) -> NDArray[Any]:
    """The mean of the other stations minus this station's value at the same times; missing values do not count."""
    grid, others, own = rows.grid, rows.others, rows.window[:, rows.lags.others]
    if np.isnat(grid.time[0]) or np.isnat(others.first):
        return np.full((own.shape[0] * own.shape[1], own.shape[2]), np.nan)
    offset = int((grid.time[0] - others.first) // np.timedelta64(rows.spec.cadence, "s"))
    at, empty = rows.origins + offset - rows.lags.others[:, None], others.total.shape[1] - 1
    at = np.where((at < 0) | (at > empty), empty, at)
    total, count = others.total[:, at], others.count[:, at]
    if grid.station in others.stations:
        measured = ~np.isnan(own)
        total, count = total - np.where(measured, own, 0), count - measured
    return _flat(np.where(count > 0, total / np.maximum(count, 1), np.nan) - own)


def _others_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in OTHERS if lag < spec.look_back]


def _flat(table: NDArray[Any]) -> NDArray[Any]:
    return table.reshape(-1, table.shape[-1])


def _averages(table: NDArray[Any], spans: Sequence[tuple[int, int]]) -> list[NDArray[Any]]:
    """Means (C, n) of the present values in spans of steps of a table (C, look_back, n); NaN where none is."""
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


def _station(rows: _Rows) -> NDArray[Any]:
    code = np.array([place.id == rows.grid.station for place in rows.spec.places], dtype=np.float32)
    code = code if code.any() else np.full_like(code, np.nan)
    return np.broadcast_to(code[:, None], (len(code), len(rows.origins)))


_BLOCKS: tuple[Block, ...] = (
    (lag_names, _lags),
    (lambda spec: [f"{column}_age" for column in spec.inputs], _ages),
    (change_names, _changes),
    (lambda spec: [f"{column}_mean{start}to{end}" for column in spec.inputs for start, end in _spans(spec)], _means),
    (lambda spec: [f"{spec.target}_{stat}{end}" for _, end in _spans(spec) for stat in ("std", "min", "max")], _ranges),
    (lambda spec: [f"near_{column}_lag{lag}" for column in spec.inputs for lag in _others_lags(spec)], _near),
    (sky.names, lambda rows: rows.sky),
    (lambda spec: [f"station_{place.id}" for place in spec.places], _station),
)


def feature_names(spec: WindowSpec) -> list[str]:
    """The F names of `features`' columns, in order."""
    return [name for names, _ in _BLOCKS for name in names(spec)]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A choice of features: the blocks with them, their number of columns, and their order there (None: as it is)."""

    blocks: tuple[Callable[[_Rows], NDArray[Any]], ...]
    width: int
    order: Ints | None


def select(spec: WindowSpec, names: Sequence[str]) -> Selection:
    """The argument of `features` for only these `names`, in their order. Raises KeyError for an unknown name."""
    blocks = [(own, block) for names_of, block in _BLOCKS if {*names} & {*(own := names_of(spec))}]
    index = {name: at for at, name in enumerate(name for own, _ in blocks for name in own)}
    order = np.array([index[name] for name in names], dtype=np.int64)
    is_plain = len(order) == len(index) and bool((order == np.arange(len(index))).all())
    return Selection(tuple(block for _, block in blocks), len(index), None if is_plain else order)


@lru_cache(maxsize=64)
def _all(spec: WindowSpec) -> Selection:
    return select(spec, feature_names(spec))


def together(spec: WindowSpec, grids: Iterable[Grid]) -> Together:
    """The sums of stations whose grids share one cadence; a grid without times is left out."""
    timed = [grid for grid in grids if len(grid.time) and not np.isnat(grid.time[0])]
    step = np.timedelta64(spec.cadence, "s")
    first = min((grid.time[0] for grid in timed), default=np.datetime64("NaT", "s"))
    starts = [int((grid.time[0] - first) // step) for grid in timed]
    length = max((start + len(grid.time) for start, grid in zip(starts, timed, strict=True)), default=0)
    total = np.zeros((len(spec.inputs), length + 1))
    count = np.zeros(total.shape, dtype=np.int32)
    for start, grid in zip(starts, timed, strict=True):
        own = slice(start, start + len(grid.time))
        values = _padded(spec, grid.columns, grid.values)[:, :-1]
        measured = ~np.isnan(values)
        total[:, own] += np.where(measured, values, 0)
        count[:, own] += measured
    return Together(frozenset(grid.station for grid in timed), first, total, count)


def features(
    spec: WindowSpec,
    grid: Grid,
    origins: Ints,
    others: Sequence[Grid] | Together = (),
    only: Selection | None = None,
) -> Floats:
    """Feature rows (n, F) float32 at the grid rows `origins` (n,); NaN for what is missing. Cost is linear in n.

    `others` are the feed's other stations: their newest `look_back` rows, matched by time, are features too. The
    same grid among them does not count, so a caller may pass every station's; who asks for every station's features
    passes them `together`, from these very grids. With `only` (see `select`) no other features are made. The rows lie
    column by column in memory.
    """
    origins, only = np.asarray(origins, dtype=np.int64), only or _all(spec)
    if not isinstance(others, Together):
        others = (
            together(spec, [other for other in others if other.station != grid.station]) if others else _NO_STATIONS
        )
    rows = np.empty((only.width, len(origins)), dtype=np.float32)
    for start in range(0, len(origins), CHUNK):
        part = origins[start : start + CHUNK]
        inputs = _Rows(spec, _lags_of(spec), grid, np.repeat(part, 2) if len(part) == 1 else part, others)
        blocks = [block(inputs)[:, : len(part)] for block in only.blocks]
        np.concatenate(blocks, out=rows[:, start : start + CHUNK], casting="same_kind")
    return rows.T if only.order is None else rows[only.order].T


def _padded(spec: WindowSpec, columns: tuple[str, ...], table: Floats) -> Floats:
    """(C, T + 1) of the spec's inputs; NaN for a column that the table (T, C') lacks, and in the last column."""
    picked = np.full((len(spec.inputs), len(table) + 1), np.nan, dtype=np.float32)
    for index, name in enumerate(spec.inputs):
        if name in columns:
            picked[index, :-1] = table[:, columns.index(name)]
    return picked
