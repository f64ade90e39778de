"""Training for a new regime: it learns the new days quickly, forgets what misleads, and never learns what judges."""

from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.common.times import to_numpy
from aerocast.features.dataset import rmse
from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import SEQUENCE, silent
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.splits import Role
from aerocast.models.trainer import roles, split_samples, train
from aerocast.tables import training
from aerocast.tables.training import Samples

BEFORE, AFTER, LATER = 90, 16, 20  # days: of the old regime, of the new one up to the retrain, and what judges
HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2024-01-01T00:00:00", "s")
CHANGE = START + BEFORE * 24 * HOUR
SINCE = CHANGE.item().replace(tzinfo=UTC)


def days(seed: int, hours: int) -> NDArray[np.float32]:
    """Temperature whose days go 4 degrees up and down and, after the change, swing by 12 and peak 5 hours later."""
    made = np.random.default_rng(seed)
    hour = np.arange(hours)
    new = hour >= BEFORE * 24
    weather = np.zeros(hours)
    for at in range(1, hours):
        weather[at] = 0.97 * weather[at - 1] + made.normal(0, 0.5)
    day = np.where(new, 12 * np.sin(2 * np.pi * (hour - 14) / 24), 4 * np.sin(2 * np.pi * (hour - 9) / 24))
    values: NDArray[np.float32] = (50 + day + weather + made.normal(0, 0.2, hours)).astype(np.float32)
    return values


