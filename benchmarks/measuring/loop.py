"""The closed loop in process, in the product's order: forecast, outcome, examination, heat, decision, retrain, swap.

No Dagster, lake or server, but the domain's own functions throughout. Every `every` steps the newest outcomes are
examined. Readings of a believed sensor fault become missing from then on, for forecasts and for training alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.drift_state import Diagnosis, Fault, Heat
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Grid, Ints, WindowSpec
from aerocast.features.windows import valid_origins
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift import heat as heating
from aerocast.monitoring.drift.examine import Outcomes, Profile, examine, profile, steps_needed
from aerocast.retraining import policy as retraining
from aerocast.retraining.memory import LastRun, Outcome, RetrainMemory
from measuring.champions import Champion, first_aid, learn, utc
from measuring.series import STATION, Series, grid

KEPT = 60 * 24  # newest live origins whose outcomes an examination is given, as evaluation keeps two months


@dataclass(frozen=True)
class Examined:
    """One examination, after the reading of row `at`."""

    at: int
    diagnosis: Diagnosis
    open: tuple[Fault, ...]
    hot: bool


@dataclass(frozen=True)
class Retrain:
    """One retrain, or first aid, started after row `at`."""

    at: int
    promoted: bool
    reason: str
    first_aid: bool = False


@dataclass(eq=False)
class Live:
    """What the loop did over the rows of a series from `start` on; forecast arrays are (rows, H), NaN before `start`.

    `low` and `high` are the ends of the intervals, less the forecast; `persistence` and `seasonal` are the baselines'
    forecasts from the same rows.
    """

    start: int
    forecast: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    persistence: NDArray[np.float64]
    seasonal: NDArray[np.float64]
    version: NDArray[np.int64]
    edges: list[int] = field(default_factory=list)
    examined: list[Examined] = field(default_factory=list)
    retrains: list[Retrain] = field(default_factory=list)

    @classmethod
    def empty(cls, start: int, rows: int, horizons: int) -> "Live":
        made = [np.full((rows, horizons), np.nan) for _ in range(5)]
        return cls(start, *made, np.full(rows, -1, dtype=np.int64))


def outcome_errors(
    target: NDArray[np.float64], forecast: NDArray[np.float64], horizons: Sequence[int]
) -> NDArray[np.float64]:
    """actual - forecast (n, H) at the rows of the origins; NaN where the outcome is not known."""
    padded = np.concatenate([target, np.full(horizons[-1], np.nan)])
    actual = padded[np.arange(len(target))[:, None] + np.array(horizons)]
    errors: NDArray[np.float64] = actual - forecast
    return errors


class Loop:
    """One feed of one station that lives from row `start` of what is measured."""

    def __init__(
        self, feed: Feed, measured: Series, start: int, champion: Champion, every: int, first_aid: bool = True
    ) -> None:
        self.feed, self.measured, self.every, self.first_aid = feed, measured, every, first_aid
        self.spec, self.champion = WindowSpec.of(feed, feed.targets[0]), champion
        self.live = Live.empty(start, len(measured.time), len(feed.horizons))
        self.believed = measured.values.copy()  # with the readings of sensor faults taken out
        self.heat, self.memory = Heat(self.spec.target), RetrainMemory()
        self.faults: tuple[Fault, ...] = ()
        self.last: LastRun | None = None
        self.served = 0
        self.reference = self._reference(start)

    def run(self) -> Live:
        rows = len(self.measured.time)
        for at in range(self.live.start, rows - self.every + 1, self.every):
            end = at + self.every
            self._forecast(np.arange(at, end))
            self._examine(end)
        return self.live

    def _reference(self, upto: int) -> Profile:
        """The champion's training span, as the platform's tables hold it after `upto` rows."""
        lineage = self.champion.release.manifest.lineage
        first, last = (
            np.datetime64(t.replace(tzinfo=None), "s") for t in (lineage.training_start, lineage.end_before_trial)
        )
        time = self.measured.time[:upto]
        own = (time >= first - self.spec.look_back * np.timedelta64(self.spec.cadence, "s")) & (time <= last)
        past = Series(time[own], self.measured.columns, self.believed[:upto][own])
        return profile(self.feed, grid(past, self.feed.gap_policy.max_steps))

    def _near(self, values: NDArray[np.float64], end: int, rows: int) -> Grid:
        """The grid's newest rows before row `end`."""
        first = max(0, end - rows - self.feed.gap_policy.max_steps)
        series = Series(self.measured.time[first:end], self.measured.columns, values[first:end])
        return grid(series, self.feed.gap_policy.max_steps).tail(rows)

    def _forecast(self, rows: Ints) -> None:
        """Forecasts from each of these rows as it arrives: open faults are known, later ones are not."""
        for fault in self.faults:
            if fault.end is None:
                self.believed[rows, self.measured.columns.index(fault.column)] = np.nan
        near = self._near(self.believed, rows[-1] + 1, self.spec.look_back + len(rows))
        first = rows[-1] + 1 - len(near.time)
        origins = np.intersect1d(valid_origins(self.spec, near), rows - first)
        self.live.version[rows] = self.served
        if not len(origins):
            return
        x = features(self.spec, near, origins)
        at = origins + first
        self.live.forecast[at], self.live.low[at], self.live.high[at] = self.champion.answer(x)
        names = feature_names(self.spec)
        last = x[:, [names.index(f"{self.spec.target}_lag0")]]
        season, horizons = self.spec.season, self.spec.horizons
        before = x[:, [names.index(f"{self.spec.target}_season{season}_{horizon}") for horizon in horizons]]
        self.live.persistence[at] = np.repeat(last, len(horizons), axis=1)
        self.live.seasonal[at] = np.where(np.isnan(before), last, before)

    def _outcomes(self, end: int) -> Outcomes:
        """Outcomes known after `end` rows of the release that serves, oldest target time first."""
        first = max(self.live.start, end - KEPT)
        target = self.believed[first:end, self.measured.columns.index(self.spec.target)]
        own = (self.live.version[first:end] == self.served)[:, None]
        errors, naive = (
            np.where(own, outcome_errors(target, table[first:end], self.spec.horizons), np.nan)
            for table in (self.live.forecast, self.live.persistence)
        )
        row, which = np.nonzero(np.isfinite(errors))
        steps = np.array(self.spec.horizons)[which]
        due = self.measured.time[first:end][row] + steps * np.timedelta64(self.spec.cadence, "s")
        order = np.lexsort((steps, due))
        row, which = row[order], which[order]
        return Outcomes(
            time=due[order],
            horizon=steps[order].astype(np.int64),
            error=errors[row, which].astype(np.float32),
            low=self.live.low[first:end][row, which].astype(np.float32),
            high=self.live.high[first:end][row, which].astype(np.float32),
            baseline=naive[row, which].astype(np.float32),
            level=self.champion.release.manifest.graphs.station.intervals.level,
        )

    def _examine(self, end: int) -> None:
        now = utc(self.measured.time[end - 1])
        recent = self._near(self.measured.values, end, steps_needed(self.feed))
        manifest = self.champion.release.manifest
        diagnosis, faults = examine(
            self.feed,
            self.spec.target,
            STATION,
            self._outcomes(end),
            recent,
            self.reference,
            manifest,
            now,
            self.faults,
        )
        self._quarantine(faults, end)
        self.faults = tuple(fault for fault in faults if fault.end is None)
        edges = self.heat.edges
        self.heat = heating.advance(
            self.heat, [diagnosis], self.feed.drift, now, self.champion.release.version, diagnosis.rmse
        )
        if self.heat.edges > edges:
            self.live.edges.append(end - 1)
        self.live.examined.append(Examined(end - 1, diagnosis, self.faults, self.heat.hot))
        self._retrain(now, end)

    def _quarantine(self, faults: Sequence[Fault], end: int) -> None:
        """Takes a fault's readings out, and gives back those of one that was withdrawn or is over."""
        first = max(self.live.start, end - KEPT)
        time = self.measured.time[first:end]
        seen = {fault.column for fault in (*faults, *self.faults)}
        for column in (self.measured.columns.index(name) for name in seen):
            own = [fault for fault in faults if self.measured.columns.index(fault.column) == column]
            told = [fault for fault in self.faults if self.measured.columns.index(fault.column) == column]
            for fault in told:  # what was believed broken and is not named any more comes back
                self._put(column, first, self._span(fault, time), broken=False)
            for fault in own:
                self._put(column, first, self._span(fault, time), broken=True)

    def _put(self, column: int, first: int, rows: NDArray[np.int64], broken: bool) -> None:
        self.believed[first + rows, column] = np.nan if broken else self.measured.values[first + rows, column]

    def _span(self, fault: Fault, time: NDArray[np.datetime64]) -> NDArray[np.int64]:
        start = np.datetime64(fault.start.replace(tzinfo=None), "s")
        end = np.datetime64(fault.end.replace(tzinfo=None), "s") if fault.end else time[-1] + np.timedelta64(1, "s")
        return np.flatnonzero((time >= start) & (time < end))

    def _retrain(self, now: datetime, end: int) -> None:
        action = retraining.decide(self.feed.retraining, self.heat, self.memory, now, last=self.last)
        if action.first_aid and not self.first_aid:
            return
        self.memory = action.memory
        if not action.act:
            return
        known = grid(
            Series(self.measured.time[:end], self.measured.columns, self.believed[:end]), self.feed.gap_policy.max_steps
        )
        train = first_aid if action.first_aid else learn
        found = train(self.feed, known, self.champion, action.since, self.served + 2)
        self.live.retrains.append(Retrain(end - 1, found.champion is not None, found.reason, action.first_aid))
        outcome: Outcome = "promoted" if found.champion else "refused" if found.decision else "failed"
        self.last = LastRun(outcome, now, now, action.key)
        if found.champion:
            self.champion, self.served = found.champion, self.served + 1
            self.reference = self._reference(end)


def replay(champion: Champion, series: Series, feed: Feed, rows: Ints) -> NDArray[np.float64]:
    """Forecasts (n, H) of one champion from these rows of a series, NaN where it cannot answer."""
    spec, first = champion.spec, max(0, int(rows[0]) - champion.spec.look_back - feed.gap_policy.max_steps)
    known = grid(series.cut(first, int(rows[-1]) + 1), feed.gap_policy.max_steps)
    origins = np.intersect1d(valid_origins(spec, known), rows - first)
    levels = np.full((len(rows), len(spec.horizons)), np.nan)
    if len(origins):
        levels[origins + first - rows[0]] = champion.answer(features(spec, known, origins))[0]
    return levels
