"""What can happen to a series: pure functions (series, generator, onset) -> what was measured, and the truth of it.

A change of the world alters what is true (`world`); a fault of the sensor only what is measured. Column 0, the target,
is hit. Temperatures are degF.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measuring.series import Series

Cause = Literal["none", "world", "sensor"]


@dataclass(frozen=True, eq=False)
class Injected:
    """`measured` is what arrives, `world` what is so; equal unless the sensor lies. It lasts from row `onset` up to,
    not including, row `end`; `kind` is the sensor's fault as the platform would name it, or empty.
    """

    measured: Series
    world: Series
    cause: Cause
    onset: int
    end: int
    kind: str = ""


Injection = Callable[[Series, np.random.Generator, int], Injected]


def _world(series: Series, target: NDArray[np.float64], onset: int) -> Injected:
    values = series.values.copy()
    values[onset:, 0] = target[onset:]
    changed = series.put(values)
    return Injected(changed, changed, "world", onset, len(series.time))


def _sensor(series: Series, target: NDArray[np.float64], onset: int, end: int, kind: str) -> Injected:
    values = series.values.copy()
    values[onset:end, 0] = target[onset:end]
    return Injected(series.put(values), series, "sensor", onset, min(end, len(series.time)), kind)


def nothing(series: Series, _rng: np.random.Generator, onset: int) -> Injected:
    """Calm, or a season that passes."""
    return Injected(series, series, "none", onset, len(series.time))


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _slow(target: NDArray[np.float64], hours: int) -> NDArray[np.float64]:
    """Centred running mean of what is known."""
    known = ~np.isnan(target)
    window = np.ones(hours)
    total = np.convolve(np.where(known, target, 0), window, "same")
    mean: NDArray[np.float64] = total / np.maximum(np.convolve(known, window, "same"), 1)
    return mean


def level_shift(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """8 to 15 degF up or down within half a day, for good."""
    ramp = np.clip((np.arange(len(series.time)) - onset) / 12, 0, 1)
    return _world(series, series.values[:, 0] + _sign(rng) * rng.uniform(8, 15) * ramp, onset)


def trend(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """0.15 to 0.4 degF a day, for good."""
    days = np.maximum(np.arange(len(series.time)) - onset, 0) / 24
    return _world(series, series.values[:, 0] + _sign(rng) * rng.uniform(0.15, 0.4) * days, onset)


def variance(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """Departures from the ten days' mean grow to 1.6 to 2.2 times."""
    slow = _slow(series.values[:, 0], 241)
    return _world(series, slow + rng.uniform(1.6, 2.2) * (series.values[:, 0] - slow), onset)


def dynamics(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """A new cycle of 5 to 10 hours and 4 to 8 degF: something is switched on and off beside the sensor."""
    steps = np.arange(len(series.time)) - onset
    cycle = rng.uniform(4, 8) * np.sin(2 * np.pi * steps / rng.uniform(5, 10))
    return _world(series, series.values[:, 0] + cycle * np.clip(steps / 24, 0, 1), onset)


def heatwave(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """A ramp of two days to 10 to 16 degF more, with days 2 to 3 times as wide and late by 3 to 5 hours."""
    ramp = np.clip((np.arange(len(series.time)) - onset) / 48, 0, 1)
    day = _slow(series.values[:, 0], 25)
    late = np.roll(series.values[:, 0] - day, int(rng.integers(3, 6)))
    hot = day + rng.uniform(10, 16) + rng.uniform(2, 3) * late
    return _world(series, (1 - ramp) * series.values[:, 0] + ramp * hot, onset)


def moved(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """The station stands elsewhere: 5 to 12 degF off, days 0.5 or 1.8 times as wide and later, more gusts."""
    day = _slow(series.values[:, 0], 25)
    late = np.roll(series.values[:, 0] - day, int(rng.integers(1, 3)))
    elsewhere = day + _sign(rng) * rng.uniform(5, 12) + rng.choice([0.5, 1.8]) * late
    return _world(series, elsewhere + rng.normal(0, 1, len(day)), onset)


def stuck(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """The last value again and again, for 2 to 6 days."""
    known = series.values[:onset, 0]
    value = known[~np.isnan(known)][-1]
    return _sensor(series, np.full(len(series.time), value), onset, onset + int(rng.integers(48, 144)), "flat")


def spikes(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """Every tenth to twentieth reading is 20 to 45 degF off, for 5 to 10 days."""
    hit = rng.random(len(series.time)) < rng.uniform(0.05, 0.1)
    size = rng.choice([-1, 1], len(hit)) * rng.uniform(20, 45, len(hit))
    return _sensor(series, series.values[:, 0] + hit * size, onset, onset + int(rng.integers(120, 240)), "spikes")


def unit_change(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """degF becomes degC and nothing says so, until it is repaired after 8 to 15 days."""
    return _sensor(series, (series.values[:, 0] - 32) / 1.8, onset, onset + int(rng.integers(192, 360)), "unit")


def drop_out(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """Nothing arrives for 1 to 3 days."""
    gone = np.full(len(series.time), np.nan)
    return _sensor(series, gone, onset, onset + int(rng.integers(24, 72)), "drop_out")


def clock_jump(series: Series, rng: np.random.Generator, onset: int) -> Injected:
    """The station's clock is 3 to 10 hours ahead, until it is set right after 8 to 15 days.

    Stamps jump: for as many hours nothing arrives, then every reading is stamped that much too late.
    """
    hours = int(rng.integers(3, 11))
    late = np.concatenate([np.full(hours, np.nan), series.values[:-hours, 0]])
    late[onset : onset + hours] = np.nan
    return _sensor(series, late, onset, onset + int(rng.integers(192, 360)), "clock")