@pytest.fixture(scope="module")
def plain() -> Feed:
    """One station and one column, forecasts 1 and 6 hours ahead."""
    return Feed.parse(
        {
            "name": "plain",
            "description": "Made days.",
            "source": {"kind": "csv", "path": "unused.csv", "station_field": "s", "time_field": "t"},
            "cadence": "PT1H",
            "seasons": ["P1D"],
            "start": "2024-01-01T00:00:00Z",
            "freshness": "PT6H",
            "stations": [{"id": "AAA"}],
            "columns": [
                {"name": "temperature", "field": "x", "source_unit": "degF", "unit": "degF", "range": [-60, 150]}
            ],
            "targets": ["temperature"],
            "window": {"steps": 5, "columns": ["temperature"], "look_back": 24},
            "horizons": [1, 6],
            "gap_policy": {"max_steps": 3},
            "split": {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P4D"},
            "candidates": {"linear": {}, "xgboost": {"rounds": 60}, "persistence": {}, "seasonal_naive": {}},
        }
    )


@pytest.fixture(scope="module")
def spec(plain: Feed) -> WindowSpec:
    return WindowSpec.of(plain, "temperature")


def register(con: duckdb.DuckDBPyConnection, spec: WindowSpec, seed: int) -> None:
    """Tables of training rows: `known` up to the retrain, `new` of the new regime alone, `later` after it."""
    hours = (BEFORE + AFTER + LATER) * 24
    values = days(seed, hours)[:, None]
    time = START + np.arange(hours) * HOUR
    change, now = BEFORE * 24, (BEFORE + AFTER) * 24
    for name, first, last in (("known", 0, now), ("new", change, now), ("later", now - 24, hours)):
        part = Grid("AAA", time[first:last], spec.columns, values[first:last], np.zeros_like(values[first:last]))
        con.register(name, training.table(spec, {"AAA": part}, months(part.time)))


def months(time: NDArray[np.datetime64]) -> list[str]:
    return sorted({str(month) for month in np.unique(time.astype("datetime64[M]"))})


@pytest.fixture(scope="module")
def con(spec: WindowSpec) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        register(opened, spec, 3)
        yield opened


@pytest.fixture(scope="module")
def known(con: duckdb.DuckDBPyConnection, spec: WindowSpec) -> Samples:
    return training.load(spec, con.table("known"))


def error(made: Candidate, con: duckdb.DuckDBPyConnection, spec: WindowSpec) -> float:
    """RMSE over the days after the retrain, mean over the horizons."""
    later = training.load(spec, con.table("later"))
    later = later.take(later.time >= START + (BEFORE + AFTER) * 24 * HOUR)
    return float(rmse(forecast(made.graph, later.rows.x, later.names, made.features), later.rows.y).mean())


def fitted(
    feed: Feed, con: duckdb.DuckDBPyConnection, kind: str, name: str = "known", since: datetime | None = None
) -> Candidate:
    return train(feed, "temperature", kind, con.table(name), silent, since)


@pytest.mark.e2e
def test_retrained_model_is_close_to_model_of_new_regime(plain: Feed, spec: WindowSpec) -> None:
    """Within 10 %, the mean over seeds: the issue's target. (One run alone scatters by 20 %: both learn from days.)"""
    ratios = []
    for seed in range(6):
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            register(con, spec, seed)
            old = error(fitted(plain, con, "linear"), con, spec)
            retrained = error(fitted(plain, con, "linear", since=SINCE), con, spec)
            alone = error(fitted(plain, con, "linear", "new", since=SINCE), con, spec)
        assert retrained < 0.4 * old
        ratios.append(retrained / alone)
    assert np.mean(ratios) < 1.1, ratios


@pytest.mark.parametrize("kind", ["linear", "xgboost", SEQUENCE])
def test_kinds_train_for_regime(plain: Feed, con: duckdb.DuckDBPyConnection, kind: str) -> None:
    steps: list[str] = []
    made = train(plain, "temperature", kind, con.table("known"), lambda _, m: steps.extend(m), SINCE)
    assert made.validation["new_regime_alone"] in (0.0, 1.0)
    assert made.validation["new_regime_alone_error_ratio"] > 0
    assert any(name.startswith("new_regime_validation_rmse") for name in steps), "both fits are seen"
    again = train(plain, "temperature", kind, con.table("known"), silent, SINCE)
    known = training.load(WindowSpec.of(plain, "temperature"), con.table("known"))
    one, other = (forecast(each.graph, known.rows.x, known.names, each.features) for each in (made, again))
    np.testing.assert_allclose(one, other, rtol=1e-4, err_msg="same rows, same model")


def test_baseline_is_trained_once_for_regime(plain: Feed, con: duckdb.DuckDBPyConnection) -> None:
    assert "new_regime_alone" not in fitted(plain, con, "persistence", since=SINCE).validation


def test_misleading_old_rows_are_dropped(plain: Feed, spec: WindowSpec) -> None:
    """A world that was wild and turned back at each step tells nothing of one that goes round, hour by hour."""
    made = np.random.default_rng(0)
    hours, change = 24 * 110, 24 * 80
    time = START + np.arange(hours) * HOUR
    values = np.zeros(hours)
    for at in range(1, change):
        values[at] = -0.9 * values[at - 1] + made.normal(0, 8)
    values[change:] = 5 * np.sin(2 * np.pi * np.arange(hours - change) / 31) + made.normal(0, 0.02, hours - change)
    grid = Grid("AAA", time, spec.columns, values[:, None].astype(np.float32) + 50, np.zeros((hours, 1), np.float32))
    with duckdb.connect() as con:
        con.register("known", training.table(spec, {"AAA": grid}, months(time)))
        found = train(
            plain, "temperature", "linear", con.table("known"), silent, time[change].item().replace(tzinfo=UTC)
        )
    assert found.validation["new_regime_alone_error_ratio"] < 0.5
    assert found.validation["new_regime_alone"] == 1.0
    assert to_numpy(found.start) >= time[change]


def test_training_rows_exclude_judging_and_calibration_rows(plain: Feed, spec: WindowSpec, known: Samples) -> None:
    role = roles(plain, spec, known, SINCE)
    reach = spec.horizons[-1] * HOUR
    learned = known.time[np.isin(role, [Role.TRAIN, Role.VALIDATION, Role.EARLIER])]
    for each in (Role.CALIBRATION, Role.TEST):
        own = known.time[role == each]
        assert (own >= CHANGE).all(), "what lies before the change neither calibrates nor judges"
        for moment in own:
            apart = (learned + reach < moment + HOUR) | (learned > moment + reach - HOUR)
            assert apart.all()
    assert (known.time[role == Role.EARLIER] < CHANGE - reach).all()


def test_training_span_is_reported(plain: Feed, con: duckdb.DuckDBPyConnection, known: Samples) -> None:
    made = fitted(plain, con, "linear", since=SINCE)
    plan = split_samples(plain, WindowSpec.of(plain, "temperature"), known, SINCE)
    assert to_numpy(made.end) + plan.reach < plan.test
    assert to_numpy(made.start) < CHANGE
    assert to_numpy(fitted(plain, con, "linear", "new", since=SINCE).start) >= CHANGE


@pytest.mark.parametrize("kind", ["linear", "xgboost", "persistence", SEQUENCE])
@pytest.mark.parametrize("since", [None, SINCE])
def test_only_what_serves_learns_judging_rows(
    plain: Feed, spec: WindowSpec, con: duckdb.DuckDBPyConnection, known: Samples, kind: str, since: datetime | None
) -> None:
    """The same rows but for other outcomes after the judging began."""
    plan = split_samples(plain, spec, known, since)
    column = training.outcome(spec, 1)
    later = con.table("known").project(
        f"* REPLACE (CASE WHEN time >= TIMESTAMPTZ '{plan.test}Z' THEN {column} + 40 ELSE {column} END AS {column})"
    )
    one, other = (train(plain, "temperature", kind, table, silent, since) for table in (con.table("known"), later))
    assert (one.graph, one.intervals, one.end, one.rows) == (other.graph, other.intervals, other.end, other.rows)
    assert one.newest is not None
    assert other.newest is not None
    assert one.newest.intervals.offsets != other.newest.intervals.offsets, "calibrated on rows that judged"
    if kind != "persistence":
        assert one.newest.graph != other.newest.graph
    assert to_numpy(one.newest.end) == known.time.max() > to_numpy(one.end)
    assert one.newest.rows > one.rows
    assert one.serving == one.newest


def test_intervals_are_calibrated_on_new_regime(plain: Feed, spec: WindowSpec, con: duckdb.DuckDBPyConnection) -> None:
    made = fitted(plain, con, "linear", since=SINCE)
    later = training.load(spec, con.table("later"))
    x, y = later.rows.x, later.rows.y
    low, high = made.intervals.apply(forecast(made.graph, x, later.names, made.features), x, later.names)
    inside = ((low <= y) & (y <= high))[np.isfinite(y).all(axis=1)].mean(axis=0)
    assert (inside > 0.75).all(), inside
    assert made.intervals.rows < 200


@pytest.mark.parametrize("kind", ["linear", "persistence", SEQUENCE])
def test_forecasts_of_what_is_not_negative_end_at_zero(plain: Feed, con: duckdb.DuckDBPyConnection, kind: str) -> None:
    """Measured values may be negative, and the models learn from them as they are."""
    (column,) = plain.columns
    feed = plain.model_copy(update={"columns": (column.model_copy(update={"non_negative": True}),)})
    spec = WindowSpec.of(feed, "temperature")
    hours = (BEFORE + AFTER) * 24
    values = days(3, hours)[:, None] - 50
    part = Grid("AAA", START + np.arange(hours) * HOUR, spec.columns, values, np.zeros_like(values))
    con.register("cold", training.table(spec, {"AAA": part}, months(part.time)))
    made, free = (train(each, "temperature", kind, con.table("cold"), silent) for each in (feed, plain))
    rows = training.load(spec, con.table("cold"))
    assert (rows.rows.y < 0).any()
    levels, plain_levels = (forecast(each.graph, rows.rows.x, rows.names, each.features) for each in (made, free))
    assert (plain_levels < 0).any()
    np.testing.assert_array_equal(levels, np.maximum(plain_levels, 0))
    lower, upper = made.intervals.apply(levels, rows.rows.x, rows.names)
    assert lower.min() == 0
    assert (upper >= levels).all()
    assert free.intervals.apply(levels, rows.rows.x, rows.names)[0].min() < 0


def test_short_regime_is_refused(plain: Feed, con: duckdb.DuckDBPyConnection) -> None:
    late = (CHANGE + (AFTER * 24 - 30) * HOUR).item().replace(tzinfo=UTC)
    with pytest.raises(AeroCastError, match="are needed"):
        fitted(plain, con, "linear", since=late)


def test_empty_calibration_block_is_reported(
    plain: Feed, spec: WindowSpec, con: duckdb.DuckDBPyConnection, known: Samples
) -> None:
    mine = roles(plain, spec, known) == Role.CALIBRATION
    gone = ", ".join(f"TIMESTAMPTZ '{time}Z'" for time in np.unique(known.time[mine]))
    left = con.table("known").filter(f"time NOT IN ({gone})")
    with pytest.raises(AeroCastError, match="no calibration rows"):
        train(plain, spec.target, "persistence", left, silent)
