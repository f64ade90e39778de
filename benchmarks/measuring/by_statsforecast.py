"""AutoETS, AutoTheta and MSTL of statsforecast, which roll over some origins of the test span.

Run as a script in an environment of its own: `by_statsforecast.py JOB OUT` writes a file a model in OUT, and prints
JSON: model -> why it has none. Each is fitted once, on the newest steps before the test span; at an origin it filters
the newest steps with these parameters (`forward`), so that no forecast is older than its readings.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # in place of this folder, whose `http.py` is not the library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from measuring.peer_job import LEVEL, Answer, Job, load

DAYS, MOST = 28, 1500  # of what an origin filters: so many days, but no more steps unless the season asks for them
ETS_SEASON = 24  # the longest that ETS takes


def models(job: Job, lowest: float) -> dict[str, Any]:
    """The models by name; `lowest` is the least value they learn from."""
    from statsforecast.models import MSTL, AutoETS, AutoTheta

    kind = "multiplicative" if lowest > 0 else "additive"
    # As R's stl does: a smooth curve is computed at some steps, and lines between them are good enough.
    jumps = dict.fromkeys(("trend_jump", "low_pass_jump"), max(1, job.day // 10))
    return {
        "AutoETS": AutoETS(season_length=job.day if job.day <= ETS_SEASON else 1),
        "AutoTheta": AutoTheta(season_length=job.day, decomposition_type=kind),
        "MSTL": MSTL(list(job.seasons), trend_forecaster=AutoETS(model="ZZN"), stl_kwargs=jumps),
    }


def context(job: Job) -> int:
    """Steps that an origin filters: four seasons at least, three of a very long one."""
    longest = job.seasons[-1]
    return max(min(4 * longest, max(3 * longest, MOST)), min(DAYS * job.day, MOST))


def roll(model: Any, job: Job) -> Answer:
    """Forecasts from each of the `rolling` test rows."""
    series, steps, season = job.filled, context(job), job.seasons[-1]
    end = int(job.learned[-1]) + 1
    start = max(0, end - 2 * steps)
    began = time.perf_counter()
    model.fit(series[start:end])
    fitted = time.perf_counter()
    shape = (len(job.test), len(job.horizons))
    levels, low, high = (np.full(shape, np.nan) for _ in range(3))
    level, at = round(100 * LEVEL), job.horizons - 1
    for row in job.rolling.tolist():
        origin = int(job.test[row]) + 1
        # Whole seasons after the fit's own start: the parameters of a season belong to its first step.
        first = start + max(0, origin - steps - start) // season * season
        window = np.ascontiguousarray(series[first:origin])
        ahead = model.forward(window, h=int(job.horizons[-1]), level=[level])
        levels[row], low[row], high[row] = ahead["mean"][at], ahead[f"lo-{level}"][at], ahead[f"hi-{level}"][at]
    return Answer(levels, low, high, fitted - began, time.perf_counter() - fitted)


def main(path: Path, out: Path) -> None:
    warnings.filterwarnings("ignore")
    job, absent = load(path), dict[str, str]()
    for name, model in models(job, float(job.filled.min())).items():
        try:
            roll(model, job).save(out / f"{name}.npz")
        except Exception as error:  # a library's own failure on a series is a finding, not the end
            absent[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(absent))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
