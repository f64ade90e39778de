"""The Numenta Anomaly Benchmark: its recorded files, its labelled windows, and the score of its standard profile.

After Lavin and Ahmad, Evaluating Real-Time Anomaly Detection Algorithms (2015). A window counts by the earliest alarm
inside, the earlier the more (a sigmoid, 1 at its left edge, about 0 at its right one), and -1 if there is none. Each
alarm outside costs 0.11, less soon after a window. The first rows of a file are for learning and do not count. One
threshold is taken for all files, the best one. 0 is a detector that raises no alarm, 100 is a perfect one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MISS, FALSE = 1.0, 0.11  # weights of the standard profile
PROBATION, LONGEST = 0.15, 5000
FAR = 3.0  # widths after a window from which on an alarm costs all

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One file: instants, values, and its windows as first and last row."""

    name: str
    time: NDArray[np.datetime64]
    value: Reals
    windows: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Score:
    """Of one file at a threshold: raw points, windows, windows with an alarm, alarms outside."""

    points: float
    windows: int
    hits: int
    false: int

    @property
    def normal(self) -> float | None:
        """0 for no alarm, 100 for a perfect one; None without a window."""
        return 100 * (self.points + MISS * self.windows) / ((1 + MISS) * self.windows) if self.windows else None


def read(folder: Path) -> list[Series]:
    """The files of a folder that has NAB's `windows.json`, in its order."""
    labels = json.loads((folder / "windows.json").read_text())
    return [_series(folder / name, windows) for name, windows in labels.items()]


def _series(path: Path, windows: Sequence[tuple[str, str]]) -> Series:
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    time = np.array([row[0] for row in rows], dtype="datetime64[s]")
    edges = [tuple(np.array(each, dtype="datetime64[us]").astype("datetime64[s]")) for each in windows]
    found = tuple(
        (int(np.flatnonzero(time == first)[0]), int(np.flatnonzero(time == last)[0])) for first, last in edges
    )
    return Series(path.stem, time, np.array([row[1] for row in rows], dtype=np.float64), found)


def probation(rows: int) -> int:
    """How many of the first rows do not count."""
    return int(min(PROBATION * rows, PROBATION * LONGEST))


def sigmoid(position: float) -> float:
    """How much an alarm is worth, from -1 at a window's left edge over 0 at its right one; -1 to 1."""
    return -1.0 if position >= FAR else float(2 / (1 + np.exp(5 * position)) - 1)


def weights(rows: int, windows: Sequence[tuple[int, int]]) -> Reals:
    """(T,) what an alarm at each row is worth: above 0 inside a window, a cost outside."""
    worth = np.full(rows, -FALSE)
    for at, (first, last) in enumerate(windows):
        width = last - first + 1
        for row in range(first, last + 1):
            worth[row] = sigmoid(-(last - row + 1) / width) / sigmoid(-1.0)
        following = windows[at + 1][0] if at + 1 < len(windows) else rows
        for row in range(last + 1, following):
            worth[row] = FALSE * sigmoid((row - last) / max(width - 1, 1))
    return worth


def score(alarms: NDArray[np.bool_], windows: Sequence[tuple[int, int]]) -> Score:
    """Of the alarms (T,) of one file."""
    rows = len(alarms)
    worth, inside = weights(rows, windows), np.zeros(rows, dtype=bool)
    counted = alarms & (np.arange(rows) >= probation(rows))
    points, hits, judged = 0.0, 0, 0
    for first, last in windows:
        inside[first : last + 1] = True
        if last < probation(rows):
            continue
        judged += 1
        own = worth[first : last + 1][counted[first : last + 1]]
        points += float(own.max()) if len(own) else -MISS
        hits += bool(len(own))
    outside = counted & ~inside
    return Score(points + float(worth[outside].sum()), judged, hits, int(outside.sum()))


def total(scores: Sequence[Score]) -> Score:
    """Of all files together."""
    sums = (sum(getattr(each, name) for each in scores) for name in ("points", "windows", "hits", "false"))
    return Score(*sums)


def best_threshold(files: Sequence[Series], values: Mapping[str, Reals]) -> float:
    """The one threshold at or above which anomaly values (T,), by file, score best over all files."""
    candidates = np.unique(np.concatenate([each[np.isfinite(each)] for each in values.values()]))
    curve = np.zeros(len(candidates) + 1)  # the last one: no alarm at all
    for file in files:
        curve += _curve(values[file.name], file.windows, candidates)
    return float(np.append(candidates, np.inf)[int(np.argmax(curve))])


def _curve(values: Reals, windows: Sequence[tuple[int, int]], thresholds: Reals) -> Reals:
    """(n + 1,) points of one file at each threshold, and at one above all."""
    rows = len(values)
    worth, after = weights(rows, windows), np.arange(rows) >= probation(rows)
    free = after & np.isfinite(values)
    sums = np.zeros(len(thresholds) + 1)
    place = np.searchsorted(thresholds, np.where(np.isfinite(values), values, 0.0))
    inside = np.zeros(rows, dtype=bool)
    for first, last in windows:
        inside[first : last + 1] = True
        if last < probation(rows):
            continue
        own = np.full(len(thresholds) + 1, -MISS)
        span = np.arange(first, last + 1)
        span = span[free[span]]
        np.maximum.at(own, place[span], worth[span])
        sums += np.maximum.accumulate(own[::-1])[::-1]
    false = np.zeros(len(thresholds) + 1)
    outside = np.flatnonzero(free & ~inside)
    np.add.at(false, place[outside], worth[outside])
    return sums + np.cumsum(false[::-1])[::-1]
