"""From a station's regular grid to a model's input: the one code path of training, scoring and serving.

A feature row at origin `i` is a function of grid rows `i - look_back + 1 .. i` and of the clock alone, so the
newest `look_back` rows give the same features as the whole history, and nothing later than the origin counts.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aerocast.daylight import local_hours, sun_height
from aerocast.errors import AeroCastError

if TYPE_CHECKING:
    from aerocast.feed import Feed

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]

COVARIATE_LAGS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 18, 23)
CHANGES = (1, 2, 3, 6, 12, 24)
SPANS = (3, 6, 12, 24, 48)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """One station's regular series, newest last; nothing is skipped, a missing step is NaN.

    Shapes: `time` (T,) datetime64[s] in UTC, NaT where unknown; `values` (T, C) float32 in canonical units, filled
    by the causal gap policy; `age` (T, C) float32: steps since the value was measured, NaN for none.
    """

    station: str
    time: Times
    columns: tuple[str, ...]
    values: Floats
    age: Floats

    def tail(self, rows: int) -> Grid:
        """The newest `rows` rows."""
        return Grid(self.station, self.time[-rows:], self.columns, self.values[-rows:], self.age[-rows:])


class Place(msgspec.Struct, frozen=True):
    """Where a station stands: its local clock and, if known, its sun (degrees)."""

    id: str
    timezone: str
    latitude: float | None = None
    longitude: float | None = None


class WindowSpec(msgspec.Struct, frozen=True):
    """What defines a feature row. Plain data: it is stored in a release and read back by the server.

    `columns` are the windowed CSV's and the sequence requests' (with `labels` as short names); `covariates` are the
    grid's other columns; `cadence` is in seconds, every other length in steps.
    """

    target: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    covariates: tuple[str, ...]
    steps: int
    look_back: int
    season: int
    cadence: int
    horizons: tuple[int, ...]
    places: tuple[Place, ...]

    @classmethod
    def of(cls, feed: Feed, target: str) -> WindowSpec:
        """The window of one target of a feed; an angle is left out, for its vector's components say the same."""
        components = [f"{vector.name}_{axis}" for vector in feed.vectors for axis in "uv"]
        plain = [column.name for column in feed.columns if not column.circular]
        return cls(
            target=target,
            columns=feed.window.columns,
            labels=tuple(feed.column(name).short for name in feed.window.columns),
            covariates=tuple(name for name in [*components, *plain] if name not in feed.window.columns),
            steps=feed.window.steps,
            look_back=feed.window.look_back,
            season=feed.season,
            cadence=int(feed.cadence.total_seconds()),
            horizons=feed.horizons,
            places=tuple(
                Place(station.id, station.timezone, station.latitude, station.longitude) for station in feed.stations
            ),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.columns + self.covariates

    def place(self, station: str) -> Place:
        """The station's place; a sequence of an unnamed station gets the feed's centre and its first clock."""
        for place in self.places:
            if place.id == station:
                return place
        known = [(p.latitude, p.longitude) for p in self.places if p.latitude is not None and p.longitude is not None]
        centre = np.mean(known, axis=0).tolist() if known else (None, None)
        return Place("", self.places[0].timezone, *centre)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The grid as the feature blocks see it: `look_back - 1` missing rows in front, columns in the spec's order."""

    spec: WindowSpec
    place: Place
    values: Floats  # (T + look_back - 1, C)
    age: Floats
    at: Ints  # (n,) origins, in padded rows
    time: Times  # (n,) origin times

    def lag(self, column: int, lags: NDArray[np.int64]) -> Floats:
        """(n, len(lags)): the column's value so many steps before the origin."""
        return self.values[:, column][self.at[:, None] - lags]

    def target(self) -> int:
        return self.spec.columns.index(self.spec.target)


Block = tuple[Callable[[WindowSpec], list[str]], Callable[[_Rows], NDArray[Any]]]


def _upto(spec: WindowSpec, steps: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array([step for step in steps if step < spec.look_back], dtype=np.int64)


def _lag_names(spec: WindowSpec) -> list[str]:
    names = [f"{column}_lag{lag}" for column in spec.columns for lag in range(spec.look_back)]
    return names + [f"{column}_lag{lag}" for column in spec.covariates for lag in _upto(spec, COVARIATE_LAGS)]


def _lags(rows: _Rows) -> NDArray[Any]:
    spec, count = rows.spec, len(rows.spec.columns)
    windows = sliding_window_view(rows.values[:, :count], spec.look_back, axis=0)
    deep = windows[rows.at - spec.look_back + 1][:, :, ::-1].reshape(len(rows.at), -1)
    near = rows.values[rows.at[:, None] - _upto(spec, COVARIATE_LAGS)][:, :, count:]
    return np.hstack([deep, near.transpose(0, 2, 1).reshape(len(rows.at), -1)])


def _age_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_age" for column in spec.inputs]


def _ages(rows: _Rows) -> NDArray[Any]:
    return rows.age[rows.at]


def _change_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_change{lag}" for column in spec.inputs for lag in _upto(spec, CHANGES)]


def _changes(rows: _Rows) -> NDArray[Any]:
    now = rows.values[rows.at]
    before = rows.values[rows.at[:, None] - _upto(rows.spec, CHANGES)]
    return (now[:, None] - before).transpose(0, 2, 1).reshape(len(now), -1)


def _spans(spec: WindowSpec) -> list[int]:
    return [span for span in SPANS if span <= spec.look_back]


def _span_names(spec: WindowSpec) -> list[str]:
    return [f"{spec.target}_{stat}{span}" for span in _spans(spec) for stat in ("mean", "std", "min", "max")]


def _span_stats(rows: _Rows) -> NDArray[Any]:
    """The target less its last value, summed up over spans; what is missing does not count."""
    series = rows.values[:, rows.target()]
    now = series[rows.at]
    parts = []
    for span in _spans(rows.spec):
        window = sliding_window_view(series, span)[rows.at - span + 1] - now[:, None]
        seen = ~np.isnan(window)
        count = np.where(seen.any(axis=1), seen.sum(axis=1), np.nan)
        mean = np.where(seen, window, 0).sum(axis=1) / count
        square = np.where(seen, (window - mean[:, None]) ** 2, 0).sum(axis=1) / count
        low, high = (np.fmin.reduce(window, axis=1), np.fmax.reduce(window, axis=1))
        parts += [mean, np.sqrt(square), low, high]
    return np.stack(parts, axis=1)


def _clock_names(spec: WindowSpec) -> list[str]:
    return [f"hour_{wave}_{step}" for step in (0, *spec.horizons) for wave in ("sin", "cos")]


def _clock(rows: _Rows) -> NDArray[Any]:
    """Local hour of day of the origin and of each target, on the circle."""
    times = _ahead(rows)
    angle = 2 * np.pi * local_hours(times, rows.place.timezone) / 24
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(times), -1)


def _sun_names(spec: WindowSpec) -> list[str]:
    return [f"sun_{step}" for step in (0, *spec.horizons)] + [f"sunshine_{step}" for step in spec.horizons] + ["season"]


def _sun(rows: _Rows) -> NDArray[Any]:
    """Height of the sun at origin and targets, its sum between them, and its noon: what a day of the year means.

    A date that was never trained on has a sun that was; a sine of the day of the year has not.
    """
    times, place = _ahead(rows), rows.place
    if place.latitude is None or place.longitude is None:
        return np.full((len(times), len(_sun_names(rows.spec))), np.nan)
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
    return np.broadcast_to(code, (len(rows.at), len(code)))


_BLOCKS: tuple[Block, ...] = (
    (_lag_names, _lags),
    (_age_names, _ages),
    (_change_names, _changes),
    (_span_names, _span_stats),
    (_clock_names, _clock),
    (_sun_names, _sun),
    (_station_names, _station),
)


def feature_names(spec: WindowSpec) -> list[str]:
    """The F names of `features`' columns, in order."""
    return [name for names, _ in _BLOCKS for name in names(spec)]


def features(spec: WindowSpec, grid: Grid, origins: Ints) -> Floats:
    """Feature rows (n, F) float32 at the grid rows `origins` (n,); NaN for what is missing. Cost is linear in n."""
    pad = spec.look_back - 1
    rows = _Rows(
        spec=spec,
        place=spec.place(grid.station),
        values=_pick(spec, grid.columns, grid.values, pad),
        age=_pick(spec, grid.columns, grid.age, pad),
        at=np.asarray(origins, dtype=np.int64) + pad,
        time=grid.time[origins],
    )
    return np.hstack([np.asarray(block(rows), dtype=np.float32) for _, block in _BLOCKS])


def _pick(spec: WindowSpec, columns: tuple[str, ...], table: Floats, pad: int) -> Floats:
    """The spec's columns with `pad` missing rows in front; a column that the grid has not is missing throughout."""
    picked = np.full((len(table) + pad, len(spec.inputs)), np.nan, dtype=np.float32)
    for index, name in enumerate(spec.inputs):
        if name in columns:
            picked[pad:, index] = table[:, columns.index(name)]
    return picked


def _ahead(rows: _Rows) -> Times:
    """(n, 1 + H): times of the origin and of each target."""
    steps = np.array([0, *rows.spec.horizons]) * np.timedelta64(rows.spec.cadence, "s")
    return rows.time[:, None] + steps


def targets(spec: WindowSpec, grid: Grid, origins: Ints) -> Floats:
    """Measured target values (n, H) at origin + horizon; NaN where it was not measured or the grid ends."""
    column = grid.columns.index(spec.target)
    pad = np.full(spec.horizons[-1], np.nan, dtype=np.float32)
    measured = np.where(grid.age[:, column] == 0, grid.values[:, column], np.float32(np.nan))
    return np.concatenate([measured, pad])[np.asarray(origins)[:, None] + np.array(spec.horizons)]


def valid_origins(spec: WindowSpec, grid: Grid) -> Ints:
    """Rows that may be forecast from: no gap beyond the policy in the target's newest `steps` steps."""
    if len(grid.time) < spec.steps:
        return np.empty(0, dtype=np.int64)
    missing = np.isnan(grid.values[:, grid.columns.index(spec.target)])
    return np.flatnonzero(~sliding_window_view(missing, spec.steps).any(axis=1)) + spec.steps - 1


def sequence_grid(spec: WindowSpec, sequence: NDArray[Any], time: np.datetime64 | None = None) -> Grid:
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
    age = np.where(np.isnan(values), np.float32(np.nan), np.float32(0))
    steps = np.arange(1 - spec.look_back, 1) * np.timedelta64(spec.cadence, "s")
    moment = np.datetime64("NaT", "s") if time is None else np.datetime64(time, "s")
    return Grid("", moment + steps, spec.columns, values, age)


def sequence_names(spec: WindowSpec) -> list[str]:
    """The features that a sequence request can fill: those of `columns` and of the clock and sun."""
    return feature_names(msgspec.structs.replace(spec, covariates=(), places=()))


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
