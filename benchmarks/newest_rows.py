"""What serves after a training, beside what its trial judged, on rows after all that either has learned.

`xgboost` is trained on the first 80 % of each recorded series (measuring/recorded.py) as the platform trains it, and
forecasts the rest: by the fit that was judged, by the one that serves, which has learned the judging rows as well, and
by the latter with intervals that follow its outcomes. MAE of persistence and seasonal naive stand beside them.
Coverage and Winkler score are of the 90 % interval. Of the fit that was judged they stand there without the trees that
its bounds follow, too: the score as a ratio to that with them, 1 where there are none. Those of the last one are also
after its first 500 outcomes, and then by the meteorological season of the outcome, where the rows meet more than one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

os.environ["OMP_NUM_THREADS"] = "1"

import msgspec
import numpy as np
from measuring.by_season import Coverage, by_season, summary
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
    "series", "steps", "persistence", "seasonal naive", "judged", "serving", "cover: no trees", "judged", "serving",
    "adapted", f"after {SETTLED}", "Winkler: no trees", "judged", "serving", "adapted",
)  # fmt: skip
SEASONAL_HEADER = ("series", "steps", "season", "outcomes", "coverage", "87 to 93 %")
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The figures of one series at one horizon, as they are shown, and the adapted coverage by season."""

    name: str
    horizon: int
    figures: list[str]
    seasons: list[Coverage]


def measure(name: str, seed: int) -> Iterator[Measured]:
    """Each horizon's. Raises Absent: the series is not there."""
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
        yield Measured(name, horizon, *_figures(prepared, made, later, at, horizon))


def _figures(
    prepared: Prepared, made: Candidate, later: NDArray[np.bool_], at: int, horizon: int
) -> tuple[list[str], list[Coverage]]:
    rows, spec, figures = prepared.samples.take(later), prepared.spec, []
    actual = rows.rows.y[:, at].astype(np.float64)
    known = np.isfinite(actual)
    names = list(rows.names)
    season = rows.rows.x[:, names.index(f"y_season{spec.season}_{horizon}")]
    for naive in (rows.rows.x[:, names.index("y_lag0")], season):
        figures.append(f"{np.nanmean(np.abs(naive - actual)):.3f}")
    assert made.newest is not None
    levels, ends = [], []
    plain = msgspec.structs.replace(made.intervals, trees=())
    pairs = ((made.graph, plain), (made.graph, made.intervals), (made.newest.graph, made.newest.intervals))
    for graph, intervals in pairs:
        level = forecast(graph, rows.rows.x, rows.names, made.features)
        distances = intervals.distances(level, rows.rows.x, rows.names)
        both = [intervals.levels.index(each) for each in bounds_of(intervals.level)]
        levels.append(level[:, at].astype(np.float64))
        ends.append(distances[:, at, both].astype(np.float64))
    figures += [f"{np.abs(level - actual)[known].mean():.3f}" for level in levels[1:]]
    level, (low, high) = levels[2], ends[2].T
    step = rows.time.astype("datetime64[s]").astype(np.int64) // spec.cadence
    factor, shift = (each[:-1] for each in path(spec.cadence, 0.9, horizon, step, actual - level, low, high))
    bounds = prepared.feed.column("y").bounds
    answers = [
        *(np.clip(own[:, None] + both, *bounds) for own, both in zip(levels, ends, strict=True)),
        np.clip(level[:, None] + ends[2] * factor[:, None] + shift[:, None], *bounds),
    ]
    inside = [(low <= actual) & (actual <= high) for low, high in (each.T for each in answers)]
    settled = known & (np.cumsum(known) > SETTLED)
    figures += [f"{each[known].mean():.1%}" for each in inside]
    without, judged, *others = (winkler(*answer[known].T, actual[known]) for answer in answers)
    ratios = [f"{score / judged:.3f} x" for score in others]
    figures += [f"{inside[3][settled].mean():.1%}", f"{without / judged:.3f} x", f"{judged:.4g}", *ratios]
    met = rows.time[settled] + horizon * np.timedelta64(spec.cadence, "s")
    return figures, list(by_season(met, spec.places[0], inside[3][settled]))


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--series", nargs="+", choices=list(RECORDED), default=list(RECORDED), metavar="NAME")
    asked = made.parse_args()
    measured: list[Measured] = []
    for name in asked.series:
        for seed in range(asked.rounds):
            try:
                measured += measure(name, seed)
            except Absent as reason:
                print(f"{name} is left out: {reason}")
                break
            print(f"{name} is measured with seed {seed}", flush=True)
    both = [[each.name, str(each.horizon)] for each in measured]
    rows = [[*first, *each.figures] for first, each in zip(both, measured, strict=True)]
    show("MAE, coverage and Winkler score after the training", HEADER, rows)
    cells = [[*first, *own.cells()] for first, each in zip(both, measured, strict=True) for own in each.seasons]
    show(f"coverage of adapted intervals by season, after {SETTLED} outcomes", SEASONAL_HEADER, cells)
    print(summary([own for each in measured for own in each.seasons]))


if __name__ == "__main__":
    main()
