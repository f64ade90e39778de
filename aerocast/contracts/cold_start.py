"""Forecasts for a station that a model has not learned: from what its feed's other stations are like.

A graph takes every feature but the newest value for missing, so one reading is enough. Without any, the mean of the
other stations stands in. How far off such forecasts are is measured in training, and intervals are wider by that.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
import numpy as np

from aerocast.features.grid import Floats, Grid, WindowSpec

# What is known of the station at the origin: nothing, fewer steps than the model looks back, or as many.
History = Literal["none", "short", "whole"]


class ColdStart(msgspec.Struct, frozen=True):
    """`stations` are those whose intervals are calibrated; for any other they are wider by these factors (H,)."""

    stations: tuple[str, ...]
    none: tuple[float, ...]
    short: tuple[float, ...]
    whole: tuple[float, ...]

    def factors(self, history: History) -> Floats:
        """(H,) by which intervals are wider."""
        factors: tuple[float, ...] = getattr(self, history)
        return np.array(factors, dtype=np.float32)


def is_new(window: WindowSpec, cold_start: ColdStart | None, station: str) -> bool:
    """Whether a model has not learned this station."""
    known_stations = cold_start.stations if cold_start else [place.id for place in window.places]
    return station not in known_stations


def history(window: WindowSpec, grid: Grid, origin: int) -> History:
    """How much of the target is known at an origin, whose own value is known."""
    target = grid.values[max(0, origin + 1 - window.look_back) : origin + 1, grid.columns.index(window.target)]
    is_whole = len(target) == window.look_back and not np.isnan(target[0])
    return "whole" if is_whole else "short"


def stand_in(window: WindowSpec, station: str, grids: Iterable[Grid]) -> Grid | None:
    """A grid of the newest step alone, with the mean of the other stations; None without a value of the target."""
    others = [grid for grid in grids if grid.station != station and len(grid.time)]
    newest = max((grid.time[-1] for grid in others), default=None)
    rows = [grid.values[-1] for grid in others if grid.time[-1] == newest]
    if newest is None or not rows:
        return None
    table = np.stack(rows)
    count = (~np.isnan(table)).sum(axis=0)
    mean = np.where(count > 0, np.nansum(table, axis=0) / np.maximum(count, 1), np.nan).astype(np.float32)[None]
    if np.isnan(mean[0, others[0].columns.index(window.target)]):
        return None
    age = np.where(np.isnan(mean), np.nan, 0).astype(np.float32)
    return Grid(station, np.array([newest]), others[0].columns, mean, age, units=others[0].units)
