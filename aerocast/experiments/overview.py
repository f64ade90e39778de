"""What people see of a backtest: one sentence, and tables with one row a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aerocast.common.words import count
from aerocast.experiments.folds import SEASONS
from aerocast.experiments.rows import EVERY, Row
from aerocast.experiments.walk import CHALLENGER
from aerocast.feed.declaration import BASELINES
from aerocast.promotion.scoring import ALL

if TYPE_CHECKING:
    from aerocast.experiments.backtests import Backtest

MEASURES = {"rmse": ".4g", "mae": ".4g", "mase": ".3f", "wql": ".4f", "coverage": ".1%", "winkler": ".4g"}


def sentence(backtest: Backtest) -> str:
    """How the challenger did in all folds, beside the better baseline at each horizon."""
    rows = select(backtest.rows)
    numbers = {row.fold for row in backtest.rows if row.fold != EVERY}
    first = rows[0]
    parts = []
    for own in (row for row in rows if row.model == CHALLENGER):
        least = min(row.rmse for row in rows if row.horizon == own.horizon and row.model in BASELINES)
        wins = sum(_beats(backtest.rows, number, own.horizon) for number in numbers)
        skill = f"{1 - own.rmse / least:+.3f}" if least else "none"
        parts.append(
            f"at {count(own.horizon, 'step')} {own.kind} has skill {skill} in RMSE over the better baseline, better in"
            f" {wins} of {count(len(numbers), 'fold')}, and covers {own.coverage:.1%}"
        )
    span = f"{first.start:%Y-%m-%d} to {first.end:%Y-%m-%d}"
    text = f"{count(len(numbers), 'fold')} from {span}, {max(row.n for row in rows):,} rows"
    return f"{text}: {'; '.join(parts) or 'only baselines took part'}"


def select(rows: Sequence[Row], fold: int = EVERY, season: str = ALL, station: str = ALL) -> list[Row]:
    """The rows of one fold (0: all), season and station."""
    return [row for row in rows if (row.fold, row.season, row.station) == (fold, season, station)]


def measures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each model and horizon of all folds, the least RMSE of a horizon first."""
    return [
        {"model": name_of(row), "steps ahead": row.horizon, "rows": row.n}
        | {name: "" if (value := getattr(row, name)) is None else format(value, how) for name, how in MEASURES.items()}
        for row in select(rows)
    ]


def by_fold(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """RMSE of each model and horizon, a column a fold."""
    numbers = sorted({row.fold for row in rows} - {EVERY})
    return _side_by_side(rows, {f"fold {number}": select(rows, fold=number) for number in numbers})


def by_season(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """RMSE of each model and horizon, a column a season of the year that occurs."""
    return _side_by_side(rows, {name: own for name in SEASONS if (own := select(rows, season=name))})


def by_station(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """RMSE of each model and horizon, a column a station."""
    names = sorted({row.station for row in rows if row.fold == EVERY} - {ALL})
    return _side_by_side(rows, {name: select(rows, station=name) for name in names})


def name_of(row: Row) -> str:
    """A model as people read it: of a challenger, which kinds stood there."""
    if row.model == CHALLENGER:
        return f"{row.model} ({row.kind})"
    return f"{row.model} (baseline)" if row.model in BASELINES else row.model


def _beats(rows: Sequence[Row], fold: int, horizon: int) -> bool:
    errors = {row.model: row.rmse for row in select(rows, fold) if row.horizon == horizon}
    return CHALLENGER in errors and errors[CHALLENGER] < min(errors[name] for name in BASELINES)


def _side_by_side(rows: Sequence[Row], columns: dict[str, list[Row]]) -> list[dict[str, Any]]:
    cells = {name: {(row.model, row.horizon): row.rmse for row in own} for name, own in columns.items()}
    return [
        {"model": name_of(row), "steps ahead": row.horizon}
        | {
            name: "" if (value := own.get((row.model, row.horizon))) is None else f"{value:.4g}"
            for name, own in cells.items()
        }
        for row in select(rows)
    ]
