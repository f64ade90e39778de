"""Synthetic climates, a linear model that learned one of them, and its errors on others; all seeded."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.manifest import FeedSnapshot, Graph, Graphs, Lineage, Manifest, Metrics, Scores
from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.errors import Outcomes

Reals = NDArray[np.float64]
START = np.datetime64("2022-01-01T00:00:00", "s")
HOUR = np.timedelta64(3600, "s")
HORIZONS = (1, 6, 24)
YEAR = 365 * 24
STATION = "HERE"


def feed(columns: dict[str, str] | None = None, **more: Any) -> Feed:
    """An hourly feed; `columns` name -> unit, the first is the target."""
    columns = columns or {"temperature": "degF"}
    target = next(iter(columns))
    return Feed.parse(
        {
            "name": "made",
            "description": "made",
            "source": {"path": "memory", "station_field": "station", "time_field": "time"},
            "cadence": "PT1H",
            "seasons": ["P1D"],
            "start": "2000-01-01T00:00:00Z",
            "freshness": "PT6H",
            "stations": [{"id": STATION}],
            "columns": [
                {"name": name, "field": name, "source_unit": unit, "unit": unit, "range": [-1e6, 1e6]}
                for name, unit in columns.items()
            ],
            "targets": [target],
            "window": {"steps": 5, "columns": list(columns), "look_back": 48},
            "horizons": list(HORIZONS),
            "gap_policy": {"max_steps": 6},
            "candidates": {"linear": {}, "persistence": {}, "seasonal_naive": {}},
            **more,
        }
    )


def times(size: int, start: np.datetime64 = START, step: np.timedelta64 = HOUR) -> NDArray[np.datetime64]:
    return start + np.arange(size) * step


def grid(columns: dict[str, Reals], start: np.datetime64 = START, step: np.timedelta64 = HOUR) -> Grid:
    """A grid whose numbers are measured and whose NaN are missing."""
    values = np.column_stack(list(columns.values())).astype(np.float32)
    age = np.where(np.isnan(values), np.nan, 0).astype(np.float32)
    return Grid(STATION, times(len(values), start, step), tuple(columns), values, age)


def wander(rng: np.random.Generator, size: int, hours: float, spread: float) -> Reals:
    """A stationary autoregression of this memory and standard deviation."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / hours)
    made: Reals = lfilter([1.0], [1.0, -keep], rng.normal(0, spread * np.sqrt(1 - keep**2), size))
    return made


def cycle(size: int, swing: float = 8.0, late: float = 0.0) -> Reals:
    """A daily cycle, warmest at 15 h or `late` hours later."""
    hour = np.arange(size) % 24
    return swing * np.cos(2 * np.pi * (hour - 15 - late) / 24)


def climate(seed: int, size: int = 2 * YEAR, rough: float = 1.0) -> Reals:
    """Hourly temperatures in degF with a yearly cycle, a daily cycle and weather that `rough` scales."""
    rng = np.random.default_rng(seed)
    year = 55 - 18 * np.cos(2 * np.pi * (np.arange(size) / 24 - 20) / 365)
    weather = wander(rng, size, 60, 6 * rough) + wander(rng, size, 4, 1.0 * rough) + rng.normal(0, 0.3 * rough, size)
    return np.round(year + cycle(size) + weather, 1)


def features_at(values: Reals, origin: NDArray[np.int64]) -> Reals:
    """Features of the model: differences of the newest values and of the mean of the last day, and the hour."""
    newest = values[origin]
    padded = np.concatenate([[0.0], np.cumsum(values)])
    day = (padded[origin + 1] - padded[origin - 23]) / 24
    angle = 2 * np.pi * (origin % 24) / 24
    lags = [values[origin - back] - newest for back in (1, 2, 3, 4, 6, 12, 23, 24)]
    waves = [wave(times_ * angle) for times_ in (1, 2) for wave in (np.sin, np.cos)]
    return np.column_stack([*lags, day - newest, *waves, np.ones(len(origin))])


@cache
def weights(horizon: int) -> Reals:
    """Least-squares weights of the change over `horizon` steps, learned from two years of another climate."""
    values = climate(98)
    origin = np.arange(24, len(values) - horizon)
    found, *_ = np.linalg.lstsq(features_at(values, origin), values[origin + horizon] - values[origin], rcond=None)
    return found


def outcomes(values: Reals, half: dict[int, float], start: np.datetime64 = START, level: float = 0.9) -> Outcomes:
    """Outcomes of a linear model that learned the daily cycle of the climate and follows any level."""
    parts = []
    for horizon in HORIZONS:
        due = np.arange(24 + horizon, len(values))
        change = values[due] - values[due - horizon]
        error = change - features_at(values, due - horizon) @ weights(horizon)
        parts.append((due, np.full(len(due), horizon), error, np.full(len(due), half[horizon]), change))
    due, horizon, error, width, change = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((horizon, due))
    known = order[np.isfinite(error[order])]
    return Outcomes(
        times(len(values), start)[due[known]],
        horizon[known],
        error[known],
        -width[known],
        width[known],
        change[known],
        level,
    )


def test_scores(values: Reals) -> tuple[dict[int, float], dict[int, Scores]]:
    """Half widths of the intervals and test scores of that model on an unchanged series."""
    known = outcomes(values, dict.fromkeys(HORIZONS, 1.0))
    width, scores = NormalDist().inv_cdf(0.95), {}
    half = {}
    for horizon in HORIZONS:
        own = known.horizon == horizon
        rmse, easy = (float(np.sqrt(np.mean(each[own] ** 2))) for each in (known.error, known.baseline))
        half[horizon] = width * rmse
        scores[horizon] = Scores(int(own.sum()), rmse, rmse, rmse**2, 1.0, 1 - rmse / easy, 0.9)
    return half, scores


def manifest(made: Feed, scores: dict[int, Scores]) -> Manifest:
    moment = datetime(2023, 1, 1, tzinfo=UTC)
    return Manifest(
        feed=FeedSnapshot.of(made),
        target=made.targets[0],
        unit=made.columns[0].unit,
        kind="linear",
        horizons=HORIZONS,
        window=WindowSpec.of(made, made.targets[0]),
        graphs=Graphs(Graph("model.onnx", (), None)),
        metrics=Metrics(scores[HORIZONS[0]], scores),
        lineage=Lineage("", "", "", {}, moment, moment, "", moment, ""),
    )


def with_change(values: Reals, onset: int, change: Callable[[Reals], Reals]) -> Reals:
    """The series with the values from `onset` on changed."""
    made = values.copy()
    made[onset:] = change(values)[onset:]
    return made


def heatwave(values: Reals, onset: int) -> Reals:
    """A ramp of two days to hotter, wider and later days."""
    ramp = np.clip((np.arange(len(values)) - onset) / 48, 0, 1)
    hot = values - cycle(len(values)) + 14 + cycle(len(values), 18, late=3)
    return (1 - ramp) * values + ramp * hot
