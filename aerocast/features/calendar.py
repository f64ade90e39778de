"""Features of the calendar at each target, by the local clock: day of week, holiday, operating hours.

They exist where a feed declares what they follow: a season of weeks, holidays, or operating hours.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.common.opening_hours import HOLIDAY, WEEKDAYS, parse
from aerocast.features.grid import Ints, Place, WindowSpec
from aerocast.features.local_time import DAY, local_seconds

_MINUTES = 1440


def names(spec: WindowSpec) -> list[str]:
    """The names of the rows of `rows`."""
    weekdays = [f"{day.lower()}_{horizon}" for day in WEEKDAYS for horizon in spec.horizons]
    return [
        *(weekdays if _has_weekdays(spec) else ()),
        *([f"holiday_{horizon}" for horizon in spec.horizons] if spec.holidays else ()),
        *([f"open_{horizon}" for horizon in spec.horizons] if spec.operating_hours else ()),
    ]


def rows(spec: WindowSpec, place: Place, start: np.datetime64, at: Ints) -> NDArray[Any]:
    """(F, n) at the targets of origins `at` (n,) steps after `start`: 0 .. 1, NaN where the time is unknown."""
    if not names(spec):
        return np.empty((0, len(at)))
    steps = start + np.arange(int(at.max()) + 1 + spec.horizons[-1]) * np.timedelta64(spec.cadence, "s")
    local = local_seconds(steps, place.timezone)
    day = local // DAY
    weekday, holiday = (day + 3) % 7, np.isin(day, _holidays(spec, place.holidays)).astype(np.float64)
    table = [weekday == each for each in range(7)] if _has_weekdays(spec) else []
    table += [holiday] if spec.holidays else []
    table += [_open(spec, weekday, holiday, local % DAY // 60)] if spec.operating_hours else []
    features = np.where(np.isnan(local), np.nan, np.stack(table))
    return features[:, at + np.array(spec.horizons)[:, None]].reshape(-1, len(at))


def _has_weekdays(spec: WindowSpec) -> bool:
    return bool(spec.holidays or spec.operating_hours) or any(s * spec.cadence % (7 * DAY) == 0 for s in spec.seasons)


@lru_cache(maxsize=256)
def _holidays(spec: WindowSpec, name: str) -> Ints:
    """The days, counted from 1970, of the calendar of this name."""
    days = [each.days for each in spec.holidays if each.name == name]
    return np.array(days[0] if days else (), dtype="datetime64[D]").astype(np.int64)


def _open(spec: WindowSpec, weekday: NDArray[Any], holiday: NDArray[Any], minute: NDArray[Any]) -> NDArray[np.float64]:
    """Shares of steps that lie within the operating hours of the day on which they begin."""
    row = np.where(holiday > 0, 7, np.nan_to_num(weekday)).astype(np.int64)
    row = np.where((row == 7) & ~_has_holiday_hours(spec.operating_hours), np.nan_to_num(weekday), row).astype(np.int64)
    begin = np.nan_to_num(minute).astype(np.int64)
    length = max(1, spec.cadence // 60)
    sums = _open_minutes(spec.operating_hours)
    shares: NDArray[np.float64] = (sums[row, np.minimum(begin + length, _MINUTES)] - sums[row, begin]) / length
    return shares


def _has_holiday_hours(rules: Sequence[str]) -> bool:
    return any(HOLIDAY in rule for rule in rules)


@lru_cache(maxsize=64)
def _open_minutes(rules: tuple[str, ...]) -> Ints:
    """(8, 1441) open minutes from midnight on, of Monday to Sunday and of holidays."""
    table = np.zeros((8, _MINUTES), dtype=np.int64)
    for rule in rules:
        days, spans = parse(rule)
        for first, last in spans or [(0, 0)]:
            for day in days:
                table[day, first:last] = 1
                if last > _MINUTES:  # past midnight, on the day after
                    table[(day + 1) % 7 if day < 7 else 7, : last - _MINUTES] = 1
    return np.concatenate([np.zeros((8, 1), dtype=np.int64), table.cumsum(axis=1)], axis=1)
