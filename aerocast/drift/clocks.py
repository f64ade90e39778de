"""Is the station's clock off: does its day begin some hours too late or too early?

A clock that jumps ahead leaves a hole of as many hours as it is then late in the record, over which the readings go on
as if no time had passed; from then on the day's shape is shifted. Each candidate shift is held against how well days
of the reference, which were on time, ever fitted that shift by chance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from aerocast.drift.habits import Habits, gaps
from aerocast.drift.profile import Flags, Indices, Profile, Reals, day_of_year
from aerocast.drift.sensors import Found, Tested
from aerocast.drift.state import Evidence
from aerocast.grid import Times

HOURS = 24
FARTHEST = 12  # hours
LEAST = 2  # an hour is a summer time that someone forgot, and too little to tell
SEASON = 45  # days of the year on either side whose days show the shape
BLOCK = 10  # days at most that speak together
STRENGTH = 0.3  # correlation of a usual day with the shape: below, the column has no clock to read
MARGIN = 0.05  # of correlation beyond what chance ever gave in the reference
SCAN_MARGIN = 0.15  # the same where no hole in the record names the shift
SCAN_DAYS = 6
SUSPECT = 0.10  # gain that is enough when the errors, too, began to grow at the hole
SMOOTH = 1.5  # of a change that 1 in 200 exceeds: how far readings may move over the hole
NAMED = re.compile(r"day is (-?\d+) h late")


@dataclass(frozen=True, eq=False)
class Shape:
    """A column's usual day (24,), of unit length; `usual` is how well a day fits it; `chance` (BLOCK + 1, 25) how much
    better blocks of so many days ever fitted a shift of -12 .. 12 hours than none."""

    day: Reals
    usual: float
    chance: Reals


def clock_jump(
    column: str,
    recent: Reals,
    time: Times,
    past: Profile,
    habits: Habits,
    known: str | None = None,
    *,
    suspect: bool = False,
) -> Tested:
    """A shifted day; `known` is the detail of a fault that was open; `suspect`: errors grew beyond what weather does."""
    shape = _shape(past, column, time)
    if shape is None or shape.usual < STRENGTH:
        return Tested(Evidence("clock_jump", column, None, None, False, f"{column} has no daily cycle to tell by"))
    hour, swing = _swing(recent, time, past.step)
    found, value, limit = None, 0.0, MARGIN
    if known is not None and (named := NAMED.search(known)):
        found = _still(column, int(named[1]), hour, swing, shape, known)
    else:
        for start, late in _holes(recent, past.step, habits):
            gain, chance = _gain(hour[start:], swing[start:], late, shape)
            value, limit = max((value, limit), (gain, chance + MARGIN))
            if gain > (min(SUSPECT, chance) if suspect else chance + MARGIN):
                said = f"{column}'s day is {late} h late since a hole of as many hours: fits by {gain:.2f} better"
                found = Found(column, "clock_jump", start, None, said)
        found = found or _scan(column, hour, swing, shape, past.step)
    said = found.detail if found else f"{column}'s day begins when it should"
    evidence = Evidence("clock_jump", column, value, limit, found is not None and found.end is None, said)
    return Tested(evidence, (found,) if found else ())


def _holes(recent: Reals, step: int, habits: Habits) -> list[tuple[int, int]]:
    """(first row behind it, hours) of each hole that the readings bridge as if no time had passed."""
    found = []
    for first, stop in zip(*gaps(recent), strict=True):
        hours = round((stop - first) * step / 3600)
        if LEAST <= hours <= FARTHEST and first > 0 and stop < len(recent):
            bridged = abs(recent[stop] - recent[first - 1]) <= SMOOTH * max(habits.far, habits.step)
            if bridged and (len(recent) - stop) * step >= 36 * 3600:
                found.append((int(stop), hours))
    return found


def _scan(column: str, hour: Indices, swing: Reals, shape: Shape, step: int) -> Found | None:
    """A shift of the whole newest block that no hole explains: it must beat the best of all shifts by chance."""
    rows = BLOCK * HOURS * 3600 // step
    if len(swing) * step < SCAN_DAYS * HOURS * 3600:
        return None
    start = max(0, len(swing) - rows)
    fits = {late: _gain(hour[start:], swing[start:], late, shape) for late in range(-FARTHEST, FARTHEST)}
    late = max(fits, key=lambda each: fits[each][0])
    days = min(BLOCK, int((len(swing) - start) * step / 86_400))
    if abs(late) < LEAST or fits[late][0] <= float(shape.chance[days].max()) + SCAN_MARGIN:
        return None
    said = f"{column}'s day is {late} h late in the newest {days} days: fits by {fits[late][0]:.2f} better"
    return Found(column, "clock_jump", start, None, said)


def _still(column: str, late: int, hour: Indices, swing: Reals, shape: Shape, known: str) -> Found:
    """A known shift lasts until the newest two days are on time again; it ended where both halves fit best."""
    usual, shifted = (swing * shape.day[(hour - by) % HOURS] for by in (0, late))
    usual, shifted = np.nan_to_num(usual), np.nan_to_num(shifted)
    newest = slice(max(0, len(swing) - len(swing) * 48 // max(1, _hours(hour))), None)
    if usual[newest].sum() <= shifted[newest].sum():
        return Found(column, "clock_jump", 0, None, known)
    halves = np.concatenate([[0.0], np.cumsum(shifted)])[:-1] + np.cumsum(usual[::-1])[::-1]
    return Found(column, "clock_jump", 0, int(np.argmax(halves)), known)


def _hours(hour: Indices) -> int:
    return int(1 + np.count_nonzero(np.diff(hour)))


def _gain(hour: Indices, swing: Reals, late: int, shape: Shape) -> tuple[float, float]:
    """How much better the readings correlate with the shape that much later, and the most that chance ever gave."""
    known = np.isfinite(swing)
    length = float(np.sqrt(np.sum(swing[known] ** 2) * np.sum(known) / HOURS))
    if length <= 0:
        return 0.0, 0.0
    shifted, usual = (float(swing[known] @ shape.day[(hour[known] - by) % HOURS]) for by in (late, 0))
    days = int(np.clip(_hours(hour) / HOURS, 1, BLOCK))
    return (shifted - usual) / length, float(shape.chance[days, late + FARTHEST])


def _swing(values: Reals, time: Times, step: int) -> tuple[Indices, Reals]:
    """(n,) hour of the day, and the values less the mean of the day around each."""
    hour = time.astype("datetime64[s]").astype(np.int64) // 3600 % HOURS
    half = max(1, 12 * 3600 // step)
    known = np.isfinite(values)
    total, count = (np.concatenate([[0.0], np.cumsum(each)]) for each in (np.where(known, values, 0.0), known))
    low, high = np.maximum(np.arange(len(values)) - half, 0), np.minimum(np.arange(len(values)) + half, len(values))
    there = count[high] - count[low]
    mean = (total[high] - total[low]) / np.maximum(there, 1)
    return hour, np.where(known & (there >= half), values - mean, np.nan)


def _shape(past: Profile, column: str, time: Times) -> Shape | None:
    """The shape of this time of the year's days (of all days where the reference has none), kept with the profile."""
    if past.step > 3600 or not len(time):
        return None
    day = float(day_of_year(time[-1:])[0])
    key = ("shape", column, int(day // 15))
    if key not in past.kept:
        past.kept[key] = _learn(past, column, (day // 15) * 15 + 7)
    found: Shape | None = past.kept[key]
    return found


def _learn(past: Profile, column: str, day: float) -> Shape | None:
    hour, swing = _swing(past.column(column), past.time, past.step)
    date = past.time.astype("datetime64[D]").astype(np.int64)
    place = (date - date[0]) * HOURS + hour
    known = np.isfinite(swing)
    cells = np.bincount(place[known], swing[known], minlength=(int(date[-1] - date[0]) + 1) * HOURS)
    counts = np.bincount(place[known], minlength=len(cells))
    table = (cells / np.maximum(counts, 1)).reshape(-1, HOURS)
    whole: Flags = (counts.reshape(-1, HOURS) > 0).sum(axis=1) >= 20
    which = day_of_year(past.time[:1] + np.arange(len(table)) * np.timedelta64(86_400, "s"))
    apart = np.abs(which - day)
    near = whole & (np.minimum(apart, 365.25 - apart) <= SEASON)
    chosen = table[near] if near.sum() >= 20 else table[whole]
    if len(chosen) < 10:
        return None
    mean = chosen.mean(axis=0) - chosen.mean()
    size = float(np.sqrt(np.sum(mean**2)))
    if size <= 0:
        return None
    shape = mean / size
    norms = np.sum(chosen**2, axis=1)
    usual = float(np.median(chosen @ shape / np.sqrt(np.maximum(norms, 1e-12))))
    fits = np.column_stack([chosen @ np.roll(shape, by) for by in range(-FARTHEST, FARTHEST + 1)])
    return Shape(shape, usual, _chance(fits, norms))


def _chance(fits: Reals, norms: Reals) -> Reals:
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
