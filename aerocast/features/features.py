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

from aerocast.features import ahead, calendar, profile, seasons, sky
from aerocast.features.gaps import between_measured, newest_measured
from aerocast.features.grid import Floats, Grid, Ints, Place, WindowSpec
from aerocast.features.lags import (
    change_lags,
    change_names,
    far_lags,
    lag_names,
    near_lags,
    others_lags,
    span_ends,
    spans_of,
)

CHUNK = 4096  # origins at a time: their windows stay in the processor's cache
WIDTH = 64  # steps of a window; of a wider one, fewer origins at a time

# From spec, place, a time and steps after it (n,) to rows (F, n) for these origins; NaT where the time is unknown.
Clock = Callable[[WindowSpec, Place, np.datetime64, Ints], NDArray[Any]]


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
    """The lags of a spec's features, computed once; `back` are the newest steps, without a gap."""

    def __init__(self, spec: WindowSpec) -> None:
        self.near, far = np.array(near_lags(spec)), far_lags(spec)
        self.far = np.array([lag for _, lag in far], dtype=np.int64)[:, None]
        self.far_columns = np.array([spec.columns.index(column) for column, _ in far], dtype=np.int64)[:, None]
        self.change, self.others = np.array(change_lags(spec)), np.array(others_lags(spec))
        self.spans, self.ends = spans_of(spec), span_ends(spec)
        nearest = [*near_lags(spec), *change_lags(spec), *others_lags(spec), *(end - 1 for _, end in self.spans)]
        self.back = np.arange(max(nearest) + 1)[:, None]
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
    def series(self) -> Floats:
        """(C, T + 1) of the spec's inputs, from what the oldest origin looks back to; the last column is empty."""
        return _padded(self.spec, self.grid.columns, self.grid.values[self.first : int(self.origins.max()) + 1])

    @cached_property
    def first(self) -> int:
        return max(0, int(self.origins.min()) - self.spec.look_back + 1)

    def before(self, lags: Ints) -> Ints:
        """Columns of `series` so many steps (k, 1) or (k, n) before each origin (n,)."""
        return np.where(lags < self.spec.look_back, np.maximum(self.origins - self.first - lags, -1), -1)

    @cached_property
    def window(self) -> Floats:
        """(C, steps, n) of the spec's inputs' newest steps, index = steps before the origin."""
        return self.values(np.arange(len(self.series))[:, None, None], self.lags.back)

    def values(self, columns: Ints | int, lags: Ints) -> Floats:
        """Inputs so many steps before each origin (n,), by their places in `series`; gaps closed by then are lines."""
        rows = self.before(lags)
        values: Floats = self.series[columns, rows]
        if not self.spec.interpolated:
            return values
        lines, newest = self.lines
        is_closed = (rows >= 0) & (rows <= newest[columns, np.arange(len(self.origins))])
        return np.where(is_closed, lines[columns, rows], values)

    @cached_property
    def lines(self) -> tuple[Floats, Ints]:
        """`series` with lines in the gaps of interpolated columns, and each input's newest measured row (C, n)."""
        lines, names, own = self.series.copy(), self.spec.inputs, slice(self.first, int(self.origins.max()) + 1)
        newest = np.full((len(names), len(self.origins)), -1)
        for name in {*self.spec.interpolated} & {*names} & {*self.grid.columns}:
            at, column = names.index(name), self.grid.columns.index(name)
            lines[at, :-1] = between_measured(self.grid.values[own, column], self.grid.age[own, column])
            newest[at] = newest_measured(self.grid.age[own, column])[self.origins - self.first]
        return lines, newest

    @cached_property
    def change(self) -> Floats:
        """The window less its newest step."""
        return self.window - self.window[:, :1]

    def by_clock(self, rows: Clock) -> NDArray[Any]:
        """(F, n) that depend on time and place alone; all requests of one step need the same, so those are cached."""
        oldest, newest = int(self.origins.min()), int(self.origins.max())
        place = self.grid.place or self.spec.place_of(self.grid.station)
        start = self.grid.time[oldest]
        if oldest < newest:
            return rows(self.spec, place, start, self.origins - oldest)
        one = _row_by_clock(rows, self.spec, place, int(start.astype(np.int64)))
        return np.broadcast_to(one, (len(one), len(self.origins)))


@lru_cache(maxsize=4096)
def _row_by_clock(rows: Clock, spec: WindowSpec, place: Place, origin: int) -> NDArray[Any]:
    return rows(spec, place, np.datetime64(origin, "s"), np.zeros(1, dtype=np.int64))


