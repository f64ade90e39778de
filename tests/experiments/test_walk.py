"""A backtest learns nothing of what judges, chooses as promotion does, and measures every model on the same rows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerocast.experiments import overview
from aerocast.experiments.backtests import Backtest
from aerocast.experiments.folds import Fold, folds
from aerocast.experiments.rows import EVERY, Row, rows
from aerocast.experiments.walk import CHALLENGER, Answers, answer, train
from aerocast.features.dataset import Rows
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import model
from aerocast.models.trainer import of_kind
from aerocast.promotion.scoring import ALL
from aerocast.tables.training import Samples
from tests.factories.samples import HOUR, hourly_feed, samples_of

DAYS = 120
KINDS = ("linear", "xgboost", "persistence", "seasonal_naive")


@pytest.fixture(scope="module")
def feed() -> Feed:
    candidates = {"linear": {}, "xgboost": {"rounds": 20}, "persistence": {}, "seasonal_naive": {}}
    stations = [{"id": "AAA", "latitude": 40, "longitude": 0}, {"id": "BBB", "latitude": -40, "longitude": 0}]
    return hourly_feed(candidates=candidates, stations=stations, backtest={"folds": 2, "past": 0.6})


@pytest.fixture(scope="module")
def spec(feed: Feed) -> WindowSpec:
    return WindowSpec.of(feed, "temperature")


@pytest.fixture(scope="module")
def samples(feed: Feed) -> Samples:
    return samples_of(feed, DAYS)


@pytest.fixture(scope="module")
def first(feed: Feed, spec: WindowSpec, samples: Samples) -> Fold:
    return folds(feed.split, spec, samples.time, feed.backtest)[0]


@pytest.fixture(scope="module")
def walk(feed: Feed, spec: WindowSpec, samples: Samples) -> list[Answers]:
    return [
        answer(feed, spec, samples, fold, feed.backtest_kinds, lambda _: None)
        for fold in folds(feed.split, spec, samples.time, feed.backtest)
    ]


@pytest.fixture(scope="module")
def table(feed: Feed, walk: list[Answers]) -> list[Row]:
    return rows(feed, walk)


def forecasts(feed: Feed, spec: WindowSpec, samples: Samples, fold: Fold, kind: str, probe: Samples) -> np.ndarray:
    """Forecasts and quantiles of the fold's fit on rows that are the same whatever it was given."""
    own, asked = train(feed, spec, samples, fold, kind), of_kind(model(kind), spec, probe)
    levels = own.final.levels(asked.rows.x)
    quantiles = own.intervals.at(levels, own.intervals.distances(levels, asked.rows.x, asked.names))
    return np.concatenate([levels[:, :, None], quantiles], axis=2)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**31), whole=st.booleans())
def test_rows_from_a_fold_on_change_nothing_of_its_fit(
    feed: Feed, spec: WindowSpec, samples: Samples, first: Fold, kind: str, seed: int, whole: bool
) -> None:
    """Nor do labels before it that reach into it: whatever was measured from its begin on, the fit is the same."""
    rng, reach = np.random.default_rng(seed), spec.horizons[-1] * HOUR
    later = samples.time >= first.cut.test
    x, y = samples.rows.x.copy(), samples.rows.y.copy()
    x[later] = rng.normal(0, 1e3, x[later].shape) if whole else np.nan
    y[samples.time + reach >= first.cut.test] = rng.normal(0, 1e3)
    changed = replace(samples, rows=Rows(x, y))
    probe = samples.take(first.judging(samples.time))
    before, after = (forecasts(feed, spec, each, first, kind, probe) for each in (samples, changed))
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def test_rows_before_a_fold_change_its_fit(feed: Feed, spec: WindowSpec, samples: Samples, first: Fold) -> None:
    """So that the property above is not one of a fit that nothing changes."""
    past = first.past(samples.time)
    y = np.where(past[:, None], samples.rows.y + np.sin(np.arange(len(past)))[:, None], samples.rows.y)
    changed = replace(samples, rows=Rows(samples.rows.x, y.astype(np.float32)))
    probe = samples.take(first.judging(samples.time))
    before, after = (forecasts(feed, spec, each, first, "linear", probe) for each in (samples, changed))
    assert not np.allclose(after, before, atol=1e-3)


def test_challenger_is_at_each_horizon_a_candidate_that_calibration_rows_choose(walk: list[Answers]) -> None:
    for each in walk:
        assert set(each.kinds) == {1, 6}
        assert set(each.kinds.values()) <= {"linear", "xgboost"}
        for at, kind in enumerate(each.kinds.values()):
            own = each.losses[CHALLENGER].error[:, at]
            np.testing.assert_array_equal(own, each.losses[kind].error[:, at])


def test_every_model_is_measured_on_the_same_rows(table: list[Row]) -> None:
    counts: dict[tuple[object, ...], set[int]] = {}
    for row in table:
        counts.setdefault((row.fold, row.station, row.season, row.horizon), set()).add(row.n)
    assert all(len(own) == 1 for own in counts.values())
    assert {row.model for row in table} == {*KINDS, CHALLENGER}
    assert {row.fold for row in table} == {EVERY, 1, 2}
    assert {row.station for row in table} == {ALL, "AAA", "BBB"}


@pytest.mark.parametrize("part", ["fold", "station", "season"])
def test_rows_of_all_are_those_of_the_parts(table: list[Row], part: str) -> None:
    whole = {"fold": EVERY, "station": ALL, "season": ALL}
    for total in (row for row in table if all(getattr(row, name) == value for name, value in whole.items())):
        others = {name: value for name, value in whole.items() if name != part}
        own = [
            row
            for row in table
            if (row.model, row.horizon) == (total.model, total.horizon)
            and getattr(row, part) != whole[part]
            and all(getattr(row, name) == value for name, value in others.items())
        ]
        assert sum(row.n for row in own) == total.n
        for measure in ("mae", "coverage", "winkler", "mase"):
            mean = sum(row.n * getattr(row, measure) for row in own) / total.n
            assert getattr(total, measure) == pytest.approx(mean), measure


def test_models_beat_baselines_on_days_that_repeat_with_weather(table: list[Row]) -> None:
    own = {(row.model, row.horizon): row for row in overview.select(table)}
    for horizon in (1, 6):
        naive = own["seasonal_naive", horizon]
        assert own[CHALLENGER, horizon].rmse < min(naive.rmse, own["persistence", horizon].rmse)
        assert own[CHALLENGER, horizon].wql is not None
        assert 0.8 < own[CHALLENGER, horizon].coverage < 0.98
        # It is measured in its own errors of another time, on days that are alike.
        assert naive.mase == pytest.approx(1, abs=0.25)


def test_sentence_says_skill_folds_and_coverage(table: list[Row], walk: list[Answers]) -> None:
    from datetime import UTC, datetime

    text = overview.sentence(Backtest("c", datetime.now(UTC), "r", table))
    assert text.startswith(f"2 folds from {walk[0].samples.time.min().item():%Y-%m-%d} to 2024-04-29")
    assert "has skill +" in text
    assert "better in 2 of 2 folds" in text


def test_tables_have_a_column_for_each_fold_season_and_station(table: list[Row]) -> None:
    assert [*overview.by_fold(table)[0]] == ["model", "steps ahead", "fold 1", "fold 2"]
    assert [*overview.by_season(table)[0]] == ["model", "steps ahead", "spring", "autumn"]
    assert [*overview.by_station(table)[0]] == ["model", "steps ahead", "AAA", "BBB"]
    names = {row["model"] for row in overview.measures(table)}
    assert {"persistence (baseline)", "seasonal_naive (baseline)"} <= names
