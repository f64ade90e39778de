"""Tests whether a station's clock is off: whether its day begins some hours too late or too early.

A clock that jumps ahead leaves a hole of as many hours as it is then late in the record, over which the readings go on
as if no time had passed; from then on the day's shape is shifted. Each candidate shift is held against how well days
of the reference, which were on time, ever fitted that shift by chance.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aerocast.contracts.drift_state import Evidence
from aerocast.features.grid import Times
from aerocast.monitoring.drift.habits import gaps, habits
from aerocast.monitoring.drift.profile import Flags, Indices, Profile, Reals, day_of_year
from aerocast.monitoring.drift.sensors import ColumnFault, SensorTest

HOURS = 24
FARTHEST = 12  # hours
LEAST = 2  # an hour is a summer time that someone forgot, and too little to tell
SEASON = 45  # days of the year on either side whose days show the shape
BLOCK = 10  # days at most that speak together
STRENGTH = 0.4  # correlation of a usual day with the shape: below, a column has no clock to read
STRONG = 0.7  # the same where nothing but the shape speaks
DENSE = 0.75  # of the reference measured: a column that is mostly missing has holes all the time
MARGIN = 0.05  # of correlation beyond what chance ever gave in the reference
CLEAR = 0.2  # and at least this much: a gain that a forecast would notice
SCAN_MARGIN = 0.15  # beyond chance where no hole in the record names the shift
SCAN_DAYS = 6
SCAN_FIT = 0.6  # correlation with the shifted shape
SIZE = 2.0  # a clock keeps the size of the day: days this much wider or flatter are another world, not another time
SUSPECT = 0.10  # gain that is enough when the errors, too, outgrew season and weather
AGAINST = -0.05  # a gain below which a column contradicts the shift of the others
SMOOTH = 1.5  # of a change that 1 in 200 exceeds: how far readings may move over the hole
LATE_IN_DETAIL = re.compile(r"day is (-?\d+) h late")


@dataclass(frozen=True, eq=False)
class Shape:
    """A column's usual day (24,), of unit length; `usual` is how well a day fits it, `size` the root mean square of
    its swing; `chance` (BLOCK + 1, 25) how much better blocks of so many days ever fitted a shift of -12 .. 12 hours
    than none."""

    day: Reals
    usual: float
    size: float
    chance: Reals


@dataclass(frozen=True, eq=False)
class Dial:
    """A column that shows the time: newest readings (n,), what is left of them without the day's mean, its shape."""

    column: str
    values: Reals
    swing: Reals
    shape: Shape
    smooth: float


def dials(columns: Sequence[str], values: Reals, time: Times, past: Profile) -> list[Dial]:
    """The columns of `values` (n, C) whose days have a shape, the clearest first."""
    result = []
    for at, column in enumerate(columns):
        shape = _shape(past, column, time)
        usual = habits(past, column)
        if shape is None or shape.usual < STRENGTH or usual.readings < DENSE * len(past.time):
            continue
        smooth = SMOOTH * max(usual.far, usual.step)
        result.append(Dial(column, values[:, at], _without_mean(values[:, at], time, past.step)[1], shape, smooth))
    return sorted(result, key=lambda dial: -dial.shape.usual)


def clock_jump(
    columns: Sequence[str],
    values: Reals,
    time: Times,
    past: Profile,
    open_detail: str | None = None,
    *,
    suspect: bool = False,
) -> list[SensorTest]:
    """Whether the days of a station's columns begin on time; `values` (n, C) are its newest readings.

    A shift found is a fault of every column, for one clock stamps them all. `known` is the detail of a fault that was
    open; `suspect`: the errors grew beyond what season and weather do.
    """
    clear = dials(columns, values, time, past)
    if not clear:
        detail = "no column has a daily cycle to tell the time by"
        return [SensorTest(Evidence("clock_jump", past.station, None, None, False, detail))]
    hour = time.astype("datetime64[s]").astype(np.int64) // 3600 % HOURS
    gain, limit = 0.0, CLEAR
    fault: tuple[int, int | None, str] | None = None
    if open_detail is not None and (lateness := LATE_IN_DETAIL.search(open_detail)):
        fault = (*_shift_span(int(lateness[1]), hour, clear[0]), open_detail)
    for start, late in _holes(values, past.step, clear) if fault is None else []:
        gain, chance = _gain(hour[start:], clear[0].swing[start:], late, clear[0].shape)
        limit = SUSPECT if suspect else max(CLEAR, chance + MARGIN)
        if gain > limit and _has_size(clear[0], start) and _agree(hour, clear[1:], start, late):
            column = clear[0].column
            detail = f"{column}'s day is {late} h late since a hole of as many hours: fits by {gain:.2f} better"
            # A clock that was set right meanwhile is a fault that is over, not one that opens again each day.
            over = _shift_span(late, hour[start:], replace(clear[0], swing=clear[0].swing[start:]))[1]
            fault = start, None if over is None else start + over, detail
            break
    fault = fault or _scan(hour, clear, past.step)
    detail = fault[2] if fault else f"{clear[0].column}'s day begins when it should"
    evidence = Evidence("clock_jump", past.station, gain, limit, fault is not None and fault[1] is None, detail)
    faults = tuple(ColumnFault(column, "clock_jump", *fault) for column in columns) if fault else ()
    return [SensorTest(evidence, faults)]


