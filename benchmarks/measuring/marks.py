"""Figures of forecasts on identical rows: errors, and what their 90 % intervals are worth."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from measuring.peer_job import LEVEL, Answer, Floats


class Mark(msgspec.Struct, frozen=True):
    """One model at one horizon on `rows` rows; each figure a value a seed. Seconds to fit and to predict, of all
    horizons."""

    model: str
    horizon: int
    rows: int
    mae: list[float]
    rmse: list[float]
    coverage: list[float]
    winkler: list[float]
    fit: float
    predict: float


def marks(
    answers: Mapping[str, Sequence[Answer]], actual: Floats, horizons: Sequence[int], among: NDArray[np.bool_]
) -> list[Mark]:
    """Marks of every model on the rows of `among` (t,) for which all models and the outcomes `actual` (t, H) are known.

    Every model has an answer a seed. Raises ValueError: a horizon has no such row.
    """
    known = np.isfinite(actual) & among[:, None]
    for answer in (each for own in answers.values() for each in own):
        known &= np.isfinite(answer.levels)
    rows = known.sum(axis=0)
    if not rows.all():
        short = [horizon for horizon, count in zip(horizons, rows, strict=True) if not count]
        raise ValueError(f"horizon {short[0]}: no row that every model forecasts and whose outcome is known")
    return [
        _mark(name, own, actual[known[:, at], at], known[:, at], at, horizon)
        for name, own in answers.items()
        for at, horizon in enumerate(horizons)
    ]


def _mark(name: str, answers: Sequence[Answer], actual: Floats, rows: NDArray[np.bool_], at: int, horizon: int) -> Mark:
    figures = []
    for each in answers:
        error = each.levels[rows, at] - actual
        low, high = each.low[rows, at], each.high[rows, at]
        inside = float(np.mean((low <= actual) & (actual <= high)))
        figures.append(
            (float(np.abs(error).mean()), float(np.sqrt(np.mean(error**2))), inside, winkler(low, high, actual))
        )
    mae, rmse, coverage, scores = (list(column) for column in zip(*figures, strict=True))
    fit, predict = (float(np.mean([getattr(each, name) for each in answers])) for name in SECONDS)
    return Mark(name, horizon, int(rows.sum()), mae, rmse, coverage, scores, fit, predict)


SECONDS = ("fit_seconds", "predict_seconds")


def winkler(low: Floats, high: Floats, actual: Floats) -> float:
    """Mean interval score of 90 % intervals (Winkler 1972): their width, and 2 / 0.1 of how far outcomes lie beyond."""
    beyond = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return float(np.mean(high - low + 2 / (1 - LEVEL) * beyond))
