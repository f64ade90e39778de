"""Runs the trial of all candidates and the incumbent on the same newest rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_numpy
from aerocast.contracts.explanations import typical_rows
from aerocast.contracts.intervals import coverage
from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.models import by_horizon
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from aerocast.promotion import assembly, gate, halves, incumbents
from aerocast.promotion.decision import NO_CANDIDATE, NOBODY, Decision, Rival, decide
from aerocast.promotion.duel import Duel, compare
from aerocast.promotion.gate import Column
from aerocast.promotion.incumbents import Series
from aerocast.promotion.scoring import Score, score
from aerocast.releases import compatibility
from aerocast.releases.release import Release
from aerocast.tables.training import Samples

INCUMBENT = "incumbent"


@dataclass(frozen=True)
class Trial:
    """`scores` of every model on `rows` test rows between `start` and `end` (origins, UTC); `coverage` (kind -> H) of
    each one's own intervals; `forecasts` (kind -> (n, H)) beside the outcomes in `samples`. `entry` is the release as
    it would serve, one candidate; None if no model beats the baselines anywhere. `duel` is its comparison with the
    incumbent, if that could be scored. `typical` are the few earlier rows that its forecasts are explained against.
    """

    samples: Samples
    forecasts: dict[str, Floats]
    scores: list[Score]
    coverage: dict[str, list[float]]
    decision: Decision
    note: str
    duel: Duel | None = None
    entry: Candidate | None = None
    typical: Samples | None = None

    @property
    def start(self) -> np.datetime64:
        return np.datetime64(self.samples.time.min())

    @property
    def end(self) -> np.datetime64:
        return np.datetime64(self.samples.time.max())


@dataclass(frozen=True)
class Entrants:
    """Who is judged on the rows `test`: candidates by kind with their `forecasts` (n, H), and the incumbent, whose
    forecasts are `own` (n, H), NaN where it makes none; None if it could not be scored.
    """

    feed: Feed
    spec: WindowSpec
    test: Samples
    candidates: Mapping[str, Candidate]
    forecasts: Mapping[str, Floats]
    incumbent: Release | None
    own: Floats | None

    @cached_property
    def lacks(self) -> str:
        """What the incumbent does not do of what is declared, as a phrase."""
        if self.incumbent is None or self.own is None:
            return ""
        absent = [str(self.spec.horizons[at]) for at in np.flatnonzero(~np.isfinite(self.own).any(axis=0))]
        phrase = f"forecast {', '.join(absent)} steps ahead" if absent else ""
        return compatibility.lacks(self.incumbent.manifest, self.feed) or phrase

    @cached_property
    def stand_in(self) -> Candidate | None:
        """The incumbent as a candidate, if its forecasts can be columns of a new release."""
        if self.incumbent is None or self.own is None or self.lacks:
            return None
        promotion = self.feed.promotion
        return incumbents.as_candidate(self.incumbent, self.spec, promotion.coverage, promotion.quantiles)

    def candidate(self, name: str) -> Candidate:
        """The candidate behind a name in the scores."""
        return self.stand_in if name == INCUMBENT and self.stand_in else self.candidates[name]

    def all(self, forecasts: Mapping[str, Floats]) -> dict[str, Floats]:
        """Forecasts with the incumbent's, if it could be scored."""
        return {**forecasts} if self.own is None else {**forecasts, INCUMBENT: self.own}

    def score(self, forecasts: Mapping[str, Floats]) -> list[Score]:
        """Scores beside the incumbent, unless it lacks something: that is no reason to judge others on less."""
        every = dict(forecasts) if self.lacks else self.all(forecasts)
        return score(every, self.test.rows.y, self.test.station, self.spec.horizons)

    def rival(
        self, forecasts: Mapping[str, Floats], kind: str, scores: Sequence[Score], columns: Mapping[int, Column]
    ) -> tuple[Rival, Duel | None]:
        """The incumbent beside the release `kind`, which serves by `columns`, on what both forecast."""
        if self.incumbent is None:
            return NOBODY, None
        if self.own is None:
            return Rival(bar={at: each.skill for at, each in self.incumbent.manifest.metrics.horizons.items()}), None
        at = np.flatnonzero(np.isfinite(self.own).any(axis=0))
        horizons = [self.spec.horizons[each] for each in at]
        common = {name: levels[:, at] for name, levels in self.all(forecasts).items()}
        actual = self.test.rows.y[:, at]
        own_scores = score(common, actual, self.test.station, horizons) if self.lacks else scores
        common[kind] = self._halves(columns, forecasts[kind])[:, at]
        duel = compare(self.spec, self.test.time, actual, common, horizons, (INCUMBENT, kind))
        return Rival(INCUMBENT, own_scores, duel.comparison, self.lacks), duel

    def _halves(self, columns: Mapping[int, Column], levels: Floats) -> Floats:
        """What the test compares: `levels` (n, H), or where something stands in, what each half says of the other."""
        if not any(column.source == "challenger" for column in columns.values()):
            return levels
        challenger = {horizon: column.challenger for horizon, column in columns.items()}
        forecasts = dict(self.forecasts) if self.lacks else self.all(self.forecasts)
        incumbent, least = INCUMBENT if self.stand_in else None, self.feed.promotion.min_skill
        return halves.levels(self.test, self.spec.horizons, forecasts, challenger, columns, incumbent, least)


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
    if incumbent and old:
        note = f" The incumbent {incumbent.version} does not count: {'; '.join(old)}."
    own = None
    if serves and not note:
        try:
            own = _incumbent_levels(serves, spec, test, series or _no_series)
        except AeroCastError as error:
            note = f" The incumbent {serves.version} could not be scored: {error}"
    entrants = Entrants(feed, spec, test, {each.kind: each for each in candidates}, forecasts, serves, own)
    yardsticks = {each.kind for each in candidates if not each.graph or each.kind in BASELINES}
    able = [each for each in candidates if each.kind in forecasts]
    challenger, remark = assembly.choose(able, spec.horizons, yardsticks)
    trial = _judge(entrants, challenger, note + remark + remarks)
    typical = typical_rows(samples.time, samples.rows.x, test.time.min())
    return replace(trial, typical=samples.take(np.isin(np.arange(len(samples.time)), typical)))


