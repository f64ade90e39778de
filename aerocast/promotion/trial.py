"""Runs the trial of all candidates and the incumbent on the same newest rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_numpy
from aerocast.contracts.intervals import coverage
from aerocast.features.grid import Floats, Grid, Times, WindowSpec
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.feed.model_kind import model
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from aerocast.promotion import incumbents
from aerocast.promotion.decision import Decision, decide
from aerocast.promotion.diebold_mariano import Comparison, diebold_mariano
from aerocast.promotion.incumbents import Series
from aerocast.promotion.scoring import Score, losses, score
from aerocast.releases import compatibility
from aerocast.releases.release import Release
from aerocast.tables.training import Samples

INCUMBENT = "incumbent"


@dataclass(frozen=True)
class Trial:
    """`scores` of every model on `rows` test rows between `start` and `end` (origins, UTC); `coverage` (kind -> H) of
    each one's own intervals; `forecasts` (kind -> (n, H)) beside the outcomes in `samples`; `duel` is the best
    candidate's with the incumbent, if that could be scored.
    """

    samples: Samples
    forecasts: dict[str, Floats]
    scores: list[Score]
    coverage: dict[str, list[float]]
    decision: Decision
    note: str
    duel: "Duel | None" = None

    @property
    def start(self) -> np.datetime64:
        return np.datetime64(self.samples.time.min())

    @property
    def end(self) -> np.datetime64:
        return np.datetime64(self.samples.time.max())


@dataclass(frozen=True)
class Duel:
    """Incumbent and challenger at each instant (n,) of the cadence, stations and horizons averaged; NaN is unknown.

    Losses are shares of the composite: the mean of `incumbent` less `challenger` is by how much the composite falls.
    """

    time: Times
    incumbent: NDArray[np.float64]
    challenger: NDArray[np.float64]
    comparison: Comparison


def run_trial(
    feed: Feed,
    spec: WindowSpec,
    samples: Samples,
    candidates: Sequence[Candidate],
    incumbent: Release | None,
    since: datetime | None = None,
    series: Series | None = None,
) -> Trial:
    """Scores candidates and incumbent on the newest share of time, which none of them learned from, and decides.

    Where a regime began (`since`, or as the candidates were trained), it is the newest share of that regime.
    An incumbent of another declaration is scored on what it and the candidates both forecast; `series` is where its
    features are made from. One that cannot answer for the feed any more does not count; the note says so.

    Raises:
        AeroCastError: no test rows, or a baseline is missing.
    """
    old = compatibility.incompatibilities(incumbent.manifest, feed) if incumbent else []
    serves = None if old else incumbent
    test, note = _fair_rows(samples.take(_test_rows(feed, spec, samples, candidates, since)), spec, serves)
    forecasts, remarks = _forecasts(candidates, test)
    intervals = {each.kind: each.intervals for each in candidates}
    shares = {
        kind: coverage(intervals[kind], test.rows.x, test.names, levels, test.rows.y)
        for kind, levels in forecasts.items()
    }
    yardsticks = {each.kind for each in candidates if not each.graph or model(each.kind).is_baseline}
    if incumbent and old:
        note = f" The incumbent {incumbent.version} does not count: {'; '.join(old)}."
    elif serves and not note:
        try:
            own = incumbents.levels(serves, spec, test, series or _no_series)
            return _trial_with_incumbent(feed, spec, test, forecasts, shares, serves, own, yardsticks, remarks)
        except AeroCastError as error:
            note = f" The incumbent {serves.version} could not be scored: {error}"
    scores = score(forecasts, test.rows.y, test.station, spec.horizons)
    bar = {at: each.skill for at, each in serves.manifest.metrics.horizons.items()} if serves else None
    decision = decide(scores, feed.promotion, bar=bar, yardsticks=yardsticks)
    return Trial(test, forecasts, scores, shares, decision, note + remarks)


def _forecasts(candidates: Sequence[Candidate], test: Samples) -> tuple[dict[str, Floats], str]:
    """(n, H) forecasts of each candidate, and remarks on those that have no graph."""
    forecasts, remarks = {}, ""
    for each in candidates:
        if each.forecasts is None:
            forecasts[each.kind] = forecast(each.graph, test.rows.x, test.names, each.features)
            continue
        try:
            forecasts[each.kind] = each.forecasts.levels_of(test.station, test.time)
            remarks += f" {each.kind} was scored, and is never promoted: it has no ONNX graph, so it cannot serve."
        except AeroCastError as error:
            remarks += f" {each.kind} was not scored: {error}."
    return forecasts, remarks


def _trial_with_incumbent(
    feed: Feed,
    spec: WindowSpec,
    test: Samples,
    forecasts: dict[str, Floats],
    shares: dict[str, list[float]],
    incumbent: Release,
    own: Floats,
    yardsticks: Collection[str],
    remarks: str,
) -> Trial:
    """The trial of candidates and an incumbent whose forecasts are `own` (n, H), NaN where it makes none."""
    both, lacks = {**forecasts, INCUMBENT: own}, compatibility.lacks(incumbent.manifest, feed)
    mask = np.isfinite(own)
    at = np.flatnonzero(mask.any(axis=0))
    if not len(at):
        raise AeroCastError("it forecasts none of the declared horizons")
    horizons = [spec.horizons[each] for each in at]
    common = {kind: levels[:, at] for kind, levels in both.items()}
    actual = test.rows.y[:, at]
    common_scores = score(common, actual, test.station, horizons)
    # What the incumbent does not forecast is no reason to judge the candidates on less.
    scores = score(forecasts, test.rows.y, test.station, spec.horizons) if lacks else common_scores
    duels = _duels(spec, test.time, actual, common, horizons, yardsticks)
    proof = {kind: duel.comparison for kind, duel in duels.items()}
    decision = decide(scores, feed.promotion, INCUMBENT, proof, common_scores, lacks, yardsticks=yardsticks)
    return Trial(test, both, scores, shares, decision, remarks, duels.get(decision.winner or ""))


def _no_series(window: WindowSpec, months: Sequence[str]) -> dict[str, Grid]:
    raise AeroCastError("it was trained by another declaration")


def _test_rows(
    feed: Feed, spec: WindowSpec, samples: Samples, candidates: Sequence[Candidate], since: datetime | None
) -> NDArray[np.bool_]:
    """Rows (n,) that are `test`, and later than all that each candidate learned.

    Usually all were trained by one split; where some were trained for a new regime and others not, all splits hold.

    Raises:
        AeroCastError: no row is left.
    """
    mask = np.ones(len(samples.time), dtype=bool)
    for start in {since} if since else {each.since for each in candidates} or {None}:
        mask &= roles(feed, spec, samples, start) == Role.TEST
    for each in candidates:
        mask &= samples.time > label_end(each.end, spec)
    if not mask.any():
        raise AeroCastError("judging: no rows are left that every candidate has not seen; train them all again")
    return mask


def label_end(end: datetime, spec: WindowSpec) -> np.datetime64:
    """The newest target time among a training's labels, `end` being its newest origin."""
    reach = spec.horizons[-1] * np.timedelta64(spec.cadence, "s")
    return to_numpy(end) + reach


