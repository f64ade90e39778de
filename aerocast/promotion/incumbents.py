"""Forecasts today's rows with an incumbent that was trained by another declaration.

A release knows the window, the columns and the stations of its own day. Its features are made from today's silver by
its own window, so it is judged on whatever it and the candidates both forecast.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import levels_of
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.models.candidates import Candidate, Newest
from aerocast.models.inference import forecast
from aerocast.releases.release import Release
from aerocast.tables.training import Samples

# Today's silver around the months of some origins, by station, as a window of this reach reads it.
Series = Callable[[WindowSpec, Sequence[str]], Mapping[str, Grid]]


def levels(incumbent: Release, spec: WindowSpec, test: Samples, series: Series) -> Floats:
    """(n, H) forecasts of a release that is not `outdated`, for the rows `test` and the horizons of `spec`.

    NaN where it forecasts nothing: a station or a horizon of which it does not know.

    Raises:
        AeroCastError: it cannot forecast any of these rows, with the reason.
    """
    manifest, graph = incumbent.manifest, incumbent.manifest.graphs.for_trial
    if manifest.window == spec:
        return forecast(incumbent.files[graph.file], test.rows.x, test.names, graph.features)
    own = _own_rows(manifest.window, test, series)
    mask = np.isfinite(own).any(axis=1)
    if not mask.any():
        raise AeroCastError("none of the rows is of a station that it knows")
    forecasts = np.full((len(test.time), len(manifest.horizons)), np.nan, dtype=np.float32)
    forecasts[mask] = forecast(incumbent.files[graph.file], own[mask], feature_names(manifest.window), graph.features)
    column_of = {horizon: at for at, horizon in enumerate(manifest.horizons)}
    empty = np.full(len(forecasts), np.nan, dtype=np.float32)
    return np.stack([forecasts[:, column_of[each]] if each in column_of else empty for each in spec.horizons], axis=1)


def as_candidate(incumbent: Release, spec: WindowSpec, level: float, quantiles: Sequence[float]) -> Candidate | None:
    """The incumbent as a candidate, whose forecasts may be columns of a new release; None if they may not.

    It must be of the same window (stations, columns and calendars among it) and its intervals of the same `level`
    and `quantiles`.
    """
    manifest, graph, lineage = incumbent.manifest, incumbent.manifest.graphs.for_trial, incumbent.manifest.lineage
    serving = manifest.graphs.station
    own = graph.intervals.level, graph.intervals.levels
    if manifest.window != spec or own != (level, levels_of(level, quantiles)):
        return None
    return Candidate(
        feed=manifest.feed.name,
        target=manifest.target,
        kind=manifest.kind,
        graph=incumbent.files[graph.file],
        features=graph.features,
        intervals=graph.intervals,
        start=lineage.training_start,
        end=lineage.end_before_trial,
        rows=0,
        seconds=0.0,
        validation=lineage.validation,
        config_hash=lineage.config_hash,
        data_version=lineage.data_version,
        delta_versions=lineage.delta_versions,
        code_version=lineage.code_version,
        since=lineage.since,
        read=lineage.rows,
        parameters=lineage.parameters,
        newest=Newest(incumbent.files[serving.file], serving.intervals, lineage.training_end, 0),
    )


def _own_rows(window: WindowSpec, test: Samples, series: Series) -> Floats:
    """(n, F) features of the rows by the release's window; NaN where its stations or silver have nothing."""
    months = sorted({str(month) for month in test.time.astype("datetime64[M]")})
    grids = list(series(window, months).values())
    rows = np.full((len(test.time), len(feature_names(window))), np.nan, dtype=np.float32)
    stations = {place.id for place in window.places}
    for grid in grids:
        mine = np.flatnonzero(test.station == grid.station)
        at = np.searchsorted(grid.time, test.time[mine])
        match = (at < len(grid.time)) & (grid.time[np.minimum(at, len(grid.time) - 1)] == test.time[mine])
        if grid.station in stations and match.any():
            rows[mine[match]] = features(window, grid, at[match], grids)
    return rows
