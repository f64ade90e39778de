"""Tests whether the errors of the serving release have grown beyond what season and weather allow.

Two tests decide, each over several spans of newest outcomes that their names end in. `error_ratio`: how much errors
grew against the release's own test figures, against how much persistence's grew on the same rows; weather that is
harder for everyone is no drift. `foreseeable`: how much of the RMSE a correction that was possible in advance saves
(`learnable`). The others tell when and how: Page-Hinkley (Page 1954), ADWIN (Bifet and Gavalda 2007) and the coverage
of the intervals fire in hard weather, too, so they never decide alone.

Hours depend on one another, so no threshold is a p-value: each is set where quiet years of other series stay below it
(benchmarks/calibration.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import NormalDist
from typing import Any

import numpy as np

from aerocast.contracts.drift_state import Evidence
from aerocast.contracts.manifest import Manifest, Scores
from aerocast.features.grid import Ints, Times
from aerocast.monitoring.drift import learnable
from aerocast.monitoring.drift.profile import DAY, Flags, Indices, Reals

MIN_OUTCOMES = 24  # fewer target times say nothing
SPANS = (72, 168, 320)  # newest target times that a test looks at: days for what is gross, weeks for what is fine
# Largest in 28 quiet series-years, each day examined: 1.48, 1.26, 1.15.
RATIO = {72: 1.85, 168: 1.45, 320: 1.32}
# The same at the shortest horizon alone, where most outcomes are independent: 2.14, 1.79, 1.63 (holidays of a grid).
NEAREST_RATIO = {72: 2.6, 168: 1.9, 320: 1.65}
# Largest share of an RMSE foreseeable in the same years: 0.25, 0.14, 0.10; that of drifts a fortnight old: 0.1 to 0.7.
FORESEEABLE = {72: 0.27, 168: 0.14, 320: 0.10}
# Times these limits in a season that the release never learned. On 16 calibration seasons: false alarms 9 -> 5,
# retrains 11 -> 3, for 12 readings more until a heatwave is found.
STRANGE = 1.25
SHORTEST = 28  # steps that a daily feed must bring for the coarsest test
SHORT_RATIO = 2.5  # fewer outcomes, more chance: for a span below the first of SPANS
PAGE_HINKLEY = 190.0  # standardised squares above their mean so far, summed: quiet series reach 189
PH_SLACK = 0.5  # a square this much above the mean does not count
ADWIN_DELTA = 1e-6  # far below 0.002, its default for independent values
ADWIN_SQUARE = 2.0  # mean square of standardised residuals that no quiet month has after a cut
COVERAGE_SLACK = 0.08  # coverage that even calm weeks may lack
SQUARES = 9.0  # a square counts at most as three standard deviations


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Of one (target, station), of the release that serves now only, no shadow; oldest first by `time`.

    `time` (n,) target times; `horizon` (n,) steps; `error` (n,) actual - forecast in the target's unit; `low` and
    `high` (n,) where the forecast's own interval at `level` ends, less the forecast; `baseline` (n,) actual -
    persistence on the same row, NaN where unknown.
    """

    time: Times
    horizon: Ints
    error: Reals
    low: Reals
    high: Reals
    baseline: Reals
    level: float

    @property
    def half(self) -> Reals:
        """(n,) half widths of the intervals."""
        return (self.high - self.low) / 2

    @property
    def inside(self) -> Flags:
        """(n,) whether the outcome lies in its interval."""
        return (self.low <= self.error) & (self.error <= self.high)

    def at(self, rows: Flags) -> "Outcomes":
        return Outcomes(
            self.time[rows],
            self.horizon[rows],
            self.error[rows],
            self.low[rows],
            self.high[rows],
            self.baseline[rows],
            self.level,
        )


@dataclass(frozen=True)
class ErrorVerdict:
    """The result of the error tests. `onset` is when errors began to grow; figures are None without outcomes."""

    is_drift: bool
    onset: np.datetime64 | None
    rmse: float | None
    expected_rmse: float | None
    coverage: float | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, eq=False)
class _Horizon:
    """One horizon's outcomes (n,): step numbers, errors and persistence's, clipped standardised residuals."""

    horizon: int
    step: Indices
    seconds: Indices
    error: Reals
    baseline: Reals
    z: Reals
    regressors: Reals
    rmse: float
    easy: float


