"""Looks at what serves again, on the newest steps of silver: it forecasts them, and their outcomes are known.

Two things come of it. What serves was fitted on the rows that judged as well, so no trial has seen it: what was judged
is compared with it on rows that neither has seen. And intervals adapt to the outcomes of each station (`adapting`).
Every step is forecast, whether anybody asked for it or not, so the same tables give the same result.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from aerocast.common.times import to_numpy
from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.drift_state import DriftState, Shadow
from aerocast.contracts.intervals import bounds_of
from aerocast.contracts.manifest import Manifest
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Floats, Grid, Ints
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader
from aerocast.models.inference import forecast
from aerocast.monitoring.evaluation.adapting import adapt
from aerocast.monitoring.evaluation.shadow import compare
from aerocast.releases import release
from aerocast.releases.compatibility import incompatibilities
from aerocast.releases.release import Release
from aerocast.storage.home import Home
from aerocast.tables import silver

NEWEST = 1000  # steps of a station that are forecast again
MONTHS = 3  # newest months in which they are looked for
EVERY = 6 * 3600  # seconds of the feed's time between two looks


class Look(NamedTuple):
    """What the newest outcomes say of one target's release; no `shadow` where it serves what was judged."""

    shadow: Shadow | None
    adaptations: dict[str, Adaptation]


def look(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed, now: datetime, before: DriftState | None
) -> dict[str, Look]:
    """By target, a few times a day of the feed (`now`); in between what `before` says of the same release."""
    looks = {target: _look(con, lake, home, feed, target, now, before) for target in feed.targets}
    return {target: each for target, each in looks.items() if each}


def _look(
    con: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    home: Home,
    feed: Feed,
    target: str,
    now: datetime,
    before: DriftState | None,
) -> Look | None:
    pointer = release.current(home, feed.name, target)
    if pointer is None:
        return None
    if before and _slot(before.judged_at) == _slot(now) and (again := _repeated(before, target, pointer.version)):
        return again
    serves = release.serving_release(home, feed.name, target).release
    if serves is None or incompatibilities(serves.manifest, feed):
        return None
    name = f"{feed.name}/silver"
    rows = lake.relation(con, name, lake.months(name)[-MONTHS:])
    grids = silver.grids(con, feed, rows, last=NEWEST + serves.manifest.window.look_back)
    stations = list(_again(serves, grids))
    adaptations = {each.station: each.adaptation(serves.manifest) for each in stations}
    if serves.manifest.graphs.trial is None:
        return Look(None, adaptations)
    shadow = Shadow(target, serves.version, serves.version, *_compare(serves.manifest, stations), as_judged=True)
    return Look(shadow, adaptations)


def _slot(moment: datetime) -> int:
    return int(moment.timestamp()) // EVERY


def _repeated(before: DriftState, target: str, version: str) -> Look | None:
    """What was seen of this release before; None if it was not looked at."""
    own = before.adaptations.get(target)
    if own is None or any(each.version != version for each in own.values()):
        return None
    shadows = [each for each in before.shadows if each.as_judged and (each.target, each.champion) == (target, version)]
    return Look(shadows[0] if shadows else None, own)


@dataclass(frozen=True)
class _Station:
    """The newest steps of one station: outcomes, forecasts of what serves and of what was judged, persistence (n, H).

    `distances` (n, H, 2) are those of the interval's ends.
    """

    station: str
    step: Ints
    actual: Floats
    serving: Floats
    trial: Floats
    persistence: Floats
    distances: Floats

    def adaptation(self, manifest: Manifest) -> Adaptation:
        errors, ends = (self.actual - self.serving).astype(np.float64), self.distances.astype(np.float64)
        level, cadence = manifest.graphs.station.intervals.level, manifest.window.cadence
        return adapt(
            manifest.version, cadence, level, manifest.horizons, self.step, errors, ends[:, :, 0], ends[:, :, 1]
        )


def _again(serves: Release, grids: Mapping[str, Grid]) -> Iterator[_Station]:
    """Forecasts each station's newest steps, those after all that was learned."""
    manifest, graphs = serves.manifest, serves.manifest.graphs
    spec, names = manifest.window, feature_names(manifest.window)
    ends = [graphs.station.intervals.levels.index(each) for each in bounds_of(graphs.station.intervals.level)]
    known_stations = {place.id for place in spec.places}
    for grid in grids.values():
        origins = _origins(manifest, grid) if grid.station in known_stations else np.empty(0, dtype=np.int64)
        if not len(origins):
            continue
        x = features(spec, grid, origins, list(grids.values()))
        serving, trial = (
            forecast(serves.files[graph.file], x, names, graph.features) for graph in (graphs.station, graphs.for_trial)
        )
        distances = graphs.station.intervals.distances(serving, x, names)[:, :, ends]
        newest = np.repeat(x[:, [names.index(f"{spec.target}_lag0")]], serving.shape[1], axis=1)
        step = grid.time[origins].astype(np.int64) // spec.cadence
        yield _Station(grid.station, step, targets(spec, grid, origins), serving, trial, newest, distances)


def _origins(manifest: Manifest, grid: Grid) -> NDArray[np.int64]:
    """The steps of a station that lie after every outcome that was learned."""
    spec = manifest.window
    learned = to_numpy(manifest.lineage.training_end) + spec.horizons[-1] * np.timedelta64(spec.cadence, "s")
    origins: NDArray[np.int64] = valid_origins(spec, grid)
    return origins[grid.time[origins] > learned][-NEWEST:]


def _compare(manifest: Manifest, stations: list[_Station]) -> tuple[int, float, float | None]:
    """As `shadow.compare`, of what serves beside what was judged."""
    if not stations:
        return 0, 0.0, None
    actual, step = np.concatenate([each.actual for each in stations]), np.concatenate([each.step for each in stations])
    names = ("serving", "trial", "persistence")
    levels = (np.concatenate([getattr(each, name) for each in stations]) for name in names)
    errors = np.stack([actual - each for each in levels], axis=2).astype(np.float64)
    row, at = np.nonzero(np.isfinite(errors).all(axis=2))
    return compare(step[row], np.array(manifest.horizons)[at], errors[row, at])
