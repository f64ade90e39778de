"""What serves after a training, beside what its trial judged, on rows after all that either has learned.

`xgboost` is trained on the first 80 % of each recorded series (measuring/recorded.py) as the platform trains it, and
forecasts the rest: by the fit that was judged, by the one that serves, which has learned the judging rows as well, and
by the latter with intervals that follow its outcomes. MAE of persistence and seasonal naive stand beside them.
Coverage and Winkler score are of the 90 % interval; those of the last one after its first 500 outcomes, too.
"""

import os
from collections.abc import Iterator

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from measuring.feeds import Prepared, prepare_series
from measuring.marks import winkler
from measuring.recorded import RECORDED, Absent
from measuring.spread import parser
from measuring.table import show
from numpy.typing import NDArray

from aerocast.contracts.intervals import bounds_of
from aerocast.feed.model_kind import silent
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.trainer import train
from aerocast.monitoring.evaluation.adapting import path

PAST = 0.8
SETTLED = 500  # outcomes
HEADER = (
    "series", "steps", "persistence", "seasonal naive", "judged", "serving", "cover: judged", "serving", "adapted",
    f"after {SETTLED}", "Winkler: judged", "serving", "adapted",
)  # fmt: skip
Reals = NDArray[np.float64]


def measure(name: str, seed: int) -> Iterator[list[str]]:
    """A row a horizon. Raises Absent: the series is not there."""
    recorded = RECORDED[name]
    feed = recorded.feed("".join(each for each in name.lower() if each.isalnum()))
    feed = feed.model_copy(update={"candidates": {**feed.candidates, "xgboost": {"seed": seed}}})
    prepared = prepare_series(feed, recorded.series())
    spec, time = prepared.spec, prepared.samples.time
    end = np.quantile(time.astype(np.int64), PAST).astype("datetime64[s]")
    made = train(feed, spec.target, "xgboost", prepared.windows.filter(f"time < TIMESTAMPTZ '{end}Z'"), silent)
    reach = spec.horizons[-1] * np.timedelta64(spec.cadence, "s")
    later = time > end + reach
    for at, horizon in enumerate(spec.horizons):
        yield [name, str(horizon), *_figures(prepared, made, later, at, horizon)]


def _figures(prepared: Prepared, made: Candidate, later: NDArray[np.bool_], at: int, horizon: int) -> Iterator[str]:
    rows, spec = prepared.samples.take(later), prepared.spec
    actual = rows.rows.y[:, at].astype(np.float64)
    known = np.isfinite(actual)
    names = list(rows.names)
    season = rows.rows.x[:, names.index(f"y_season{spec.season}_{horizon}")]
    for naive in (rows.rows.x[:, names.index("y_lag0")], season):
        yield f"{np.nanmean(np.abs(naive - actual)):.3f}"
    assert made.newest is not None
    levels, ends = [], []
    for graph, intervals in ((made.graph, made.intervals), (made.newest.graph, made.newest.intervals)):
        level = forecast(graph, rows.rows.x, rows.names, made.features)
        distances = intervals.distances(level, rows.rows.x, rows.names)
        both = [intervals.levels.index(each) for each in bounds_of(intervals.level)]
        levels.append(level[:, at].astype(np.float64))
        ends.append(distances[:, at, both].astype(np.float64))
    for level in levels:
        yield f"{np.abs(level - actual)[known].mean():.3f}"
    level, (low, high) = levels[1], ends[1].T
    step = rows.time.astype("datetime64[s]").astype(np.int64) // spec.cadence
    factor, shift = (each[:-1] for each in path(spec.cadence, 0.9, horizon, step, actual - level, low, high))
    bounds = prepared.feed.column("y").bounds
    answers = [
        np.clip(levels[0][:, None] + ends[0], *bounds),
        np.clip(level[:, None] + ends[1], *bounds),
        np.clip(level[:, None] + ends[1] * factor[:, None] + shift[:, None], *bounds),
    ]
    settled = known & (np.cumsum(known) > SETTLED)
    for (low, high), own in zip(
        (each.T for each in (*answers, answers[2])), (known, known, known, settled), strict=True
    ):
        yield f"{np.mean((low <= actual) & (actual <= high), where=own):.1%}"
    first = winkler(*answers[0][known].T, actual[known])
    yield f"{first:.4g}"
    for answer in answers[1:]:
        yield f"{winkler(*answer[known].T, actual[known]) / first:.3f} x"


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--series", nargs="+", choices=list(RECORDED), default=list(RECORDED), metavar="NAME")
    asked = made.parse_args()
    rows = []
    for name in asked.series:
        for seed in range(asked.rounds):
            try:
                rows += list(measure(name, seed))
            except Absent as reason:
                print(f"{name} is left out: {reason}")
                break
            print(f"{name} is measured with seed {seed}", flush=True)
    show("MAE, coverage and Winkler score after the training", HEADER, rows)


if __name__ == "__main__":
    main()