def _holes(values: Reals, step: int, clear: Sequence[Dial]) -> list[tuple[int, int]]:
    """(first row behind it, hours) of each hole in all columns that the readings bridge as if no time had passed."""
    silent = np.where(np.isfinite(values).any(axis=1), 0.0, np.nan)
    holes = []
    for first, stop in zip(*gaps(silent), strict=True):
        hours = round((stop - first) * step / 3600)
        if not (LEAST <= hours <= FARTHEST and first > 0 and (len(values) - stop) * step >= 36 * 3600):
            continue
        distances = [abs(dial.values[stop] - dial.values[first - 1]) / dial.smooth for dial in clear if dial.smooth > 0]
        if distances and np.nanmax([*distances, 0.0]) <= 1:
            holes.append((int(stop), hours))
    return holes


def _has_size(dial: Dial, start: int) -> bool:
    """Whether days from row `start` on are about as wide as those of the reference."""
    swing = dial.swing[start:][np.isfinite(dial.swing[start:])]
    return bool(len(swing)) and 1 / SIZE < float(np.sqrt(np.mean(swing**2))) / dial.shape.size < SIZE


def _agree(hour: Indices, others: Sequence[Dial], start: int, late: int) -> bool:
    return all(_gain(hour[start:], dial.swing[start:], late, dial.shape)[0] > AGAINST for dial in others)


