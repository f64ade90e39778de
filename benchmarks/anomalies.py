"""Anomalies in the recorded files of the Numenta Anomaly Benchmark, by the score of its standard profile.

`measuring/nab.py` has the score; for each detector the best threshold is taken, one for all files. Beside ours stands
what people write first: how far a value lies from those of the first rows (`raw`), its tail probability among the last
thousand values (`Gaussian`, as NAB's own windowed one), and the error of our own forecast one step ahead alone
(`residual`). One file has no anomaly: whatever is raised there is false. Each cell: score, windows with an alarm of all
windows, false alarms. These are nine of NAB's 58 files; its published scores are of all, so none stands beside them.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from measuring.nab import Reals, Score, Series, best_threshold, probation, read, score, total
from measuring.spread import parser
from measuring.table import show, verdict
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import norm

from aerocast.monitoring.anomalies.events import OPEN, alarms
from aerocast.monitoring.anomalies.surprise import LOOK_BACK, surprises
from aerocast.monitoring.anomalies.views import deviations, views

DATA = Path(os.environ.get("AEROCAST_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "nab"
DAY, GOAL, WINDOW = 86_400, 70.0, 1000
HEADER = ("file", "windows", "ours", "Gaussian", "residual", "raw")


def on_grid(file: Series) -> tuple[Reals, np.ndarray, int, int]:
    """A file's values on its regular steps, the row of each, the number of the first step from 1970, steps a day."""
    cadence = int(np.median(np.diff(file.time.astype(np.int64))))
    step = file.time.astype(np.int64) // cadence
    grid = np.full(int(step[-1] - step[0]) + 1, np.nan)
    grid[step - step[0]] = file.value
    return grid, step - step[0], int(step[0]), max(DAY // cadence, 1)


def ours(file: Series) -> Reals:
    """What the platform says of a station with this one column: where an event begins, or becomes worse."""
    grid, rows, first, per_day = on_grid(file)
    return alarms(surprises(grid[:, None], first, per_day).total(), per_day)[rows]


def gaussian(file: Series) -> Reals:
    """-log10 of the tail probability of each value among the last thousand before it."""
    past = np.concatenate([np.full(WINDOW, np.nan), file.value[:-1]])
    near = sliding_window_view(past, WINDOW)
    with warnings.catch_warnings(action="ignore"):
        distance = np.abs(file.value - np.nanmean(near, axis=1)) / np.maximum(np.nanstd(near, axis=1), 1e-6)
    return np.nan_to_num(-norm.logsf(distance) / np.log(10), nan=0.0)


def residual(file: Series) -> Reals:
    """The error of the forecast one step ahead, in usual errors under its conditions; no rank, no other deviation."""
    grid, rows, first, per_day = on_grid(file)
    step, _ = views(grid, first, per_day)
    error = np.zeros(len(grid))
    for start in range(-first % per_day, len(grid), per_day):
        end = min(start + per_day, len(grid))
        own = deviations(grid, step, first, per_day, start, end, LOOK_BACK)
        if own is not None:
            error[start:end] = np.abs(own[start - end :])
    return np.nan_to_num(error[rows])


def raw(file: Series) -> Reals:
    """How far a value lies from the mean of the first rows, in their standard deviations."""
    first = file.value[: probation(len(file.value))]
    return np.abs(file.value - first.mean()) / first.std()


DETECTORS: Mapping[str, Callable[[Series], Reals]] = {
    "ours": ours, "Gaussian": gaussian, "residual": residual, "raw": raw,
}  # fmt: skip


def cell(own: Score) -> str:
    normal = "" if own.normal is None else f"{own.normal:.1f}, "
    return f"{normal}{own.hits}/{own.windows}, {own.false}"


def main() -> None:
    parser(__doc__, rounds=1).parse_args()
    if not (DATA / "windows.json").exists():
        raise SystemExit(f"{DATA} is not there (AEROCAST_TEST_DATA)")
    files = read(DATA)
    thresholds, scores = {}, {}
    for name, detector in DETECTORS.items():
        values = {file.name: detector(file) for file in files}
        thresholds[name] = best_threshold(files, values)
        scores[name] = [score(values[file.name] >= thresholds[name], file.windows) for file in files]
        if name == "ours":
            at_open = [score(values[file.name] >= OPEN, file.windows) for file in files]
    rows = [
        [file.name.split("__")[-1], str(len(file.windows)), *(cell(scores[name][at]) for name in DETECTORS)]
        for at, file in enumerate(files)
    ]
    windows = str(sum(len(file.windows) for file in files))
    rows.append(["in all", windows, *(cell(total(each)) for each in scores.values())])
    show("score (0: no alarm, 100: perfect), windows with an alarm, false alarms", HEADER, rows)
    print("  best thresholds: " + ", ".join(f"{name} {value:.3g}" for name, value in thresholds.items()))
    best, plain = total(scores["ours"]).normal or 0.0, total(at_open).normal or 0.0
    quiet = {at: file for at, file in enumerate(files) if not file.windows}
    print(f"  at the platform's own threshold, {OPEN}: {cell(total(at_open))}; quiet file {cell(at_open[min(quiet)])}")
    print(f"  {GOAL:.0f}, best threshold: {best:.1f}, {verdict(best > GOAL)}; own threshold: {plain:.1f}")
    for at, file in quiet.items():
        own = scores["ours"][at].false
        print(f"  {file.name} stays quiet: {own} false alarms in {len(file.value)} rows, {verdict(own == 0)}")


if __name__ == "__main__":
    main()
