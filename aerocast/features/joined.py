"""Features of rows of many grids in one pass: what `features` makes of each row alone, to a rounding.

The look-backs of the rows lie one after the other in one grid, and the blocks of `features` run over all of them at
once. What depends on the row's own place, clock, gaps and neighbours is asked of its own grid.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aerocast.features import features as single
from aerocast.features.features import Clock, Selection, Together, _lags_of, _row_by_clock, _Rows
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec


class Origin(NamedTuple):
    """A row to forecast from: in a grid, and the feed's stations beside it (see `features`)."""

    grid: Grid
    row: int
    others: Sequence[Grid] = ()


@dataclass(frozen=True)
class _Joined(_Rows):
    """As `_Rows`; `parts` are the rows' own."""

    parts: Sequence[Origin] = ()

    def by_clock(self, rows: Clock) -> NDArray[Any]:
        spec, columns = self.spec, []
        for grid, row, _ in self.parts:
            place = grid.place or spec.place_of(grid.station)
            columns.append(_row_by_clock(rows, spec, place, int(grid.time[row].astype(np.int64))))
        return np.concatenate(columns, axis=1)

    @cached_property
    def lines(self) -> tuple[Floats, Ints]:
        own = [_Rows(self.spec, self.lags, _segment(self.spec, part), _last(self.spec), self.others).lines
               for part in self.parts]  # fmt: skip
        lines, width = self.series.copy(), _width(self.spec)
        for at, (line, _) in enumerate(own):
            start = at * width
            lines[:, start : start + line.shape[1] - 1] = line[:, :-1]
        newest = np.stack(
            [np.where(last[:, 0] < 0, -1, last[:, 0] + at * width) for at, (_, last) in enumerate(own)], 1
        )
        return lines, newest


def features_of(spec: WindowSpec, parts: Sequence[Origin], only: Selection) -> Floats:
    """Feature rows (n, F) float32 of the origins, in their order; see `features`."""
    if len(parts) == 1:
        ((grid, row, others),) = parts
        return single.features(spec, grid, np.array([row]), others, only)
    if not parts:
        return np.empty((0, only.width if only.order is None else len(only.order)), dtype=np.float32)
    grid, origins = _join(spec, parts)
    inputs = _Joined(spec, _lags_of(spec), grid, origins, single._NO_STATIONS, parts)
    own: dict[object, Callable[[_Rows], NDArray[Any]]] = {single._near: _near, single._station: _stations}
    blocks = [own.get(block, block)(inputs) for block in only.blocks]
    rows = np.concatenate(blocks).astype(np.float32)
    return rows.T if only.order is None else rows[only.order].T


def _width(spec: WindowSpec) -> int:
    """Rows of one origin: what it looks back to, itself, and for what is known perfectly those of its targets."""
    return spec.look_back + (spec.horizons[-1] if any(each.is_perfect for each in spec.ahead) else 0)


def _last(spec: WindowSpec) -> Ints:
    return np.array([spec.look_back - 1])


def _segment(spec: WindowSpec, part: Origin) -> Grid:
    """The rows that count for one origin, as many for each; what the grid has not is missing."""
    grid, row, width = part.grid, part.row, _width(spec)
    first = row - spec.look_back + 1
    own = slice(max(0, first), max(0, first + width))
    before, length = max(0, -first), len(grid.time[own])
    values, age = (np.full((width, len(grid.columns)), np.nan, dtype=np.float32) for _ in range(2))
    values[before : before + length], age[before : before + length] = grid.values[own], grid.age[own]
    steps = (np.arange(width) - (spec.look_back - 1)) * np.timedelta64(spec.cadence, "s")
    return Grid(grid.station, grid.time[row] + steps, grid.columns, values, age, place=grid.place)


def _join(spec: WindowSpec, parts: Sequence[Origin]) -> tuple[Grid, Ints]:
    """The segments one after the other, with the columns of all of them, and the rows of the origins."""
    segments = [_segment(spec, part) for part in parts]
    columns = tuple(dict.fromkeys(name for each in segments for name in each.columns))
    width = _width(spec)
    values, age = (np.full((width * len(parts), len(columns)), np.nan, dtype=np.float32) for _ in range(2))
    for at, each in enumerate(segments):
        rows, places = slice(at * width, (at + 1) * width), [columns.index(name) for name in each.columns]
        values[rows, places], age[rows, places] = each.values, each.age
    time = np.concatenate([each.time for each in segments])
    return Grid("", time, columns, values, age), np.arange(len(parts)) * width + spec.look_back - 1


def _stations(rows: _Rows) -> NDArray[Any]:
    assert isinstance(rows, _Joined)
    codes = np.array([[place.id == part.grid.station for part in rows.parts] for place in rows.spec.places], np.float32)
    return np.where(codes.any(axis=0), codes, np.float32(np.nan))


def _near(rows: _Rows) -> NDArray[Any]:
    """The mean of the other stations minus the row's own; of rows with the same others, the sums are made once."""
    assert isinstance(rows, _Joined)
    spec, lags = rows.spec, rows.lags.others
    own = rows.window[:, lags]
    sums: dict[int, _Sums] = {}
    means = np.full(own.shape, np.nan)
    for at, part in enumerate(rows.parts):
        stations = sums.get(id(part.others)) or sums.setdefault(id(part.others), _Sums(spec, part.others))
        if not np.isnat(part.grid.time[0]):
            means[:, :, at] = stations.mean(part.grid.time[part.row], part.grid.station, lags)
    return single._flat(means - own)


class _Sums:
    """Sums over stations, from which any one of them can be left out."""

    def __init__(self, spec: WindowSpec, grids: Sequence[Grid]) -> None:
        self._spec = spec
        self._all = single.together(spec, grids)
        self._alone = {grid.station: single.together(spec, [grid]) for grid in grids}

    def mean(self, time: np.datetime64, station: str, lags: Ints) -> NDArray[Any]:
        """(C, L) of the stations but this one, so many steps before the time; NaN where none was measured."""
        total, count = self._at(self._all, time, lags)
        if alone := self._alone.get(station):
            own_total, own_count = self._at(alone, time, lags)
            total, count = total - own_total, count - own_count
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _at(self, sums: Together, time: np.datetime64, lags: Ints) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if np.isnat(sums.first):
            empty = np.zeros((len(self._spec.inputs), len(lags)))
            return empty, empty.astype(np.int64)
        at, last = int((time - sums.first) // np.timedelta64(self._spec.cadence, "s")) - lags, sums.total.shape[1] - 1
        at = np.where((at < 0) | (at > last), last, at)
        return sums.total[:, at], sums.count[:, at].astype(np.int64)