def _scan(hour: Indices, clear: Sequence[Dial], step: int) -> tuple[int, None, str] | None:
    """A shift of the whole newest block that no hole explains: it must beat the best of all shifts by chance."""
    first, size = clear[0], len(hour)
    # One column alone cannot tell a late clock from a world whose days come later: a second one must agree.
    if len(clear) < 2 or size * step < SCAN_DAYS * HOURS * 3600 or first.shape.usual < STRONG:
        return None
    start = max(0, size - BLOCK * HOURS * 3600 // step)
    if not _has_size(first, start):
        return None
    fits = {late: _gain(hour[start:], first.swing[start:], late, first.shape) for late in range(-FARTHEST, FARTHEST)}
    late = max(fits, key=lambda each: fits[each][0])
    days = min(BLOCK, int((size - start) * step / 86_400))
    if abs(late) < LEAST or fits[late][0] <= max(CLEAR, float(first.shape.chance[days].max()) + SCAN_MARGIN):
        return None
    per_day = HOURS * 3600 // step
    each_day = [slice(max(start, size - back * per_day), size - (back - 1) * per_day) for back in range(1, days)]
    daily = [_gain(hour[day], first.swing[day], late, first.shape)[0] for day in each_day]
    fit = _fit(hour[start:], first.swing[start:], late, first.shape)
    # The newest days must show it, too: a block that was set right meanwhile is over.
    if fit < SCAN_FIT or min(daily[:3]) <= 0 or np.mean(np.array(daily) > 0) < 0.8:
        return None
    if not _agree(hour, clear[1:], start, late):
        return None
    detail = f"{first.column}'s day is {late} h late in the newest {days} days: fits by {fits[late][0]:.2f} better"
    return start, None, detail


def _shift_span(late: int, hour: Indices, dial: Dial) -> tuple[int, int | None]:
    """A known shift lasts until the newest two days are on time again; it ended where both halves fit best."""
    usual_fit, late_fit = (np.nan_to_num(dial.swing * dial.shape.day[(hour - by) % HOURS]) for by in (0, late))
    newest = slice(max(0, len(hour) - len(hour) * 2 * HOURS // max(1, _hours(hour))), None)
    if usual_fit[newest].sum() <= late_fit[newest].sum():
        return 0, None
    halves = np.concatenate([[0.0], np.cumsum(late_fit)])[:-1] + np.cumsum(usual_fit[::-1])[::-1]
    return 0, int(np.argmax(halves))


def _hours(hour: Indices) -> int:
    return int(1 + np.count_nonzero(np.diff(hour)))


def _gain(hour: Indices, swing: Reals, late: int, shape: Shape) -> tuple[float, float]:
    """How much better the readings correlate with the shape that much later, and the most that chance ever gave."""
    days = int(np.clip(_hours(hour) / HOURS, 1, BLOCK))
    gain = _fit(hour, swing, late, shape) - _fit(hour, swing, 0, shape)
    return gain, float(shape.chance[days, late + FARTHEST])


def _fit(hour: Indices, swing: Reals, late: int, shape: Shape) -> float:
    """Correlation of the readings with the shape that much later."""
    mask = np.isfinite(swing)
    length = float(np.sqrt(np.sum(swing[mask] ** 2) * np.sum(mask) / HOURS))
    return float(swing[mask] @ shape.day[(hour[mask] - late) % HOURS]) / length if length > 0 else 0.0


def _without_mean(values: Reals, time: Times, step: int) -> tuple[Indices, Reals]:
    """(n,) hour of the day, and the values less the mean of the day around each."""
    hour = time.astype("datetime64[s]").astype(np.int64) // 3600 % HOURS
    half = max(1, 12 * 3600 // step)
    mask = np.isfinite(values)
    total, count = (np.concatenate([[0.0], np.cumsum(each)]) for each in (np.where(mask, values, 0.0), mask))
    low, high = np.maximum(np.arange(len(values)) - half, 0), np.minimum(np.arange(len(values)) + half, len(values))
    counts = count[high] - count[low]
    mean = (total[high] - total[low]) / np.maximum(counts, 1)
    return hour, np.where(mask & (counts >= half), values - mean, np.nan)


def _shape(past: Profile, column: str, time: Times) -> Shape | None:
    """The shape of this time of the year's days (of all days where the reference has none), cached in the profile."""
    if past.step > 3600 or not len(time):
        return None
    fortnight = int(day_of_year(time[-1:])[0] // 15)
    return past.remember(("shape", column, fortnight), lambda: _learn_shape(past, column, fortnight * 15 + 7))


def _learn_shape(past: Profile, column: str, day: float) -> Shape | None:
    hour, swing = _without_mean(past.column(column), past.time, past.step)
    date = past.time.astype("datetime64[D]").astype(np.int64)
    cell = (date - date[0]) * HOURS + hour
    mask = np.isfinite(swing)
    cells = np.bincount(cell[mask], swing[mask], minlength=(int(date[-1] - date[0]) + 1) * HOURS)
    counts = np.bincount(cell[mask], minlength=len(cells))
    table = (cells / np.maximum(counts, 1)).reshape(-1, HOURS)
    whole: Flags = (counts.reshape(-1, HOURS) > 0).sum(axis=1) >= 20
    which = day_of_year(past.time[:1] + np.arange(len(table)) * np.timedelta64(86_400, "s"))
    apart = np.abs(which - day)
    near = whole & (np.minimum(apart, 365.25 - apart) <= SEASON)
    sample = table[near] if near.sum() >= 20 else table[whole]
    if len(sample) < 10:
        return None
    mean = sample.mean(axis=0) - sample.mean()
    size = float(np.sqrt(np.sum(mean**2)))
    if size <= 0:
        return None
    shape = mean / size
    norms = np.sum(sample**2, axis=1)
    usual = float(np.median(sample @ shape / np.sqrt(np.maximum(norms, 1e-12))))
    fits = np.column_stack([sample @ np.roll(shape, by) for by in range(-FARTHEST, FARTHEST + 1)])
    return Shape(shape, usual, float(np.median(np.sqrt(norms / HOURS))), _chance_gains(fits, norms))


def _chance_gains(fits: Reals, norms: Reals) -> Reals:
    """(BLOCK + 1, 25) the largest gain of each shift over none among all blocks of 1 .. BLOCK days."""
    most = np.full((BLOCK + 1, fits.shape[1]), 2.0)
    total, square = (
        np.concatenate([np.zeros((1, *each.shape[1:])), np.cumsum(each, axis=0)]) for each in (fits, norms)
    )
    for days in range(1, min(BLOCK, len(norms) - 1) + 1):
        length = np.sqrt(np.maximum((square[days:] - square[:-days]) * days, 1e-12))
        corr = (total[days:] - total[:-days]) / length[:, None]
        most[days] = (corr - corr[:, [FARTHEST]]).max(axis=0)
    return most
