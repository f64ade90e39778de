"""Synthetic hourly series with a daily cycle, drift and gaps, and their features; all seeded."""

import numpy as np

from aerocast.features.dataset import Dataset, Rows
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Grid, Place, WindowSpec
from aerocast.features.windows import targets, valid_origins

START = np.datetime64("2024-01-01T00:00:00", "s")
HOUR = np.timedelta64(3600, "s")
SPEC = WindowSpec(
    target="temperature",
    columns=("temperature", "windspeed", "pressure"),
    labels=("temp", "wind", "pressure"),
    covariates=("humidity",),
    steps=5,
    look_back=48,
    season=24,
    cadence=3600,
    horizons=(1, 6, 24),
    places=(
        Place("AAA", "America/New_York", 40.6, -73.8),
        Place("BBB", "America/New_York", 40.8, -73.9),
    ),
    seasons=(24,),
    profile=2,
)


def grid(station: str = "AAA", hours: int = 600, seed: int = 0, gaps: float = 0.05) -> Grid:
    """A grid after the gap policy: temperature has a daily cycle and drift; a share `gaps` of readings is missing."""
    made = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * (np.arange(hours) - 9) / 24)
    temperature = 55 + 8 * day + np.cumsum(made.normal(0, 0.6, hours)) * 0.5 + made.normal(0, 0.3, hours)
    wind = np.abs(8 + made.normal(0, 3, hours))
    pressure = 1015 + np.cumsum(made.normal(0, 0.4, hours))
    measured = np.stack([temperature, wind, pressure, 60 - 15 * day], axis=1)
    measured[made.random(measured.shape) < gaps] = np.nan
    if gaps:
        measured[hours // 3 : hours // 3 + 10] = np.nan  # longer than the policy fills
    row = np.arange(hours)[:, None]
    seen = np.maximum.accumulate(np.where(np.isnan(measured), -1, row), axis=0)
    age = np.where((seen < 0) | (row - seen > 6), np.nan, row - seen)
    values = np.where(np.isnan(age), np.nan, np.take_along_axis(measured, np.maximum(seen, 0), axis=0))
    columns = (*SPEC.columns, *SPEC.covariates)
    return Grid(station, START + row[:, 0] * HOUR, columns, values.astype(np.float32), age.astype(np.float32))


def rows(hours: int = 900, seed: int = 0) -> Rows:
    """Feature rows and outcomes of two stations."""
    grids = [grid("AAA", hours, seed), grid("BBB", hours, seed + 100)]
    x = [features(SPEC, each, valid_origins(SPEC, each), grids) for each in grids]
    y = [targets(SPEC, each, valid_origins(SPEC, each)) for each in grids]
    return Rows(np.concatenate(x), np.concatenate(y))


def training(seed: int = 0) -> Dataset:
    return Dataset(SPEC, tuple(feature_names(SPEC)), rows(seed=seed), rows(400, seed + 1))
