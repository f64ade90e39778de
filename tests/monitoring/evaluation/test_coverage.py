"""Live coverage: luck is no finding, and what is not luck is one, in series that hang together as real ones do."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.monitoring.evaluation import coverage
from tests.factories.feeds import small_feed

STATIONS = 5


@pytest.fixture(scope="module")
def feed() -> Feed:
    return small_feed(Path("nowhere"))


def errors(rng: np.random.Generator, n: int, horizon: int) -> Any:
    """(n, stations) errors: sums of `horizon` steps' news, half of it everywhere's, in days that are easy or hard."""
    news = 0.7 * (rng.normal(size=(n + horizon, STATIONS)) + rng.normal(size=(n + horizon, 1)))
    summed = np.cumsum(news, axis=0)
    hard = np.exp(0.25 * np.repeat(rng.normal(size=n // 24 + 2), 24)[:n])
    return (summed[horizon:] - summed[:-horizon]) / np.sqrt(horizon) * hard[:, None]


def half_width(horizon: int) -> float:
    return float(np.quantile(np.abs(errors(np.random.default_rng(0), 20_000, horizon)), 0.9))


def low(feed: Feed, rng: np.random.Generator, n: int, horizon: int, half: float) -> bool:
    share = (np.abs(errors(rng, n, horizon)) <= half).mean(axis=1)
    rows = pa.table({"step": np.arange(n), "share": share, "outcomes": np.full(n, STATIONS)})
    return coverage.horizon_coverage(feed, horizon, rows).low


@pytest.mark.parametrize("horizon", [1, 6, 24])
def test_correct_coverage_raises_no_alarm(feed: Feed, horizon: int) -> None:
    rng, half = np.random.default_rng(11), half_width(horizon)
    assert sum(low(feed, rng, n, horizon, half) for n in (96, 336, 720) for _ in range(15)) == 0


@pytest.mark.parametrize(("horizon", "weeks"), [(1, 3), (6, 5), (24, 10)])
def test_coverage_of_three_quarters_is_detected(feed: Feed, horizon: int, weeks: int) -> None:
    rng, half = np.random.default_rng(12), 0.7 * half_width(horizon)
    assert sum(low(feed, rng, 168 * weeks, horizon, half) for _ in range(10)) >= 9


def test_each_forecast_of_serving_release_counts_once(feed: Feed, tmp_path: Path) -> None:
    n = 200
    times = (np.datetime64("2024-01-01T00", "us") + np.arange(n) * np.timedelta64(1, "h")).tolist()
    base = {"target": "temperature", "version": "v2", "inside": True, "horizon": 1, "shadow": False, "repeated": False}
    rows = [base | {"time": time, "inside": number % 4 != 0} for number, time in enumerate(times)]
    other = base | {"time": times[0], "inside": False}
    rows += [other | change for change in ({"version": "v1"}, {"shadow": True}, {"repeated": True}, {"horizon": 0})]
    rows += [other | {"inside": None}, other | {"time": None, "horizon": 6}]
    schema = pa.schema([("time", pa.timestamp("us", "UTC")), ("inside", pa.bool_())])
    columns = {name: [row[name] for row in rows] for name in base if name != "inside"}
    table = pa.table({**columns, **{f.name: pa.array([row[f.name] for row in rows], f.type) for f in schema}})
    lake = Lake(tmp_path)
    lake.append("small/outcomes", table.append_column("month", pa.array(["2024-01"] * len(rows))), "one")
    with duckdb.connect() as con:
        (found,) = coverage.live_coverage(con, lake, feed, "temperature", "v2")
    assert (found.horizon, found.share, found.outcomes, found.instants, found.low) == (1, 0.75, n, n, True)
    assert coverage.live_coverage(duckdb.connect(), Lake(tmp_path / "empty"), feed, "temperature", "v2") == []
