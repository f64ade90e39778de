"""Finds seasons in a series by its spectrum."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

DAY, WEEK = timedelta(days=1), timedelta(days=7)
_LEAST_SHARE = 0.02  # of the power, at the season's own frequency and its first multiples
_HARMONICS = 4


def find_seasons(values: pd.Series[Any], instants: pd.Series[Any], cadence: timedelta) -> list[timedelta]:
    """A day and a week, each if it has a share of the series' power; at least one of them.

    `values` are of one station. A gap takes the mean of its neighbours: that adds power to no season.
    """
    candidates = [each for each in (DAY, WEEK) if each > cadence]
    if not candidates:
        return [WEEK if cadence < WEEK else 52 * WEEK]
    series = pd.Series(values.to_numpy(), index=instants).dropna().sort_index()
    regular = series.groupby(level=0).mean().resample(cadence).mean().interpolate()
    numbers = regular.to_numpy()
    seasons = [
        each for each in candidates if len(numbers) >= 4 * (each // cadence) and _share(numbers, each // cadence)
    ]
    if WEEK in seasons and DAY in candidates and DAY not in seasons:
        seasons = [DAY, WEEK]
    return seasons or candidates[:1]


def _share(numbers: Any, steps: int) -> bool:
    """Whether the frequency of a season and its multiples stand out of the power around them."""
    numbers = numbers[: len(numbers) // steps * steps]
    trend = np.polyval(np.polyfit(np.arange(len(numbers)), numbers, 1), np.arange(len(numbers)))
    power = np.abs(np.fft.rfft(numbers - trend)) ** 2
    power[0] = 0.0
    base, total = len(numbers) // steps, power.sum()
    if not total:
        return False
    # A week's first multiples alone: its seventh is the day.
    own = sum(power[base * k] for k in range(1, _HARMONICS + 1) if base * k < len(power))
    around = [
        power[base * k + d] for k in range(1, _HARMONICS + 1) for d in (-2, -1, 1, 2) if 0 < base * k + d < len(power)
    ]
    return bool(own / total > _LEAST_SHARE / (1 + (steps > 2)) and own > 4 * sum(around) / 4)
