"""Walks forward: trains every kind for a fold on what lies before it, and has it forecast the rows that judge.

Training is the platform's own (`aerocast.models.trainer`), up to what a trial judges. It is given the rows before the
fold alone, so nothing in the fold or after it can be learned, chosen by or calibrated on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aerocast.experiments.folds import Fold
from aerocast.experiments.losses import Losses, Reals
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import Untrainable, model, silent
from aerocast.models.trainer import Training, of_kind
from aerocast.promotion.assembly import by_errors
from aerocast.promotion.scoring import PERSISTENCE, SEASONAL_NAIVE
from aerocast.tables.training import Samples

CHALLENGER = "challenger"
LEAST = 1e-9  # a scale below it divides nothing


@dataclass(frozen=True)
class Answers:
    """What the models of a fold say on the rows that judge: `losses` by model, the challenger among them.

    `kinds` is the challenger: the kind at each horizon that calibration rows choose, as for a trial, before any row
    that judges is seen; empty where there are only baselines. `scale` (n, H) is seasonal naive's mean absolute error
    at each row's station in the fold's past. `rows` were learned from, up to the origin `end`.
    """

    fold: Fold
    samples: Samples
    losses: dict[str, Losses]
    kinds: dict[int, str]
    scale: Reals
    rows: int
    end: np.datetime64
    note: str = ""


def train(feed: Feed, spec: WindowSpec, samples: Samples, fold: Fold, kind: str) -> Training:
    """One kind, of the rows before the fold alone.

    Raises:
        Untrainable: the kind needs what these rows or this machine do not have.
        AeroCastError: too little data, or a wrong parameter.
    """
    past = of_kind(model(kind), spec, samples.take(fold.past(samples.time)))
    return Training.of(feed, kind, spec, past, fold.cut, silent)


def answer(
    feed: Feed, spec: WindowSpec, samples: Samples, fold: Fold, kinds: Sequence[str], say: Callable[[str], None]
) -> Answers:
    """Trains `kinds`, both baselines among them, and has them forecast the fold's rows; `say` hears of each.

    Raises:
        AeroCastError: too little data.
    """
    test, past = samples.take(fold.judging(samples.time)), samples.take(fold.past(samples.time))
    losses, errors, lacks = dict[str, Losses](), dict[str, dict[str, float]](), []
    scale = np.full(test.rows.y.shape, np.nan)
    for kind in kinds:
        try:
            own = train(feed, spec, samples, fold, kind)
        except Untrainable as lack:
            lacks.append(str(lack))
            say(f"fold {fold.number}: {kind} is not trained: {lack}")
            continue
        rows = of_kind(model(kind), spec, test)
        forecast = own.final.levels(rows.rows.x)
        losses[kind] = Losses.of(forecast, rows.rows.y, own.intervals, rows.rows.x, rows.names)
        errors[kind] = own.errors
        if kind == SEASONAL_NAIVE:
            scale = _scale(own, test)
        say(f"fold {fold.number}: {kind} is trained on {len(past.time):,} rows and judged on {len(test.time):,}")
    able = {kind: each for kind, each in errors.items() if not model(kind).is_baseline and model(kind).serves}
    choice = by_errors(able, errors[PERSISTENCE], spec.horizons) if able else {}
    if choice:
        losses[CHALLENGER] = Losses.of_columns([losses[kind] for kind in choice.values()])
    return Answers(fold, test, losses, choice, scale, len(past.time), past.time.max(), "; ".join(lacks))


def _scale(naive: Training, test: Samples) -> Reals:
    """(n, H) mean absolute errors of seasonal naive in the past of each row's station; for a new one, of all."""
    past = naive.samples
    errors = np.abs(naive.final.levels(past.rows.x).astype(np.float64) - past.rows.y)
    scale = np.broadcast_to(_mean(errors), test.rows.y.shape).copy()
    for station in np.unique(past.station):
        own = _mean(errors[past.station == station])
        rows = test.station == station
        scale[rows] = np.where(np.isfinite(own), own, scale[rows])
    return np.where(scale > LEAST, scale, np.nan)


def _mean(errors: Reals) -> Reals:
    """(H,) means of the known ones, NaN where there is none."""
    known = np.isfinite(errors)
    counts = known.sum(axis=0)
    means: Reals = np.where(counts, np.where(known, errors, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    return means