def _duels(
    spec: WindowSpec,
    times: Times,
    actual: Floats,
    forecasts: Mapping[str, Floats],
    horizons: Sequence[int],
    yardsticks: Collection[str] = BASELINES,
) -> dict[str, Duel]:
    """Each candidate against the incumbent, instant by instant, on the rows (n,) and horizons that the scores count."""
    step = np.timedelta64(spec.cadence, "s")
    time = np.arange(times.min(), times.max() + step, step)
    index = ((times - time[0]) // step).astype(np.int64)
    duels = {}
    for kind in forecasts.keys() - {INCUMBENT, *yardsticks}:
        both = losses(forecasts, actual, (INCUMBENT, kind))
        champion, challenger = (_average(loss, index, len(time)) for loss in both)
        duels[kind] = Duel(time, champion, challenger, diebold_mariano(champion, challenger, horizons[-1] - 1))
    return duels


def _average(loss: NDArray[np.float64], index: NDArray[np.int64], instants: int) -> NDArray[np.float64]:
    """Averages (n, H) losses by instant, scaled so that their mean is the mean over horizons of the mean over rows."""
    mask = np.isfinite(loss)
    share = np.where(mask, loss, 0) / mask.sum(axis=0)
    sums = np.bincount(index, share.mean(axis=1), minlength=instants)
    has_loss = np.bincount(index, mask.any(axis=1), minlength=instants) > 0
    return np.where(has_loss, sums * has_loss.sum(), np.nan)


def _fair_rows(test: Samples, spec: WindowSpec, incumbent: Release | None) -> tuple[Samples, str]:
    """The test rows that the incumbent did not learn from either; all of them, with a note, if there are none.

    Usually it learned from none: the newest share of a longer history begins later. A smaller share, or a source that
    was cut, makes a difference.
    """
    if incumbent is None:
        return test, ""
    mask = test.time > label_end(incumbent.manifest.lineage.training_end, spec)
    if mask.any():
        return test.take(mask), ""
    return test, f" The incumbent {incumbent.version} learned from all these rows, so it could not be scored."