def error_verdict(
    outcomes: Outcomes, manifest: Manifest, station: str, recent: int, *, strange: bool = False
) -> ErrorVerdict:
    """Every test on the errors; `recent` is how many newest target times the figures are of.

    `strange` says that the release never learned this season, so that more must be allowed.
    """
    usable = np.isfinite(outcomes.error) & np.isfinite(outcomes.half)
    outcomes = outcomes if usable.all() else outcomes.at(usable)
    times = np.unique(outcomes.time)
    if not len(times):
        return ErrorVerdict(False, None, None, None, None, ())
    figures = _figures(outcomes, times, manifest, station, recent)
    parts = _parts(outcomes, manifest, station)
    if len(times) < MIN_OUTCOMES or not parts:
        return ErrorVerdict(False, None, *figures, ())
    evidence, is_drift = [], False
    spans = [span for span in SPANS if span <= len(times)] or [min(len(times), max(SHORTEST, recent))]
    for span in spans:
        evidence_of_span = _span(parts, times, span, manifest.target, STRANGE if strange else 1.0)
        is_drift = is_drift or any(each.fired for each in evidence_of_span)
        evidence += evidence_of_span
    onset, sequential = _sequential(parts[0], manifest.target)
    evidence += [*sequential, _coverage(outcomes, times, manifest.target)]
    return ErrorVerdict(is_drift, onset, *figures, tuple(evidence))


def standard_scores(outcomes: Outcomes) -> Reals:
    """(n,) errors in the standard deviations that their intervals claim."""
    width = NormalDist().inv_cdf((1 + outcomes.level) / 2)
    return np.asarray(outcomes.error, dtype=np.float64) / np.maximum(outcomes.half / width, 1e-9)


def rms(values: Reals) -> float:
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(finite**2))) if len(finite) else float("nan")


def _scores(manifest: Manifest, station: str, horizon: int) -> Scores | None:
    """Test figures of the station, or of all stations where it has none of its own."""
    own = manifest.metrics.stations.get(station, {}).get(horizon)
    return own or manifest.metrics.horizons.get(horizon)


def allowed_rmse(rmse: float, easy: float, now: float) -> float:
    """The RMSE that weather allows a model of test RMSE `rmse`, when the baseline's went from `easy` to `now`.

    Errors may grow as the baseline's did; or, as new weather adds the same to both and a baseline's error holds the
    usual day besides, by as much in squares. The larger of the two; NaN for `now` allows nothing more.
    """
    if not np.isfinite(now) or now <= easy:
        return rmse
    return max(rmse * now / easy, float(np.sqrt(rmse**2 + now**2 - easy**2)))


def _easy(scores: Scores) -> float:
    """RMSE of the better baseline on the test rows."""
    return scores.rmse / max(1 - scores.skill, 1e-3)


