"""A station that was left out wholly, with as many of its newest readings known as one says, and who forecasts it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.cold_start import stand_in
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import silent
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.trainer import train
from aerocast.promotion import assembly
from aerocast.tables import training

NEWEST = 0.8  # of the station's steps come before those that count
LONG = 2048  # steps of the other stations' past that a prior may see


@dataclass(frozen=True)
class Newcomer:
    """A station `own` under a name that nobody knows, the feed's `others`, and models that learned from them alone."""

    spec: WindowSpec
    own: Grid
    others: tuple[Grid, ...]
    candidates: dict[str, Candidate]
    origins: Ints

    @property
    def actual(self) -> Floats:
        return targets(self.spec, self.own, self.origins)

    @property
    def target(self) -> int:
        return self.own.columns.index(self.spec.target)

    @property
    def has_neighbours(self) -> bool:
        """Whether another station was measured at the same time."""
        return any(np.isin(each.time, self.own.time).any() for each in self.others)

    def rows(self, steps: int) -> Floats:
        """Feature rows of the origins as a server makes them that knows so many of the station's steps.

        NaN throughout where it knows none and no other station is measured, which a server refuses.
        """
        if steps >= self.spec.look_back:
            return features(self.spec, self.own, self.origins, self.others)
        rows = []
        for origin in self.origins:
            near = [each for each in (self._near(other, origin) for other in self.others) if len(each.time)]
            own = cut(self.own, origin, steps) if steps else stand_in(self.spec, self.own.station, near)
            if own is None:
                rows.append(np.full((1, len(feature_names(self.spec))), np.nan, dtype=np.float32))
            else:
                rows.append(features(self.spec, own, np.array([len(own.time) - 1]), near))
        return np.concatenate(rows)

    def rows_with_neighbours(self, steps: int) -> Floats:
        """As `rows`, of a window that is filled as `with_neighbours` says, in every column."""
        rows = []
        for origin in self.origins:
            near = [self._near(other, origin) for other in self.others]
            near = [each for each in near if len(each.time) == self.spec.look_back]
            own = cut(self.own, origin, self.spec.look_back)
            values = _mean(np.stack([self._columns(each) for each in near]))
            if steps:
                recent = own.values[-steps:]
                values += np.nan_to_num(_mean(recent - values[-steps:]))
                values[-steps:] = np.where(np.isnan(recent), values[-steps:], recent)
            whole = replace(own, values=values, age=np.where(np.isnan(values), np.nan, 0).astype(np.float32))
            rows.append(features(self.spec, whole, np.array([len(own.time) - 1]), near))
        return np.concatenate(rows)

    def _columns(self, grid: Grid) -> Floats:
        """A grid's values in the order of this station's columns."""
        return grid.values[:, [grid.columns.index(name) for name in self.own.columns]]

    def _near(self, other: Grid, origin: int) -> Grid:
        """What another station has measured by an origin of this one, as far as models look back."""
        at = int((self.own.time[origin] - other.time[0]) // np.timedelta64(self.spec.cadence, "s"))
        return cut(other, at, self.spec.look_back) if 0 <= at < len(other.time) else cut(other, -1, 1)

    def levels(self, kind: str, rows: Floats, *, newest: bool = False) -> Floats:
        """(n, H) of a kind's graph; `newest` is what was fitted on all of the others' rows."""
        candidate, names = self.candidates[kind], feature_names(self.spec)
        graph = candidate.serving.graph if newest else candidate.graph
        return forecast(graph, rows, names, candidate.features)

    def served(self, rows: Floats, *, newest: bool = False) -> Floats:
        """(n, H): at each horizon the kind of least error on calibration rows, as the platform chooses."""
        kinds, _ = assembly.choose([*self.candidates.values()], self.spec.horizons, ())
        own = {kind: self.levels(kind, rows, newest=newest) for kind in {*kinds.values()}}
        columns = [own[kinds[horizon]][:, at] for at, horizon in enumerate(self.spec.horizons)]
        return np.stack(columns, axis=1)

    def baselines(self, rows: Floats) -> dict[str, Floats]:
        """Persistence, and the value a season before the target where it is known, of rows with so much known."""
        names = feature_names(self.spec)
        last = rows[:, [names.index(f"{self.spec.target}_lag0")]].repeat(len(self.spec.horizons), axis=1)
        season = [names.index(f"{self.spec.target}_season{self.spec.season}_{each}") for each in self.spec.horizons]
        before = rows[:, season]
        return {"persistence": last, "seasonal naive": np.where(np.isnan(before), last, before)}

    def readings(self, steps: int) -> NDArray[np.float64]:
        """(n, steps) of the station's newest measured values at each origin, NaN where none was measured."""
        return _windows(self._measured(self.own), self.origins, steps)

    def with_neighbours(self, steps: int) -> NDArray[np.float64]:
        """(n, LONG): as `readings`, and before them the mean of the others, moved to the level of what is known."""
        offset = np.timedelta64(self.spec.cadence, "s")
        past = np.full((len(self.others), len(self.own.time)), np.nan)
        for index, other in enumerate(self.others):
            at = ((other.time - self.own.time[0]) // offset).astype(np.int64)
            inside = (at >= 0) & (at < past.shape[1])
            past[index, at[inside]] = self._measured(other)[inside]
        contexts, own = _windows(_mean(past), self.origins, LONG), self.readings(steps)
        if steps:
            contexts += np.nan_to_num(_mean((own - contexts[:, -steps:]).T))[:, None]
            contexts[:, -steps:] = np.where(np.isfinite(own), own, contexts[:, -steps:])
        return contexts

    def _measured(self, grid: Grid) -> NDArray[np.float64]:
        at = grid.columns.index(self.spec.target)
        return np.where(grid.age[:, at] == 0, grid.values[:, at], np.nan).astype(np.float64)


@dataclass(frozen=True)
class Learned:
    """Kinds that were trained on the stations of `grids` alone."""

    spec: WindowSpec
    grids: tuple[Grid, ...]
    candidates: dict[str, Candidate]

    @classmethod
    def of(cls, feed: Feed, target: str, grids: Sequence[Grid], kinds: Sequence[str]) -> "Learned":
        names = {each.station for each in grids}
        part = feed.model_copy(update={"stations": tuple(each for each in feed.stations if each.id in names)})
        spec = WindowSpec.of(part, target)
        months = {str(month) for each in grids for month in np.unique(each.time.astype("datetime64[M]"))}
        with duckdb.connect() as con:
            con.register("windows", training.table(spec, {each.station: each for each in grids}, months))
            candidates = {kind: train(part, target, kind, con.table("windows"), silent) for kind in kinds}
        return cls(spec, tuple(grids), candidates)

    def meet(self, own: Grid, stride: int) -> Newcomer:
        """Another station, which is known by no name; of its newest fifth every `stride`-th origin."""
        stranger = replace(own, station="NEW")
        origins = valid_origins(self.spec, stranger)
        origins = origins[origins > NEWEST * len(own.time)][::stride]
        return Newcomer(self.spec, stranger, self.grids, self.candidates, origins)


def cut(grid: Grid, origin: int, steps: int) -> Grid:
    """The newest `steps` rows up to `origin`."""
    rows = slice(max(0, origin + 1 - steps), origin + 1)
    return replace(grid, time=grid.time[rows], values=grid.values[rows], age=grid.age[rows])


def measured_span(grid: Grid, target: str) -> Grid:
    """The rows from the first to the last measured one."""
    at = np.flatnonzero(grid.age[:, grid.columns.index(target)] == 0)
    return cut(grid, int(at[-1]), int(at[-1] - at[0]) + 1)


def _mean(table: NDArray[Any]) -> NDArray[Any]:
    """Means over the first axis; missing values do not count, NaN where all are missing."""
    count = np.isfinite(table).sum(axis=0)
    means: NDArray[Any] = np.where(count > 0, np.nansum(table, axis=0) / np.maximum(count, 1), np.nan)
    return means.astype(table.dtype)


def _windows(series: NDArray[np.float64], origins: Ints, steps: int) -> NDArray[np.float64]:
    """(n, steps) values up to each origin; NaN before the series begins."""
    at = origins[:, None] + np.arange(1 - steps, 1)
    return np.where(at >= 0, series[np.maximum(at, 0)], np.nan)
