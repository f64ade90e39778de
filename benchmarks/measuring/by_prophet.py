"""Prophet with its own settings and the declared holidays, fitted once before the test span.

Run as a script in an environment of its own: `by_prophet.py JOB OUT` writes `Prophet.npz` in OUT. It draws a trend and
seasons through all that may be learned, and takes no newest readings, so that every horizon is forecast alike.
"""

import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # in place of this folder, whose `http.py` is not the library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from measuring.peer_job import DAY, LEVEL, Answer, Job, load

NAME = "Prophet"
MOST = 20_000  # newest steps that are learned: more cost minutes
DRAWS = 200  # for its intervals
PIECE = 5_000  # targets at a time


def holidays(job: Job) -> Any:
    """Prophet's table of holidays; None if there are none."""
    import pandas as pd

    days = np.unique(job.local[job.holiday] // DAY)
    return pd.DataFrame({"holiday": "public", "ds": pd.to_datetime(days, unit="D")}) if len(days) else None


def run(job: Job, out: Path) -> None:
    import pandas as pd
    from prophet import Prophet  # in an environment of its own

    began = time.perf_counter()
    rows = np.arange(max(0, int(job.learned[-1]) + 1 - MOST), int(job.learned[-1]) + 1)
    past = pd.DataFrame({"ds": pd.to_datetime(job.local[rows], unit="s"), "y": job.measured[rows]})
    model = Prophet(interval_width=LEVEL, uncertainty_samples=DRAWS, holidays=holidays(job)).fit(past)
    fitted = time.perf_counter()
    targets = job.test[:, None] + job.horizons
    steps, index = np.unique(targets, return_inverse=True)
    stamps = pd.DataFrame({"ds": pd.to_datetime(job.local[steps], unit="s")})
    np.random.seed(0)  # Prophet draws from numpy's global state
    ahead = pd.concat([model.predict(stamps[at : at + PIECE]) for at in range(0, len(stamps), PIECE)])
    parts = (ahead[name].to_numpy()[index].reshape(targets.shape) for name in ("yhat", "yhat_lower", "yhat_upper"))
    Answer(*parts, fitted - began, time.perf_counter() - fitted).save(out / f"{NAME}.npz")


def main(job: Path, out: Path) -> None:
    for name in ("prophet", "cmdstanpy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    run(load(job), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
