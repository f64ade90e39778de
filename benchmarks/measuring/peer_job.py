"""What a peer receives of a series and what it answers, as files that environments of their own can read.

numpy and the standard library only. Positions count steps of the series; `local` reaches beyond the series' end by the
longest horizon, because the clock and the holidays of a target are known ahead.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAY, WEEK = 86_400, 7 * 86_400
TAIL = 0.15  # newest share of what may be learned that chooses the form and gives the interval's width
LEVEL = 0.9

Floats, Ints = NDArray[np.float64], NDArray[np.int64]
Predict = Callable[[Floats], Floats]
Fit = Callable[[Floats, Floats], Predict]


@dataclass(frozen=True)
class Job:
    """`values` (n, C), the target first, gaps filled forward as the platform does, NaN beyond; `measured` (n,), NaN
    where the target was not measured; `local` (n + longest horizon,) seconds that the local clock shows, `holiday`
    (same) whether that day is one. `learned` and `test` are positions of origins, `rolling` some indices of `test`.
    """

    values: Floats
    measured: Floats
    local: Ints
    holiday: NDArray[np.bool_]
    learned: Ints
    test: Ints
    rolling: Ints
    horizons: Ints
    cadence: int

    @property
    def day(self) -> int:
        """Steps of a day."""
        return DAY // self.cadence

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps of a day, and of a week where the series holds ten of them."""
        week = WEEK // self.cadence
        return (self.day, week) if len(self.values) >= 10 * week else (self.day,)

    @property
    def filled(self) -> Floats:
        """The target (n,) without gaps: the newest value stands, and before the first the first."""
        known = np.flatnonzero(np.isfinite(self.measured))
        newest = np.searchsorted(known, np.arange(len(self.measured)), side="right") - 1
        return self.measured[known[np.maximum(newest, 0)]]

    @property
    def weekday(self) -> Ints:
        """(n + longest horizon,) day of the week, from Monday = 0 on."""
        return (self.local // DAY + 3) % 7

    def calendar(self, horizon: int) -> Floats:
        """(n, 7) of each origin's target: waves of the hour and of the year, hour, day of week, holiday."""
        own = slice(horizon, horizon + len(self.values))
        at = self.local[own]
        hour, year = at % DAY / 3600, at / (365.2425 * DAY)
        waves = [wave(2 * np.pi * share) for share in (hour / 24, year) for wave in (np.sin, np.cos)]
        return np.stack([*waves, hour, self.weekday[own], self.holiday[own]], axis=1)

    def outcome(self, horizon: int) -> Floats:
        """(n,) measured target of each origin, NaN where unknown."""
        return lagged(self.measured, -horizon)

    def save(self, path: Path) -> None:
        np.savez(path, **asdict(self))


def load(path: Path) -> Job:
    """The job in a file of `Job.save`."""
    with np.load(path) as stored:
        job = {each.name: stored[each.name] for each in fields(Job)}
    return Job(**{**job, "cadence": int(job["cadence"])})


@dataclass(frozen=True)
class Answer:
    """Forecasts `levels` (t, H) of the test rows with the bounds `low` and `high` of their 90 % intervals, NaN for rows
    that were not asked; seconds to fit and to predict."""

    levels: Floats
    low: Floats
    high: Floats
    fit_seconds: float
    predict_seconds: float

    def save(self, path: Path) -> None:
        np.savez(path, **asdict(self))

    def clip(self, lowest: float, highest: float) -> "Answer":
        """Nothing below `lowest` or above `highest`."""
        levels = (np.clip(each, lowest, highest) for each in (self.levels, self.low, self.high))
        return Answer(*levels, self.fit_seconds, self.predict_seconds)


def load_answer(path: Path) -> Answer:
    """The answer in a file of `Answer.save`."""
    with np.load(path) as stored:
        parts: dict[str, Any] = {each.name: stored[each.name] for each in fields(Answer)}
    seconds = {name: float(parts.pop(name)) for name in ("fit_seconds", "predict_seconds")}
    return Answer(**parts, **seconds)


def lagged(values: Floats, steps: int) -> Floats:
    """Values (n,) so many steps earlier (later if negative), NaN where there are none."""
    moved = np.full(len(values), np.nan)
    if abs(steps) < len(values):
        moved[max(steps, 0) : len(values) + min(steps, 0)] = values[max(-steps, 0) : len(values) - max(steps, 0)]
    return moved


@dataclass(frozen=True)
class Direct:
    """One horizon's model: its forecasts of some rows, half the width of its interval, and its seconds."""

    levels: Floats
    half: float
    fit_seconds: float
    predict_seconds: float


def direct(fits: Sequence[Fit], x: Floats, y: Floats, last: Floats, learned: Ints, rows: Ints, gap: int) -> Direct:
    """Fits the level or the change from `last`, in one of several ways: what errs least on the newest `TAIL` of the
    `learned` rows.

    The error there also gives the interval (split conformal); then everything that may be learned is fitted again.
    `gap` rows before the tail are left out, whose outcomes lie in it. `x` (n, F), `y` and `last` (n,).
    """
    began = time.perf_counter()
    known = learned[np.isfinite(y[learned]) & np.isfinite(last[learned])]
    cut = int((1 - TAIL) * len(known))
    head, tail = known[: cut - gap], known[cut:]
    ways = [(fit, base) for fit in fits for base in (np.zeros(len(y)), last)]
    errors = [np.abs(fit(x[head], (y - base)[head])(x[tail]) + base[tail] - y[tail]) for fit, base in ways]
    best = int(np.argmin([error.mean() for error in errors]))
    fit, base = ways[best]
    predict = fit(x[known], (y - base)[known])
    fitted = time.perf_counter()
    levels = predict(x[rows]) + base[rows]
    half = float(np.quantile(errors[best], LEVEL))
    return Direct(levels, half, fitted - began, time.perf_counter() - fitted)


def gather(parts: list[Direct]) -> Answer:
    """The answer of a model a horizon."""
    levels, half = np.stack([part.levels for part in parts], axis=1), np.array([part.half for part in parts])
    seconds = sum(part.fit_seconds for part in parts), sum(part.predict_seconds for part in parts)
    return Answer(levels, levels - half, levels + half, *seconds)