_NO_STATIONS = Together(frozenset(), np.datetime64("NaT", "s"), np.empty((0, 1)), np.empty((0, 1), dtype=np.int32))

Block = tuple[Callable[[WindowSpec], list[str]], Callable[[_Rows], NDArray[Any]]]


def _lags(rows: _Rows) -> NDArray[Any]:
    far = rows.values(rows.lags.far_columns, rows.lags.far)
    return np.concatenate([_flat(rows.window[:, rows.lags.near]), far])


def _seasons(rows: _Rows) -> NDArray[Any]:
    return rows.values(rows.lags.target, rows.by_clock(seasons.lags))


def _ages(rows: _Rows) -> NDArray[Any]:
    return _padded(rows.spec, rows.grid.columns, rows.grid.age[rows.origins])[:, :-1]


def _history(rows: _Rows) -> NDArray[Any]:
    """Means over seasons at the hour of the origin and of each target, minus the newest value."""
    values = rows.values(rows.lags.target, rows.by_clock(seasons.history_lags)) - rows.window[rows.lags.target, 0]
    table = values.reshape(len(values) // seasons.HISTORY[0], seasons.HISTORY[0], -1)
    (means,) = _averages(table, [(0, table.shape[1])])
    return means


def _profile(rows: _Rows) -> NDArray[Any]:
    """Means over seasons of the same step of each, minus the newest value; missing values do not count."""
    season, spec = rows.spec.season, rows.spec
    values = rows.values(rows.lags.target, np.arange(spec.profile * season)[:, None]) - rows.window[rows.lags.target, 0]
    table = values.reshape(spec.profile, season, -1).transpose(1, 0, 2)
    return np.concatenate(_averages(table, profile.blocks(spec)))[1:]  # the newest step less itself says nothing


def _changes(rows: _Rows) -> NDArray[Any]:
    return -_flat(rows.change[:, rows.lags.change])


def _means(rows: _Rows) -> NDArray[Any]:
    """Means over spans minus the newest value; missing values do not count."""
    means = _averages(rows.change, rows.lags.spans)
    return _flat(np.stack(means, axis=1)) if means else np.empty((0, len(rows.origins)))


def _ranges(rows: _Rows) -> NDArray[Any]:
    """The target's spread since the start of a span, and its extremes minus its newest value."""
    series = rows.change[rows.lags.target, None]
    spans = [(0, end) for end in rows.lags.ends]
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
    (seasons.names, _seasons),
    (seasons.history_names, _history),
    (profile.names, _profile),
    (lambda spec: [f"{column}_age" for column in spec.inputs], _ages),
    (change_names, _changes),
    (lambda spec: [f"{column}_mean{start}to{end}" for column in spec.inputs for start, end in spans_of(spec)], _means),
    (
        lambda spec: [f"{spec.target}_{stat}{end}" for end in span_ends(spec) for stat in ("std", "min", "max")],
        _ranges,
    ),
    (lambda spec: [f"near_{column}_lag{lag}" for column in spec.inputs for lag in others_lags(spec)], _near),
    (sky.names, lambda rows: rows.by_clock(sky.rows)),
    (ahead.names, lambda rows: ahead.rows(rows.spec, rows.grid, rows.origins)),
    (calendar.names, lambda rows: rows.by_clock(calendar.rows)),
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
    chunk = max(2, CHUNK * WIDTH // max(WIDTH, len(_lags_of(spec).back)))
    for start in range(0, len(origins), chunk):
        part = origins[start : start + chunk]
        inputs = _Rows(spec, _lags_of(spec), grid, np.repeat(part, 2) if len(part) == 1 else part, others)
        blocks = [block(inputs)[:, : len(part)] for block in only.blocks]
        np.concatenate(blocks, out=rows[:, start : start + chunk], casting="same_kind")
    return rows.T if only.order is None else rows[only.order].T


def _padded(spec: WindowSpec, columns: tuple[str, ...], table: Floats) -> Floats:
    """(C, T + 1) of the spec's inputs; NaN for a column that the table (T, C') lacks, and in the last column."""
    picked = np.full((len(spec.inputs), len(table) + 1), np.nan, dtype=np.float32)
    for index, name in enumerate(spec.inputs):
        if name in columns:
            picked[index, :-1] = table[:, columns.index(name)]
    return picked
