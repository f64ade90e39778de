"""Peers for accuracy, fitted in the same run on the same split: what a careful person writes in an afternoon.

`ridge` is the reference's own protocol: for each station a closed-form ridge (lambda 1, standardised) on the last 24
values, the weather at the origin and sines of the hour at origin and target. `boosted` is a plain XGBoost, one for all
stations, on the last 24 values of the target, or of every column, and the same clock; it predicts the change from the
last value. All learn from every row before the test span whose outcome is known there: they need no rows for stopping
or calibration. `trees` is the XGBoost of the table over all series: 48 lags, the day's and the week's, and a calendar.
"""

import time
from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.features.local_time import local_hours
from aerocast.tables.training import Samples
from measuring.peer_job import LEVEL, TAIL, Answer, Direct, Job, Predict, direct, gather, lagged

LAGS, MORE_LAGS = 24, 48
PENALTY = 1.0
TREES = {"n_estimators": 300, "learning_rate": 0.05, "max_depth": 6, "n_jobs": 1, "random_state": 0}


def lags(spec: WindowSpec, grids: Mapping[str, Grid], samples: Samples, count: int = LAGS) -> Floats:
    """The last values of every input at the samples' origins: (n, C, count), the target first, the newest first."""
    names = [spec.target, *(name for name in spec.inputs if name != spec.target)]
    table = np.full((len(samples.time), len(names), count), np.nan, dtype=np.float32)
    for station, grid in grids.items():
        own = samples.station == station
        at = ((samples.time[own] - grid.time[0]) // np.timedelta64(spec.cadence, "s")).astype(np.int64)
        before = np.full((count - 1, len(names)), np.nan, dtype=np.float32)
        series = np.concatenate([before, grid.values[:, [grid.columns.index(name) for name in names]]])
        table[own] = sliding_window_view(series, count, axis=0)[at, :, ::-1]
    return table


def clock(spec: WindowSpec, samples: Samples) -> Floats:
    """Sines and cosines of the local hour at origin and targets: (n, 2 + 2H)."""
    waves = np.zeros((len(samples.time), 2 * (1 + len(spec.horizons))), dtype=np.float32)
    for place in spec.places:
        own = samples.station == place.id
        for at, ahead in enumerate((0, *spec.horizons)):
            moment = samples.time[own] + np.timedelta64(ahead * spec.cadence, "s")
            angle = 2 * np.pi * local_hours(moment, place.timezone) / 24
            waves[own, 2 * at], waves[own, 2 * at + 1] = np.sin(angle), np.cos(angle)
    return waves


def ridge(x: Floats, y: Floats, station: NDArray[np.str_], learned: NDArray[np.bool_]) -> Floats:
    """Forecasts (n, H) for all rows, each station by the closed form on its own `learned` rows."""
    levels = np.full(y.shape, np.nan, dtype=np.float32)
    for name in np.unique(station):
        own = station == name
        for at in range(y.shape[1]):
            fitted = own & learned & np.isfinite(y[:, at])
            mean, scale = np.nanmean(x[fitted], axis=0), np.maximum(np.nanstd(x[fitted], axis=0), 1e-9)
            standard = np.nan_to_num((x - mean) / scale).astype(np.float64)
            level = y[fitted, at].mean(dtype=np.float64)
            gram = standard[fitted].T @ standard[fitted] + PENALTY * np.eye(x.shape[1])
            weights = np.linalg.solve(gram, standard[fitted].T @ (y[fitted, at] - level))
            levels[own, at] = standard[own] @ weights + level
    return levels


def boosted(x: Floats, y: Floats, learned: NDArray[np.bool_]) -> Floats:
    """Forecasts (n, H) for all rows by one boosted model a horizon; column 0 of `x` is the last value."""
    from xgboost import XGBRegressor

    levels = np.empty(y.shape, dtype=np.float32)
    for at in range(y.shape[1]):
        fitted = learned & np.isfinite(y[:, at])
        model = XGBRegressor(**TREES).fit(x[fitted], (y[:, at] - x[:, 0])[fitted])
        levels[:, at] = x[:, 0] + model.predict(x)
    return levels


def ridge_floor(x: Floats, y: Floats, learned: NDArray[np.bool_], rows: NDArray[np.bool_]) -> Answer:
    """The reference's ridge of one station on x (n, F), with intervals as wide as its errors on the newest rows."""
    began, station = time.perf_counter(), np.zeros(len(y), dtype="<U1")
    levels = ridge(x, y, station, learned)[rows]
    seconds = time.perf_counter() - began
    cut = np.flatnonzero(learned)[int((1 - TAIL) * learned.sum())]
    tail = learned & (np.arange(len(y)) >= cut)
    errors = np.abs(ridge(x, y, station, learned & ~tail) - y)[tail]
    half = np.nanquantile(errors, LEVEL, axis=0)
    return Answer(levels, levels - half, levels + half, seconds, 0.0)


def seasonal(job: Job, season: int) -> Answer:
    """The value so many steps before the target's time; where that is missing the last value stands in."""
    began, target, parts = time.perf_counter(), job.values[:, 0], []
    for horizon in job.horizons.tolist():
        before = lagged(target, season - horizon)
        levels = np.where(np.isnan(before), target, before)
        errors = np.abs(levels - job.outcome(horizon))[job.learned]
        half = float(np.nanquantile(errors[int((1 - TAIL) * len(errors)) :], LEVEL))
        parts.append(Direct(levels[job.test], half, 0.0, time.perf_counter() - began))
    return gather(parts)


def trees(job: Job) -> Answer:
    """A plain XGBoost a horizon on the last 48 values, a day's and a week's lag, other columns and the calendar."""
    target = job.values[:, 0].astype(np.float64)
    newest = np.stack([lagged(target, lag) for lag in range(MORE_LAGS)], axis=1)
    parts = []
    for horizon in job.horizons.tolist():
        seasonal = np.stack([lagged(target, season - horizon) for season in job.seasons], axis=1)
        x = np.hstack([newest, seasonal, job.values[:, 1:], job.calendar(horizon)]).astype(np.float32)
        parts.append(direct([_boost], x, job.outcome(horizon), target, job.learned, job.test, horizon))
    return gather(parts)


def _boost(x: Floats, y: Floats) -> Predict:
    from xgboost import XGBRegressor

    model = XGBRegressor(**TREES).fit(x, y)
    return lambda rows: model.predict(rows)
