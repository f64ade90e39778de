"""LightGBM on the features of mlforecast: day and week lags, rolling and same-hour means, and the calendar.

Run as a script in an environment of its own: `by_mlforecast.py JOB OUT` writes `LightGBM (mlforecast).npz` in OUT. One
model a horizon (direct); a row of mlforecast's table is a step, so that its lags are those of the origin before it.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

if __name__ == "__main__":  # in place of this folder, whose `http.py` is not the library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from measuring.peer_job import Floats, Job, Predict, direct, gather, lagged, load

NAME = "LightGBM (mlforecast)"
ROUNDS = (150, 500)  # the newest rows before the test span choose
TREES = {"learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 30, "colsample_bytree": 0.7, "n_jobs": 1}
NEAR = 12  # newest steps that are features


def table(job: Job) -> Floats:
    """Features (n, F) of each origin by mlforecast, for all horizons."""
    import pandas as pd
    from mlforecast import MLForecast  # in an environment of its own
    from mlforecast.lag_transforms import (
        RollingMean,
        RollingStd,
        SeasonalRollingMean,
    )

    lags, transforms = set(range(1, NEAR + 1)), {1: [RollingMean(steps) for steps in (3, 6, 24, *job.seasons)]}
    transforms[1].append(RollingStd(job.day))
    for season in job.seasons:
        for horizon in job.horizons.tolist():
            lag = season - horizon + 1
            lags |= {lag, lag + season}
            transforms.setdefault(lag, []).append(SeasonalRollingMean(season_length=season, window_size=4))
    stamps = pd.date_range("2000-01-01", periods=len(job.values) + 1, freq="h")  # the clock comes apart
    series = pd.DataFrame({"unique_id": "y", "ds": stamps, "y": np.append(job.filled, job.filled[-1])})
    model = MLForecast(models=[], freq="h", lags=sorted(lags), lag_transforms=transforms)
    rows = model.preprocess(series, dropna=False).drop(columns=["unique_id", "ds", "y"])
    return rows.to_numpy(dtype=np.float64)[1:]


def fit(rounds: int, x: Floats, y: Floats) -> Predict:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=rounds, **TREES, verbosity=-1, random_state=0).fit(x, y)
    return lambda rows: model.predict(rows)


def run(job: Job, out: Path) -> None:
    """One direct model a horizon on mlforecast's table, the newest other columns and the target's calendar."""
    features, others = table(job), job.values[:, 1:]
    changes = [others - np.stack([lagged(each, job.day) for each in others.T], axis=1)] if others.shape[1] else []
    fits, parts = [partial(fit, rounds) for rounds in ROUNDS], []
    for horizon in job.horizons.tolist():
        x = np.hstack([features, others, *changes, job.calendar(horizon)])
        parts.append(direct(fits, x, job.outcome(horizon), job.values[:, 0], job.learned, job.test, horizon))
    gather(parts).save(out / f"{NAME}.npz")


def main(job: Path, out: Path) -> None:
    run(load(job), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
