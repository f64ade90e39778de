"""Issues forecasts: levels and intervals for every station from a release and the newest rows of its feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from aerocast.features.features import feature_names, features, together
from aerocast.features.grid import Floats, Grid, Times
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


def forecast_newest(release: Release, grids: Mapping[str, Grid]) -> ForecastBatch:
    """Forecasts from each station's newest step; a station with a gap there beyond the policy has none."""
    spec, graph = release.manifest.window, release.manifest.graphs.station
    ready = [g for g in grids.values() if len(g.time) and len(g.time) - 1 in valid_origins(spec, g)]
    horizons = np.array(spec.horizons) * np.timedelta64(spec.cadence, "s")
    if not ready:
        empty = np.empty((0, len(horizons)), dtype=np.float32)
        return ForecastBatch(release, (), empty.astype("datetime64[s]"), empty, empty, empty)
    names = feature_names(spec)
    others = together(spec, grids.values())
    rows = [features(spec, grid, np.array([len(grid.time) - 1]), others) for grid in ready]
    x = np.concatenate(rows)
    values = forecast(release.files[graph.file], x, names, graph.features)
    lower, upper = graph.intervals.apply(values, x, names)
    origins: Times = np.array([grid.time[-1] for grid in ready], dtype="datetime64[s]")
    times: Times = np.add(origins[:, None], horizons)
    return ForecastBatch(release, tuple(ready), times, values, lower, upper)
