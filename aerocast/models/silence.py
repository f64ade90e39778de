"""Makes rows of the training table again as if the target, or the whole station, had been silent before them.

By the same functions that silver fills and the server bridges a silence with; for each class of age, from silences at
random times, a look-back from one to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aerocast.features import ahead
from aerocast.features.dataset import Rows
from aerocast.features.features import Together, features, select, together
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec
from aerocast.features.lags import near_lags, others_lags
from aerocast.features.outages import age_classes, by_season, silenced, with_column
from aerocast.features.windows import valid_origins
from aerocast.feed.declaration import Feed
from aerocast.tables.training import Samples

MOST, PASSES = 6_000, 32  # rows of a class, and times that stations are silenced for them
PART = 8  # of a class's rows, at most one in so many comes from one time: other silences tell more than longer ones
STATIONS = 12  # of a feed, at most


@dataclass(frozen=True)
class Silence:
    """Rows whose target is silent for `oldest` steps at most, and the rows they were made from, `index` (m,)."""

    oldest: int
    index: Ints
    samples: Samples

    def take(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows that were made from those of a mask (n,)."""
        return self.samples.rows.take(mask[self.index])


def silences(feed: Feed, spec: WindowSpec, samples: Samples) -> list[Silence]:
    """The rows of each class of age; the same samples give the same rows."""
    chance, (names, own) = np.random.default_rng(0), np.unique(samples.station, return_inverse=True)
    parts = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own))[:-1])
    stations = {name: _Station.of(spec, samples, part) for name, part in zip(names.tolist(), parts, strict=True)}
    ages = (0, *age_classes(spec.cadence, _fill(feed, spec.target)))
    return [_silence(feed, spec, samples, stations, span, chance) for span in pairwise(ages)]


def _silence(
    feed: Feed,
    spec: WindowSpec,
    samples: Samples,
    stations: Mapping[str, _Station],
    span: tuple[int, int],
    chance: np.random.Generator,
) -> Silence:
    picked = sorted(chance.permutation(list(stations))[:STATIONS].tolist())
    rows_needed, indices, parts = min(MOST, len(samples.time)), list[Ints](), list[Floats]()
    most = -(-rows_needed // (len(picked) * PART))
    for _ in range(PASSES):
        if sum(map(len, indices)) >= rows_needed:
            break
        quiet = {each: stations[each].silenced(feed, spec, span, chance) for each in picked}
        others = together(spec, [quiet[each].grid if each in quiet else own.grid for each, own in stations.items()])
        for each in quiet.values():
            index, x = each.rows(spec, samples, others, chance, most)
            indices.append(index)
            parts.append(x)
    index = np.concatenate(indices)
    rows = Rows(np.concatenate(parts), samples.rows.y[index])
    return Silence(span[1], index, Samples(samples.station[index], samples.time[index], rows, samples.names))


@dataclass(frozen=True)
class _Station:
    """A station's grid, as far as its samples say it, and the sample (T,) that starts at each row; -1 for none."""

    grid: Grid
    sample_at: Ints

    @classmethod
    def of(cls, spec: WindowSpec, samples: Samples, own: Ints) -> _Station:
        """From the station's `own` samples, in time order."""
        place = {name: at for at, name in enumerate(samples.names)}
        time, step = samples.time[own], np.timedelta64(spec.cadence, "s")
        lags = near_lags(spec)[: spec.steps]
        start = time[0] - lags[-1] * step
        rows = ((time - start) // step).astype(np.int64)
        columns = tuple(each for each in spec.inputs if f"{each}_lag0" in place)
        values, age = (np.full((rows[-1] + 1, len(columns)), np.nan, dtype=np.float32) for _ in range(2))
        for at, column in enumerate(columns):
            for lag in reversed(lags):  # the newest steps of a row tell of those without one
                value = samples.rows.x[own, place[f"{column}_lag{lag}"]]
                values[rows - lag, at] = value
                age[rows - lag, at] = np.where(np.isnan(value), value, 0)
            age[rows, at] = samples.rows.x[own, place[f"{column}_age"]]
        sample_at = np.full(len(values), -1)
        sample_at[rows] = own
        return cls(
            Grid(str(samples.station[own[0]]), start + np.arange(len(values)) * step, columns, values, age), sample_at
        )

    def silenced(self, feed: Feed, spec: WindowSpec, span: tuple[int, int], chance: np.random.Generator) -> _Quiet:
        """The station with silences as long as the end of a class of age, a look-back from one to the next."""
        rows, (low, high) = np.arange(len(self.grid.time)), span
        start, period = int(chance.integers(high + spec.look_back)), high + spec.look_back
        number = (rows - start) // period
        is_silent = (rows >= start) & ((rows - start) % period < high)
        # The target alone, the whole station, or the target at every station; without another station the rest goes on.
        extent = chance.integers(3 if len(spec.places) > 1 else 1, size=len(rows) // period + 2)[number]
        grid, fill = self.grid, _fill(feed, spec.target)
        for at, column in enumerate(grid.columns):
            silent_steps = is_silent & ((column == spec.target) | (extent == 1))
            method, most = feed.gap_of(column), feed.gap_policy.max_steps
            values, age = silenced(grid.values[:, at], grid.age[:, at], silent_steps, method, most)
            if column == spec.target and low >= fill:
                values, age = by_season(values, age, spec.season, is_silent)
            grid = with_column(grid, at, values, age)
        age = grid.age[:, grid.columns.index(spec.target)]
        is_origin = is_silent & (age > low) & (age <= high) & (self.sample_at >= 0)
        origins = np.intersect1d(np.flatnonzero(is_origin), valid_origins(spec, grid))
        return _Quiet(grid, origins, self.sample_at[origins], extent[origins] == 2)


@dataclass(frozen=True)
class _Quiet:
    """A station that is silent at its `origins`, with their samples, and whether the other stations are as well."""

    grid: Grid
    origins: Ints
    samples: Ints
    everywhere: NDArray[np.bool_]

    def rows(
        self, spec: WindowSpec, samples: Samples, others: Together, chance: np.random.Generator, most: int
    ) -> tuple[Ints, Floats]:
        """The samples of at most so many origins, and their features in the silence."""
        picked = np.sort(chance.permutation(len(self.origins))[:most])
        index, known_ahead = self.samples[picked], {*ahead.names(spec)}
        x = samples.rows.x[index]
        if len(picked):
            at = [place for place, name in enumerate(samples.names) if name not in known_ahead]
            names = [samples.names[place] for place in at]
            x[:, at] = features(spec, self.grid, self.origins[picked], others, select(spec, names))
        near = {f"near_{spec.target}_lag{lag}" for lag in others_lags(spec)}
        for place in (place for place, name in enumerate(samples.names) if name in near):
            x[self.everywhere[picked], place] = np.nan
        return index, x


def _fill(feed: Feed, column: str) -> int:
    """How many steps a column's gaps are filled for."""
    return 0 if feed.gap_of(column) == "none" else feed.gap_policy.max_steps
