"""Champions in memory: trained, judged and promoted by the platform itself, without lake, Dagster or server."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import duckdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.features import feature_names
from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.feed.model_kind import silent
from aerocast.feed.policies import Split
from aerocast.models.candidates import Candidate
from aerocast.models.inference import runner, select
from aerocast.models.trainer import train
from aerocast.promotion import bundle
from aerocast.promotion import first_aid as aiding
from aerocast.promotion.decision import Decision
from aerocast.promotion.incumbents import as_candidate
from aerocast.promotion.trial import run_trial
from aerocast.releases.release import Release
from aerocast.tables import training


@dataclass(frozen=True)
class Champion:
    """A release that answers; its graph is loaded once, for a loop asks it a hundred times."""

    release: Release
    spec: WindowSpec

    @cached_property
    def levels(self) -> Callable[[Floats], Floats]:
        """The graph, over its own features."""
        return runner(self.release.files[self.release.manifest.graphs.station.file])

    @cached_property
    def names(self) -> list[str]:
        return feature_names(self.spec)

    def answer(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Levels and the ends of their intervals, less the levels, all (n, H), for feature rows (n, F)."""
        graph = self.release.manifest.graphs.station
        levels = self.levels(select(x, self.names, graph.features))
        lower, upper = graph.intervals.apply(levels, x, self.names)
        return levels, lower - levels, upper - levels


@dataclass(frozen=True)
class Retrained:
    """What came of a retrain: a new champion, or why not."""

    champion: Champion | None
    decision: Decision | None
    reason: str


def utc(moment: np.datetime64) -> datetime:
    return moment.astype("datetime64[us]").item().replace(tzinfo=UTC)


def learn(
    feed: Feed, grid: Grid, incumbent: Champion | None, since: datetime | None = None, number: int = 1
) -> Retrained:
    """Trains every kind on the grid, judges them beside the incumbent, promotes or refuses: as the platform does."""
    kinds = [*BASELINES, *(kind for kind in feed.candidates if kind not in BASELINES)]

    def entrants(window: _Window) -> list[Candidate]:
        return [window.candidate(kind, since) for kind in kinds]

    return _judged(feed, grid, incumbent, since, number, entrants)


def first_aid(feed: Feed, grid: Grid, incumbent: Champion, since: datetime, number: int = 1) -> Retrained:
    """Reweights the incumbent for the regime that began `since`, and judges that: as the platform does."""

    def entrants(window: _Window) -> list[Candidate]:
        parts = [window.candidate(kind, None) for kind in BASELINES]
        promotion = feed.promotion
        served = as_candidate(incumbent.release, window.spec, promotion.coverage, promotion.quantiles)
        if served is None:
            raise AeroCastError("the incumbent cannot be weighed")
        aid = aiding.candidate(served, {each.kind: each for each in parts}, window.spec, window.samples, since)
        return [*parts, aid]

    return _judged(feed, grid, incumbent, None, number, entrants)


@dataclass(frozen=True)
class _Window:
    """A grid's training table, and what is trained on it."""

    feed: Feed
    spec: WindowSpec
    table: duckdb.DuckDBPyRelation
    samples: training.Samples

    def candidate(self, kind: str, since: datetime | None) -> Candidate:
        trained = train(self.feed, self.spec.target, kind, self.table, silent, since)
        hashes = dict.fromkeys(("config_hash", "data_version"), "0" * 64)
        return msgspec.structs.replace(trained, **hashes, code_version="benchmark")


def _judged(
    feed: Feed,
    grid: Grid,
    incumbent: Champion | None,
    since: datetime | None,
    number: int,
    entrants: Callable[[_Window], list[Candidate]],
) -> Retrained:
    spec = WindowSpec.of(feed, feed.targets[0])
    months = sorted({str(month) for month in np.unique(grid.time.astype("datetime64[M]"))})
    try:
        with duckdb.connect() as con:
            con.register("windows", training.table(spec, {grid.station: grid}, months))
            window = _Window(feed, spec, con.table("windows"), training.load(spec, con.table("windows")))
            found = entrants(window)
        trial = run_trial(feed, spec, window.samples, found, incumbent.release if incumbent else None, since)
    except AeroCastError as error:
        return Retrained(None, None, str(error))
    winner = trial.entry
    if winner is None or not trial.decision.promoted:
        return Retrained(None, trial.decision, trial.decision.reason)
    made = bundle.manifest(feed, spec, (winner, None), trial, "benchmark", "benchmark")
    files = bundle.files(winner, None)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    release = Release(made.stamped(f"{number:04d}-benchmark", sums), files)
    return Retrained(Champion(release, spec), trial.decision, trial.decision.reason)


def alone(feed: Feed, grid: Grid) -> Champion | None:
    """The oracle: the feed's kind trained on this grid alone (the new regime), judged by nobody; None if too short."""
    reach, length = feed.horizons[-1] * feed.cadence, len(grid.time) * feed.cadence
    block = min(feed.split.block, max(length / 14, 1.5 * reach))
    # Nobody asks what it scores on a test span, but a candidate has one: as short as holds an outcome.
    split = Split(test=min(0.3, 1.5 * reach / length), validation=0.15, calibration=0.15, block=block)
    return learn(freely(feed).model_copy(update={"split": split}), grid, None).champion


def freely(feed: Feed) -> Feed:
    """The feed with a promotion that any skill passes."""
    return feed.model_copy(update={"promotion": feed.promotion.model_copy(update={"min_skill": -99.0})})


def rmse(error: NDArray[np.float64]) -> float:
    """Mean over the horizons of the root mean squared errors (n, H); NaN where nothing is known."""
    known = ~np.isnan(error)
    if not known.any(axis=0).all():
        return float("nan")
    return float(np.mean(np.sqrt(np.nanmean(error**2, axis=0))))
