"""Live evidence on a challenger: the same requests answered by the champion and, unseen, by the challenger."""

from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from aerocast.common.sql import literal
from aerocast.contracts.drift_state import Shadow
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader
from aerocast.monitoring.evaluation.rolling import MONTHS
from aerocast.promotion.diebold_mariano import diebold_mariano
from aerocast.releases import release
from aerocast.storage.home import Home

_Numbers = NDArray[Any]


def shadow_evidence(con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed) -> tuple[Shadow, ...]:
    """The live evidence on each target's challenger from the newest months; nothing without a challenger."""
    shadows = (_target(con, lake, home, feed, target) for target in feed.targets)
    return tuple(each for each in shadows if each is not None)


def _target(con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed, target: str) -> Shadow | None:
    champion = release.current(home, feed.name, target)
    challenger = release.challenger(home, feed.name, target)
    if champion is None or challenger is None or not lake.exists(f"{feed.name}/outcomes"):
        return None
    pairs = _pairs(con, lake, feed, target, champion.version, challenger.version)
    errors = np.array([[row[2], row[3], row[4]] for row in pairs], dtype=np.float64).reshape(-1, 3)
    step = feed.cadence.total_seconds()
    instant = np.array([row[0].timestamp() // step for row in pairs], dtype=np.int64)
    evidence = compare(instant, np.array([row[1] for row in pairs]), errors)
    return Shadow(target, challenger.version, champion.version, *evidence)


def compare(instant: _Numbers, horizon: _Numbers, errors: _Numbers) -> tuple[int, float, float | None]:
    """How many pairs, how much less the challenger loses, as a share, and the p-value (None without pairs).

    Of forecasts from steps `instant` (n,) for `horizon` (n,) steps ahead, with `errors` (n, 3) of champion, challenger
    and persistence.
    """
    if not len(errors):
        return 0, 0.0, None
    losses = _losses(horizon, errors)
    series = _by_instant(instant - instant.min(), losses)
    p_value = diebold_mariano(series[:, 0], series[:, 1], int(horizon.max()) - 1).p_value
    return len(errors), 1 - float(losses[:, 1].mean() / max(losses[:, 0].mean(), 1e-12)), p_value


def _pairs(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, target: str, champion: str, challenger: str
) -> list[tuple[Any, ...]]:
    """(origin, horizon, champion's error, challenger's, persistence's) of each distinct forecast with an outcome."""
    lake.relation(con, f"{feed.name}/outcomes", lake.months(f"{feed.name}/outcomes")[-MONTHS:]).create_view(
        "shadow_outcomes", replace=True
    )
    condition = f"target = {literal(target)} AND error IS NOT NULL AND origin IS NOT NULL"
    return con.sql(f"""
        SELECT c.origin, c.horizon, c.error, s.error, coalesce(c.actual - c.persistence, c.error)
        FROM (SELECT * FROM shadow_outcomes WHERE {condition} AND NOT shadow AND version = {literal(champion)}) c
        JOIN (SELECT * FROM shadow_outcomes WHERE {condition} AND shadow AND version = {literal(challenger)}) s
            USING (id, horizon)
        QUALIFY row_number() OVER (
            PARTITION BY c.station, c.graph, c.origin, c.horizon ORDER BY c.issued_at DESC, id) = 1
        ORDER BY c.origin, c.horizon, c.station""").fetchall()


def _losses(horizon: _Numbers, errors: _Numbers) -> _Numbers:
    """(n, 2) losses of champion and challenger as `scoring.losses` has them: standardised by persistence's RMSE."""
    losses = np.empty((len(errors), 2))
    for each in np.unique(horizon):
        rows = horizon == each
        unit = max(float(np.sqrt(np.mean(errors[rows, 2] ** 2))), 1e-9)
        both = errors[rows, :2] / unit
        roots = max(float(np.sqrt(np.mean(both**2, axis=0)).sum()), 1e-9)
        losses[rows] = 0.5 * both**2 / roots + 0.3 * np.abs(both) + 0.2 * both**2
    return losses


def _by_instant(instant: _Numbers, losses: _Numbers) -> _Numbers:
    """(instants, 2) means over stations and horizons, NaN where nothing was answered."""
    count = np.bincount(instant)
    sums = np.stack([np.bincount(instant, losses[:, column]) for column in range(2)], axis=1)
    return np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], np.nan)
