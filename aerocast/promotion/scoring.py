"""Scores every model on identical rows, in target units and against both baselines.

`composite` is 0.5 RMSE + 0.3 MAE + 0.2 MSE of standardised errors. The unit of an error is persistence's RMSE at that
horizon on the same rows, so a horizon, an hour or a day ahead, weighs as much as any other, and no model sets the unit.
Skill is 1 - RMSE(model) / RMSE(better baseline), each horizon against its own better one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Floats

ALL = "all"
PERSISTENCE, SEASONAL_NAIVE = "persistence", "seasonal_naive"


class Score(msgspec.Struct, frozen=True):
    """One model's errors for a station (or `all`) and a horizon (0: the mean over horizons), in target units.

    `skill` is against the better baseline, `skill_persistence` against persistence alone; `n` counts scored rows.
    """

    model: str
    station: str
    horizon: int
    n: int
    rmse: float
    mae: float
    mse: float
    composite: float
    skill: float
    skill_persistence: float


def score(
    forecasts: Mapping[str, Floats],
    actual: Floats,
    stations: NDArray[np.str_],
    horizons: Sequence[int],
) -> list[Score]:
    """Scores of every model, for each station and all, for each horizon and their mean.

    Shapes: each forecast and `actual` (n, H) levels in target units, `actual` NaN where unknown; `stations` (n,).
    A row counts at a horizon only if every model has a forecast for it. Both baselines must be among the models.

    Raises:
        AeroCastError: a baseline is missing, shapes differ, or a horizon has no row to score.
    """
    absent = [name for name in (PERSISTENCE, SEASONAL_NAIVE) if name not in forecasts]
    if absent:
        raise AeroCastError(f"scoring: {' and '.join(absent)} must be scored beside every model")
    odd = [name for name, levels in forecasts.items() if levels.shape != actual.shape]
    if odd:
        raise AeroCastError(f"scoring: {', '.join(odd)} must forecast the same {actual.shape} rows and horizons")
    errors, mask = _errors(forecasts, actual)
    if not mask.any(axis=0).all():
        raise AeroCastError("scoring: a horizon has no row with an outcome and a forecast of every model")
    # One unit for all stations, so that a station's composite compares with the whole's.
    unit = _rms(errors[PERSISTENCE], mask)
    names = sorted({str(name) for name in stations})
    groups = [(ALL, np.ones(len(actual), dtype=bool)), *((name, stations == name) for name in names)]
    return [
        each
        for station, rows in groups
        if mask[rows].any(axis=0).all()
        for each in _group(station, {name: error[rows] for name, error in errors.items()}, mask[rows], unit, horizons)
    ]


def composite(rmse: NDArray[Any] | float, mae: NDArray[Any] | float) -> NDArray[Any] | float:
    """The composite of standardised errors."""
    return 0.5 * rmse + 0.3 * mae + 0.2 * rmse**2


def losses(forecasts: Mapping[str, Floats], actual: Floats, pair: tuple[str, str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Losses (n, H) of two models on the rows that count, NaN elsewhere; the means' difference is the composites'.

    A root mean square is no mean of rows. But of two models with roots r and s, (e^2 - f^2) / (r + s) has the mean
    r - s, so the loss of a row is 0.5 e^2 / (r + s) + 0.3 |e| + 0.2 e^2 of its standardised error e.
    """
    errors, mask = _errors(forecasts, actual)
    unit = _rms(errors[PERSISTENCE], mask)
    both = [np.where(mask, errors[name] / unit, np.nan) for name in pair]
    roots = sum(_rms(error, mask) for error in both)
    one, other = (0.5 * error**2 / roots + 0.3 * np.abs(error) + 0.2 * error**2 for error in both)
    return one, other


def _errors(forecasts: Mapping[str, Floats], actual: Floats) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Errors (n, H) of each model, and where all of them are known."""
    errors = {name: np.asarray(levels, dtype=np.float64) - actual for name, levels in forecasts.items()}
    return errors, np.logical_and.reduce([np.isfinite(error) for error in errors.values()])


def _group(
    station: str,
    errors: Mapping[str, NDArray[Any]],
    mask: NDArray[np.bool_],
    unit: NDArray[Any],
    horizons: Sequence[int],
) -> list[Score]:
    persistence = _rms(errors[PERSISTENCE], mask)
    better = np.minimum(persistence, _rms(errors[SEASONAL_NAIVE], mask))
    scores = []
    for name, error in errors.items():
        rmse, mae = _rms(error, mask), np.mean(np.abs(error), axis=0, where=mask)
        table = [
            rmse,
            mae,
            rmse**2,
            composite(rmse / unit, mae / unit),
            _skill(rmse, better),
            _skill(rmse, persistence),
        ]
        counts = mask.sum(axis=0)
        for at, horizon in enumerate(horizons):
            scores.append(Score(name, station, horizon, int(counts[at]), *(float(column[at]) for column in table)))
        scores.append(Score(name, station, 0, int(counts.sum()), *(float(column.mean()) for column in table)))
    return scores


def _rms(error: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """(H,) root mean squares of known errors, at least 1e-9 because they are divisors."""
    mean: NDArray[Any] = np.mean(error**2, axis=0, where=mask)
    roots: NDArray[Any] = np.maximum(np.sqrt(mean), 1e-9)
    return roots


def _skill(rmse: NDArray[Any], reference: NDArray[Any]) -> NDArray[Any]:
    skill: NDArray[Any] = 1 - rmse / reference
    return skill


def overall(scores: Sequence[Score], model: str, station: str = ALL) -> Score:
    """A model's score over all horizons."""
    for each in scores:
        if (each.model, each.station, each.horizon) == (model, station, 0):
            return each
    raise AeroCastError(f"scoring: no score of {model!r} for station {station!r}")
