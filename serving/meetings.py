"""Which new readings met a forecast: answers of this server beside what the platform measured at their target times."""

from datetime import datetime
from typing import NamedTuple

import numpy as np

from aerocast.common.times import from_numpy, to_numpy
from aerocast.features.grid import Grid
from serving.loading import Tail
from serving.notices import ForecastNotice, ForecastStep, OutcomeNotice

MOST_OPEN = 50_000  # forecasts that wait for their readings: beyond it the oldest are given up

_Slot = tuple[str, str, np.datetime64]


class _Open(NamedTuple):
    """A forecast that waits, and the unit that it is in."""

    step: ForecastStep
    unit: str


class Meetings:
    """Of each target time of a station only its newest forecast waits."""

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._open: dict[str, dict[_Slot, _Open]] = {}
        self._tails: dict[str, Tail] = {}

    def add(self, forecast: ForecastNotice) -> None:
        """Lets a forecast wait for its readings."""
        waiting = self._open.setdefault(forecast.feed, {})
        for step in forecast.forecasts:
            if step.time is not None:
                slot = (forecast.target, forecast.station, to_numpy(step.time))
                waiting.pop(slot, None)
                waiting[slot] = _Open(step, forecast.unit)
        while len(waiting) > self._most:
            del waiting[next(iter(waiting))]

    def of_tail(self, at: datetime, feed: str, tail: Tail) -> list[OutcomeNotice]:
        """The forecasts that the feed's newest readings have met, by target time; each once."""
        waiting = self._open.get(feed, {})
        if self._tails.get(feed) is tail:
            return []
        self._tails[feed] = tail
        outcomes = []
        for slot in list(waiting):
            target, station, moment = slot
            grid = tail.grids.get(station)
            if grid is None or not len(grid.time) or moment > grid.time[-1]:
                continue
            actual = _measured(grid, target, moment, waiting[slot].unit)
            if actual is not None:
                outcomes.append(_outcome(at, feed, slot, waiting.pop(slot).step, actual))
            elif moment < grid.time[0]:
                del waiting[slot]  # too old to be measured any more
        return sorted(outcomes, key=lambda each: (each.time is None, each.time))


def _measured(grid: Grid, target: str, moment: np.datetime64, unit: str) -> float | None:
    """The value that was measured in that step; None if there is none in that unit."""
    row = int(np.searchsorted(grid.time, moment))
    if target not in grid.columns or grid.time[row] != moment:
        return None
    column = grid.columns.index(target)
    if (grid.units and grid.units[column] != unit) or grid.age[row, column] != 0:
        return None
    value = float(grid.values[row, column])
    return value if np.isfinite(value) else None


def _outcome(at: datetime, feed: str, slot: _Slot, step: ForecastStep, actual: float) -> OutcomeNotice:
    return OutcomeNotice(
        at=at,
        feed=feed,
        source="reading",
        target=slot[0],
        station=slot[1],
        time=from_numpy(slot[2]),
        horizon=step.horizon,
        predicted=step.value,
        lower=step.lower,
        upper=step.upper,
        actual=round(actual, 4),
        error=round(actual - step.value, 4),
    )