def _judge(entrants: Entrants, challenger: Mapping[int, str], note: str) -> Trial:
    """The trial of a challenger, which is a kind at each horizon; what would serve is decided at each."""
    test, promotion, forecasts = entrants.test, entrants.feed.promotion, dict(entrants.forecasts)
    shares = {
        kind: coverage(each.intervals, test.rows.x, test.names, forecasts[kind], test.rows.y)
        for kind, each in entrants.candidates.items()
        if kind in forecasts
    }
    scores = entrants.score(forecasts)
    if not challenger:
        return Trial(test, entrants.all(forecasts), scores, shares, NO_CANDIDATE, note)
    name = INCUMBENT if entrants.stand_in else None
    columns = gate.pass_columns(scores, challenger, name, promotion.min_skill)
    entry, kind, levels, obstacle = _release(entrants, columns)
    if kind not in forecasts:
        forecasts[kind] = levels
        scores = entrants.score(forecasts)
    if entry:
        shares[kind] = coverage(entry.intervals, test.rows.x, test.names, levels, test.rows.y)
    rival, duel = entrants.rival(forecasts, kind, scores, columns)
    decision = decide(scores, promotion, kind, columns, rival, obstacle)
    decision = msgspec.structs.replace(decision, **_served(columns, entrants.incumbent) if entry else {})
    return Trial(test, entrants.all(forecasts), scores, shares, decision, note, duel, entry)


def _release(entrants: Entrants, columns: Mapping[int, Column]) -> tuple[Candidate | None, str, Floats, str]:
    """What would serve by `columns`: the candidate, its kind, its forecasts (n, H), and what is against it.

    Where the challenger beats the baselines nowhere there is no candidate, and its own forecasts stand for it.
    """
    serves = any(column.source == "challenger" for column in columns.values())
    models = [column.model if serves else column.challenger for column in columns.values()]
    every = entrants.all(entrants.forecasts)
    levels = np.stack([every[each][:, at] for at, each in enumerate(models)], axis=1)
    kind = models[0] if len(set(models)) == 1 else by_horizon.KIND
    if not serves:
        return None, kind, levels, ""
    parts = {horizon: entrants.candidate(each) for horizon, each in zip(columns, models, strict=True)}
    try:
        entry = by_horizon.assemble(parts, entrants.test.names)
        own = forecast(entry.graph, entrants.test.rows.x, entrants.test.names, entry.features)
        if not np.allclose(own, levels, rtol=1e-3, atol=1e-3 * float(np.nanstd(levels)), equal_nan=True):
            raise AeroCastError("the models in one graph forecast something else than each alone")
    except AeroCastError as error:
        return None, kind, levels, str(error)
    return entry, kind, own, ""


def _served(columns: Mapping[int, Column], incumbent: Release | None) -> dict[str, dict[int, str]]:
    """`kinds` and `served_by` of a decision."""
    kinds, served_by = {}, {}
    for horizon, column in columns.items():
        kinds[horizon] = column.model
        if column.source == "incumbent" and incumbent:
            kinds[horizon] = incumbent.manifest.kind_at(horizon)
            served_by[horizon] = f"{kinds[horizon]} of {incumbent.version}"
        elif column.source == "baseline":
            served_by[horizon] = column.model
    return {"kinds": kinds, "served_by": served_by}


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


def _incumbent_levels(incumbent: Release, spec: WindowSpec, test: Samples, series: Series) -> Floats:
    """(n, H) forecasts of the incumbent, NaN where it makes none. Raises AeroCastError if it makes none at all."""
    own = incumbents.levels(incumbent, spec, test, series)
    if not np.isfinite(own).any():
        raise AeroCastError("it forecasts none of the declared horizons")
    return own


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


def _fair_rows(test: Samples, spec: WindowSpec, incumbent: Release | None) -> tuple[Samples, str]:
    """The test rows that the incumbent did not learn from either; all of them, with a note, if there are none.

    Usually it learned from none: the newest share of a longer history begins later. A smaller share, or a source that
    was cut, makes a difference.
    """
    if incumbent is None:
        return test, ""
    mask = test.time > label_end(incumbent.manifest.lineage.end_before_trial, spec)
    if mask.any():
        return test.take(mask), ""
    return test, f" The incumbent {incumbent.version} learned from all these rows, so it could not be scored."
