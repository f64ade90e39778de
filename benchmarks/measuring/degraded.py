"""Asks a server's own functions for forecasts while something is silent, beside outcomes and baselines."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from litestar.exceptions import HTTPException
from numpy.typing import NDArray

from aerocast.common.times import from_numpy, to_numpy
from aerocast.features.grid import Grid
from aerocast.features.outages import rows_needed
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from measuring.feeds import Prepared
from measuring.outages import Regime, last_before, measured, season_before, silence
from serving import predictor
from serving.loading import Served, Tail
from serving.predictor import Question
from serving.schemas import Prediction, PredictRequest

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Forecasts of a regime beside outcomes and baselines, all (n, H) but `seasonal` (n, H, S); NaN for none.

    `late` counts forecasts that were of the past when they were given, `refused` the refusals by what was said.
    """

    regime: Regime
    actual: Numbers
    level: Numbers
    lower: Numbers
    upper: Numbers
    persistence: Numbers
    seasonal: Numbers
    late: NDArray[np.bool_]
    refused: Counter[str] = field(default_factory=Counter)

    @classmethod
    def empty(cls, regime: Regime, rows: int, horizons: int, seasons: int) -> "Answers":
        tables = (np.full((rows, horizons), np.nan) for _ in range(5))
        seasonal, late = np.full((rows, horizons, seasons), np.nan), np.zeros((rows, horizons), dtype=bool)
        return cls(regime, *tables, seasonal, late)


@dataclass(frozen=True, eq=False)
class Asker:
    """A release and the rows it is judged on: every `stride`-th of those that it has not learned."""

    served: Served
    prepared: Prepared
    stride: int

    @property
    def tail_rows(self) -> int:
        """As many rows as silver publishes."""
        spec = self.prepared.spec
        return rows_needed(spec.look_back, spec.season, spec.cadence)

    def origins(self) -> Iterator[tuple[str, int]]:
        """Stations, and rows of their grids."""
        feed, spec, samples = self.prepared.feed, self.prepared.spec, self.prepared.samples
        test = samples.take(roles(feed, spec, samples) == Role.TEST)
        for station, grid in self.prepared.grids.items():
            own = test.time[test.station == station][:: self.stride]
            yield from ((station, int(row)) for row in np.searchsorted(grid.time, own))

    def ask(self, regime: Regime) -> Answers:
        spec, origins = self.prepared.spec, list(self.origins())
        truth = {name: measured(grid, spec.target) for name, grid in self.prepared.grids.items()}
        answers = Answers.empty(regime, len(origins), len(spec.horizons), len(spec.seasons))
        for row, (station, at) in enumerate(origins):
            self._baselines(answers, row, truth[station], at)
            try:
                self._answer(answers, row, truth[station], at, self.prediction(regime, station, at))
            except HTTPException as problem:
                answers.refused[getattr(problem, "detail", "").split(" of ")[0].replace(station, "...")] += 1
        return answers

    def prediction(self, regime: Regime, station: str, at: int) -> Prediction:
        """What the server says of a station at a row of its grid. Raises a problem, as the server does."""
        grid = self.prepared.grids[station]
        now = grid.time[at]
        seen = {
            name: self._seen(each, now, regime if name == station or not regime.is_alone else None)
            for name, each in self.prepared.grids.items()
        }
        newest = dict.fromkeys(seen, now)
        request = PredictRequest(station=station, covariates=self._ahead(grid, at) if regime.is_sent else None)
        question = Question(request, Tail(seen, newest, datetime.now(UTC)), (), from_numpy(now) + timedelta(minutes=1))
        return predictor.answer(self.served, question, "benchmark", datetime.now(UTC))

    def _seen(self, grid: Grid, now: np.datetime64, regime: Regime | None) -> Grid:
        """The rows of a grid that silver publishes at that moment."""
        fill = self.prepared.feed.gap_policy.max_steps
        end = int(np.searchsorted(grid.time, now, side="right"))
        whole = regime is None or not regime.steps
        back = self.tail_rows + (0 if whole else min(regime.steps, end) + fill)
        rows = slice(max(0, end - back), end)
        own = replace(grid, time=grid.time[rows], values=grid.values[rows], age=grid.age[rows])
        if not whole:
            own = silence(own, regime.columns or own.columns, regime.steps, fill)
        return own.tail(self.tail_rows)

    def _ahead(self, grid: Grid, at: int) -> dict[str, list[float]] | None:
        """What was measured at the targets of what is assumed to be known ahead, where all of it was."""
        known = {}
        for each in self.prepared.spec.ahead:
            values = measured(grid, each.name)
            rows = np.minimum(at + np.array(self.prepared.spec.horizons), len(values) - 1)
            if np.isfinite(values[rows]).all():
                known[each.name] = values[rows].tolist()
        return known or None

    def _baselines(self, answers: Answers, row: int, truth: Numbers, at: int) -> None:
        spec = self.prepared.spec
        newest = at - answers.regime.silences(spec.target)
        answers.persistence[row] = last_before(truth, newest)
        for place, horizon in enumerate(spec.horizons):
            answers.actual[row, place] = truth[at + horizon] if at + horizon < len(truth) else np.nan
            for which, season in enumerate(spec.seasons):
                answers.seasonal[row, place, which] = season_before(truth, season, newest, at + horizon)

    def _answer(self, answers: Answers, row: int, truth: Numbers, at: int, prediction: Prediction) -> None:
        """The forecasts for the very targets of the row; what starts before it answers another question."""
        grid = self.prepared.grids[prediction.station or ""]
        assert prediction.origin
        behind = int((grid.time[at] - to_numpy(prediction.origin)) // np.timedelta64(self.prepared.spec.cadence, "s"))
        if behind:
            answers.late[row] = True
            return
        for place, each in enumerate(prediction.forecasts):
            answers.level[row, place] = each.value
            answers.lower[row, place], answers.upper[row, place] = each.lower, each.upper
