"""Tests whether live intervals cover as much as they claim: the share of outcomes inside, at each horizon.

Only too little is judged: a few easy days cover everything, and are no fault.

Outcomes follow one another, those of neighbouring stations and of overlapping horizons most of all. So the shares of
all stations at one instant are one value, and the mean of these is judged by the test that judges losses, whose
variance counts how they hang together (`diebold_mariano`).
"""

from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from aerocast.common.sql import literal
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader
from aerocast.monitoring.evaluation.views import MONTHS
from aerocast.promotion.diebold_mariano import diebold_mariano

FEWEST = 96  # target times below which nothing is said
MAX_P = 0.005  # in 400 simulated series of right intervals each horizon fires once at most


class HorizonCoverage(NamedTuple):
    """Of one horizon: `share` of `outcomes` at `instants` inside; `low` if that is too small to be luck."""

    horizon: int
    share: float
    outcomes: int
    instants: int
    p_value: float
    low: bool


def live_coverage(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, target: str, version: str
) -> list[HorizonCoverage]:
    """The horizons of a release that have outcomes in the newest months, of all stations, each forecast once."""
    name = f"{feed.name}/outcomes"
    months = lake.months(name)[-MONTHS:]
    if not months:
        return []
    lake.relation(con, name, months).create_view("covered_outcomes", replace=True)
    rows = con.sql(f"""
        SELECT horizon, epoch_us(time) // {feed.cadence.total_seconds() * 1e6:.0f} AS step, avg(inside::INT) AS share,
            count(*) AS outcomes
        FROM covered_outcomes
        WHERE target = {literal(target)} AND version = {literal(version)} AND inside IS NOT NULL AND horizon > 0
            AND time IS NOT NULL AND NOT shadow AND NOT repeated
        GROUP BY ALL ORDER BY horizon, step""").to_arrow_table()
    horizons = rows["horizon"].to_numpy()
    groups = (rows.filter(horizons == horizon) for horizon in np.unique(horizons))
    return [horizon_coverage(feed, int(each["horizon"][0].as_py()), each) for each in groups]


def horizon_coverage(feed: Feed, horizon: int, rows: pa.Table) -> HorizonCoverage:
    """One horizon, from `step` (rising), `share` inside and `outcomes` of each instant."""
    step, share = rows["step"].to_numpy(), rows["share"].to_numpy()
    outcomes = rows["outcomes"].to_numpy()
    series = np.full(int(step[-1] - step[0]) + 1, np.nan)
    series[step - step[0]] = share
    least = np.full_like(series, feed.promotion.coverage - feed.promotion.coverage_tolerance)
    p_value = diebold_mariano(least, series, horizon - 1).p_value
    mean = float(np.average(share, weights=outcomes))
    enough = len(step) >= FEWEST
    return HorizonCoverage(horizon, mean, int(outcomes.sum()), len(step), p_value, bool(enough and p_value < MAX_P))