def _parts(outcomes: Outcomes, manifest: Manifest, station: str) -> list[_Horizon]:
    """Horizons that the manifest has figures of, shortest first, with what was foreseeable for each row."""
    z = np.clip(standard_scores(outcomes), -learnable.CLIP, learnable.CLIP)
    cadence = manifest.window.cadence
    seconds = outcomes.time.astype("datetime64[s]").astype(np.int64)
    step = seconds // cadence
    day = max(2, DAY // cadence) if cadence < DAY else max(2, manifest.window.season)
    nearest = outcomes.horizon == outcomes.horizon.min()
    path = learnable.follow_path(step[nearest], outcomes.baseline[nearest]) if outcomes.horizon.min() == 1 else None
    parts = []
    for horizon in np.unique(outcomes.horizon):
        scores = _scores(manifest, station, int(horizon))
        if scores is None:
            continue
        own = outcomes.horizon == horizon
        blocks = [learnable.clock_waves(seconds[own])] if cadence < DAY / 4 else []
        if path is not None:
            blocks.append(learnable.path_features(path, step[own], int(horizon), day))
        table = np.hstack(blocks) if blocks else np.empty((int(own.sum()), 0))
        error, baseline = (np.asarray(each[own], dtype=np.float64) for each in (outcomes.error, outcomes.baseline))
        figures = scores.rmse, _easy(scores)
        parts.append(_Horizon(int(horizon), step[own], seconds[own], error, baseline, z[own], table, *figures))
    return parts


def _span(parts: Sequence[_Horizon], times: Times, span: int, target: str, slack: float) -> list[Evidence]:
    """Both deciding tests over the newest `span` target times, the mean over horizons; `slack` times their limits."""
    since = int(times[-min(span, len(times))].astype("datetime64[s]").astype(np.int64))
    growth, weather, excess, savings = [], [], [], []
    for part in parts:
        rows = part.seconds >= since
        if rows.sum() < min(span, MIN_OUTCOMES * 2) / 2:
            continue
        growth.append(rms(part.error[rows]) / part.rmse)
        easy = rms(part.baseline[rows])
        weather.append(easy / part.easy if np.isfinite(easy) else 1.0)
        excess.append(growth[-1] * part.rmse / allowed_rmse(part.rmse, part.easy, easy))
        share = learnable.rmse_saving(_foreseeable_share(part, rows, since, span))
        savings.append(share * growth[-1] / max(1.0, weather[-1]))
    if not excess:
        return []
    limit, name = slack * RATIO.get(span, SHORT_RATIO), str(span) if span in RATIO else "short"
    ratio, near = float(np.mean(excess)), excess[0]
    nearest = slack * NEAREST_RATIO.get(span, SHORT_RATIO * 1.4)
    detail = (
        f"over {span} steps errors are {np.mean(growth):.2f} times those of the release's test, "
        f"persistence's {np.mean(weather):.2f} times"
    )
    alone = "the shortest horizon alone"
    evidence = [
        Evidence(f"error_ratio_{name}", target, ratio, limit, ratio > limit, detail),
        Evidence(f"error_ratio_nearest_{name}", target, near, nearest, near > nearest, f"{detail}; {alone}"),
    ]
    if span in FORESEEABLE:
        saving, threshold = float(np.mean(savings)), slack * FORESEEABLE[span]
        detail = f"over {span} steps errors worth {saving:.2f} times the usual RMSE were foreseeable"
        evidence.append(Evidence(f"foreseeable_{span}", target, saving, threshold, saving > threshold, detail))
    return evidence


def _foreseeable_share(part: _Horizon, rows: Flags, since: int, span: int) -> float:
    own = part.seconds[rows]
    regressors = part.regressors[rows]
    if own[-1] - own[0] < learnable.DAYS * DAY and regressors.shape[1] > 4 and span > SPANS[0]:
        regressors = regressors[:, 4:]  # too few days to know what an hour of the day does
    if not regressors.shape[1] or rows.sum() < MIN_OUTCOMES:
        return 0.0
    length = max(1, (int(own[-1]) - since + 1) // learnable.BLOCKS)
    return learnable.foreseeable_share(part.z[rows], regressors, (own - since) // length)


def _sequential(part: _Horizon, target: str) -> tuple[np.datetime64 | None, list[Evidence]]:
    """Page-Hinkley and ADWIN on the squares of the shortest horizon, and where those began to be larger."""
    detectors: Any = import_module("river.drift")  # half a second, and only an examination needs it
    squares = np.minimum(part.z**2, SQUARES)
    hinkley = detectors.PageHinkley(
        min_instances=MIN_OUTCOMES, delta=PH_SLACK, threshold=PAGE_HINKLEY, alpha=1.0, mode="up"
    )
    adwin = detectors.ADWIN(delta=ADWIN_DELTA)
    rose = has_cut = False
    for value in squares.tolist():
        hinkley.update(value)
        adwin.update(value)
        rose, has_cut = rose or hinkley.drift_detected, has_cut or adwin.drift_detected
    # The same sum as river's, which it does not show.
    total = np.cumsum(squares - np.cumsum(squares) / np.arange(1, len(squares) + 1) - PH_SLACK)
    height = float(np.max((total - np.minimum.accumulate(total))[MIN_OUTCOMES - 1 :], initial=0.0))
    detail = f"squares of standardised residuals rose by {height:.0f} in all above their mean, {part.horizon} ahead"
    newest = float(adwin.estimation)
    split = "cut" if has_cut else "not cut"
    # The mean seems to have risen where the sum of departures from it is least.
    onset = min(int(np.argmin(np.cumsum(squares - squares.mean()))) + 1, len(squares) - 1)
    adwin_detail = f"{split}; the newest {adwin.width:.0f} residuals have a mean square of {newest:.2f}"
    return np.datetime64(int(part.seconds[onset]), "s"), [
        Evidence("page_hinkley", target, height, PAGE_HINKLEY, bool(rose), detail),
        Evidence("adwin", target, newest, ADWIN_SQUARE, bool(has_cut and newest > ADWIN_SQUARE), adwin_detail),
    ]


def _coverage(outcomes: Outcomes, times: Times, target: str) -> Evidence:
    """Share inside the intervals, against their level less three standard errors of days and a slack."""
    rows = outcomes.time >= times[-min(SPANS[-1], len(times))]
    inside = outcomes.inside[rows]
    days = outcomes.time[rows].astype("datetime64[D]").astype(np.int64)
    _, which = np.unique(days, return_inverse=True)
    # Hours of a day miss together, so days, not hours, are the cases that a standard error counts.
    daily = np.bincount(which, inside) / np.bincount(which)
    wrong = float(np.std(daily)) / np.sqrt(max(1, len(daily)))
    share, least = float(np.mean(inside)), float(outcomes.level - COVERAGE_SLACK - 3 * wrong)
    detail = f"{share:.0%} of {int(rows.sum())} outcomes lie in their {outcomes.level:.0%} interval"
    return Evidence("coverage", target, share, least, bool(share < least), detail)


def _figures(
    outcomes: Outcomes, times: Times, manifest: Manifest, station: str, recent: int
) -> tuple[float, float | None, float]:
    """RMSE of the newest outcomes at the first horizon, what season and weather allow there, and all their coverage."""
    newest = outcomes.at(outcomes.time >= times[-min(recent, len(times))])
    first = newest.at(newest.horizon == newest.horizon.min())
    share = float(np.mean(newest.inside))
    scores = _scores(manifest, station, int(first.horizon[0]))
    if scores is None:
        return rms(first.error), None, share
    return rms(first.error), allowed_rmse(scores.rmse, _easy(scores), rms(first.baseline)), share
