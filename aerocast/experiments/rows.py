"""Makes the rows of a backtest: measures by fold, station, season of the year, horizon and model, on identical rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.times import from_numpy
from aerocast.experiments.folds import seasons
from aerocast.experiments.losses import Losses, measures
from aerocast.experiments.walk import CHALLENGER, Answers
from aerocast.feed.declaration import Feed
from aerocast.promotion.scoring import ALL

Group: TypeAlias = tuple[str, str, NDArray[np.bool_]]
EVERY = 0  # the number of the fold that stands for all of them


class Row(msgspec.Struct, frozen=True):
    """Measures of a model on `n` rows of a fold (0: all folds), a station and a season of the year (`all`: each).

    A row counts at a horizon where there is an outcome and every model's forecast. `kind` is what stands there (of
    the challenger in all folds, each that did). `start` and `end` are the first and last origin that judge, `past_end`
    is the last that was learned from, of `past_rows`. A measure that cannot be told is null.
    """

    fold: int
    station: str
    season: str
    horizon: int
    model: str
    kind: str
    n: int
    rmse: float
    mae: float
    mase: float | None
    wql: float | None
    coverage: float
    winkler: float
    start: datetime
    end: datetime
    past_end: datetime
    past_rows: int


def rows(feed: Feed, answers: Sequence[Answers]) -> list[Row]:
    """All rows of a backtest: of each fold, and of all folds together for what took part in each."""
    result = [row for each in answers for row in _of_folds(feed, [each], each.fold.number)]
    return [*result, *_of_folds(feed, answers, EVERY)]


def _of_folds(feed: Feed, answers: Sequence[Answers], number: int) -> Iterator[Row]:
    names = [name for name in answers[0].losses if all(name in each.losses for each in answers)]
    losses = {name: Losses.concatenate([each.losses[name] for each in answers]) for name in names}
    actual = np.concatenate([each.samples.rows.y for each in answers])
    scale = np.concatenate([each.scale for each in answers])
    mask = np.logical_and.reduce([np.isfinite(each.error) for each in losses.values()])
    about: dict[str, Any] = {
        "start": from_numpy(min(each.samples.time.min() for each in answers)),
        "end": from_numpy(max(each.samples.time.max() for each in answers)),
        "past_end": from_numpy(max(each.end for each in answers)),
        "past_rows": max(each.rows for each in answers),
    }
    for station, season, group in _groups(feed, answers):
        for at, horizon in enumerate(feed.horizons):
            known = group & mask[:, at]
            if not known.any():
                continue
            for name, own in losses.items():
                values: dict[str, Any] = measures(own, actual, scale, known, at)
                kinds = [each.kinds[horizon] if name == CHALLENGER else name for each in answers]
                kind = ", ".join(dict.fromkeys(kinds))
                yield Row(number, station, season, horizon, name, kind, int(known.sum()), **values, **about)


def _groups(feed: Feed, answers: Sequence[Answers]) -> Iterator[Group]:
    """Station, season (of the origin, by its month in UTC) and the rows (n,) of each group."""
    stations = np.concatenate([each.samples.station for each in answers])
    south_of = {station.id: (station.latitude or 0) < 0 for station in feed.stations}
    south = np.array([south_of.get(str(name), False) for name in stations])
    year = seasons(np.concatenate([each.samples.time for each in answers]), south)
    every = np.ones(len(stations), dtype=bool)
    places = [(ALL, every), *((str(name), stations == name) for name in np.unique(stations))]
    spans = [(ALL, every), *((str(name), year == name) for name in np.unique(year))]
    for station, own in places:
        for season, part in spans:
            yield station, season, own & part
