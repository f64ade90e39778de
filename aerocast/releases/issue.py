"""Issues forecasts: levels and intervals for every station from a release and the newest rows of its feed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.cold_start import history, is_new
from aerocast.contracts.intervals import Intervals
from aerocast.features import ahead
from aerocast.features.features import feature_names, features, together
from aerocast.features.grid import Floats, Grid, Place, Times, WindowSpec
from aerocast.features.outages import age_and_extent, bridged
from aerocast.features.windows import valid_origins
from aerocast.models.inference import forecast
from aerocast.releases.release import Release

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ForecastBatch:
    """Forecasts of S stations at H horizons: `times`, `values`, `lower`, `upper` are (S, H), in the target's unit."""

    release: Release
    grids: tuple[Grid, ...]
    times: Times
    values: Floats
    lower: Floats
    upper: Floats

    @property
    def stations(self) -> tuple[str, ...]:
        return tuple(grid.station for grid in self.grids)

    def origins(self) -> dict[str, str]:
        """Each station's newest step."""
        return {grid.station: str(grid.time[-1]) for grid in self.grids}

    def rows(self, issued_at: datetime) -> "pa.Table":
        """One row a station and horizon."""
        import pyarrow as pa

        manifest = self.release.manifest
        stamp = pa.timestamp("us", "UTC")
        count = len(manifest.horizons)
        origin = np.repeat(np.array([grid.time[-1] for grid in self.grids], dtype="datetime64[us]"), count)
        return pa.table(
            {
                "station": pa.array(np.repeat(self.stations, count).tolist(), pa.string()),
                "horizon": pa.array(list(manifest.horizons) * len(self.grids), pa.int32()),
                "origin": pa.array(origin).cast(stamp),
                "time": pa.array(self.times.astype("datetime64[us]").ravel()).cast(stamp),
                "value": pa.array(self.values.ravel(), pa.float64()),
                "lower": pa.array(self.lower.ravel(), pa.float64()),
                "upper": pa.array(self.upper.ravel(), pa.float64()),
                "level": pa.array([manifest.graphs.station.intervals.level] * origin.size, pa.float64()),
                "version": pa.array([self.release.version] * origin.size, pa.string()),
                "issued_at": pa.array([issued_at] * origin.size, stamp),
            }
        )


def forecast_newest(
    release: Release,
    grids: Mapping[str, Grid],
    places: Iterable[Place] = (),
    adaptations: Mapping[str, Adaptation] | None = None,
) -> ForecastBatch:
    """Forecasts from each station's newest step; one that is silent for longer than can be bridged has none.

    A station that the release has not learned needs no more than its newest value, and its intervals are wider;
    it is one of `places`, or else lies at the centre of those that the release knows. `adaptations` of this release, by
    station, are applied to its intervals.
    """
    spec, graph = release.manifest.window, release.manifest.graphs.station
    learned = graph.intervals.cold_start
    new = {grid.station for grid in grids.values() if is_new(spec, learned, grid.station)}
    place_by_id = {place.id: place for place in places if place.id in new}
    ready = [
        replace(own, place=place_by_id.get(own.station))
        for own in (_ready(spec, grid, graph.intervals, is_new=grid.station in new) for grid in grids.values())
        if own is not None
    ]
    horizons = np.array(spec.horizons) * np.timedelta64(spec.cadence, "s")
    if not ready:
        empty = np.empty((0, len(horizons)), dtype=np.float32)
        return ForecastBatch(release, (), empty.astype("datetime64[s]"), empty, empty, empty)
    names = feature_names(spec)
    others = together(spec, grids.values())
    rows = [features(spec, grid, np.array([len(grid.time) - 1]), others) for grid in ready]
    x = np.concatenate(rows)
    values = forecast(release.files[graph.file], x, names, graph.features)
    wider = np.ones((len(ready), len(horizons)), dtype=np.float32)
    for at, grid in enumerate(ready):
        if learned and grid.station in new:
            wider[at] = learned.factors(history(spec, grid, len(grid.time) - 1))
    if graph.intervals.outages:
        silent = graph.intervals.outages.wider(*age_and_extent(spec, names, x))
        wider *= np.where(np.array([grid.station in new for grid in ready])[:, None], np.float32(1), silent)
    if graph.intervals.late:
        ahead_values = x[:, [names.index(name) for name in ahead.value_names(spec)]]
        wider[np.isnan(ahead_values).any(axis=1)] *= np.array(graph.intervals.late, dtype=np.float32)
    distances = graph.intervals.distances(values, x, names)
    for at, grid in enumerate(ready):
        adaptation = (adaptations or {}).get(grid.station)
        if adaptation and adaptation.version == release.version:
            distances[at] = adaptation.apply(distances[at : at + 1])[0]
    lower, upper = graph.intervals.around(values, distances, wider)
    origins: Times = np.array([grid.time[-1] for grid in ready], dtype="datetime64[s]")
    times: Times = np.add(origins[:, None], horizons)
    return ForecastBatch(release, tuple(ready), times, values, lower, upper)


def _ready(spec: WindowSpec, grid: Grid, intervals: Intervals, *, is_new: bool) -> Grid | None:
    """The grid, if its newest row may be forecast from, or what bridges a silence there; None for neither."""
    if len(grid.time) and len(grid.time) - 1 in valid_origins(spec, grid, 1 if is_new else None):
        return grid
    return bridged(spec, grid) if intervals.outages and not is_new else None
