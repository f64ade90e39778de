"""A study sees no row that judges, goes on where it was killed as if it was not, and proposes only what is better."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.experiments import tuning
from aerocast.experiments.tuning import Study, tune
from aerocast.features.dataset import Rows
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import model
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from aerocast.tables.training import Samples
from tests.factories.samples import HOUR, hourly_feed, samples_of

pytest.importorskip("optuna", reason="the extra `tuning` is not installed")

CANDIDATES = {"xgboost": {"rounds": 8, "rate": 0.25}, "persistence": {}, "seasonal_naive": {}}


def feed_with(**changes: Any) -> Feed:
    values = {"folds": 2, "trials": 3, "budget": None, **changes}
    return hourly_feed(candidates=CANDIDATES, tuning=values)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return samples_of(feed_with(), 120)


def study(samples: Samples, journal: Path, **changes: Any) -> Study:
    feed = feed_with(**changes)
    return tune(feed, WindowSpec.of(feed, "temperature"), samples, "xgboost", journal, lambda _: None)


def test_study_sees_no_row_that_judges(samples: Samples, tmp_path: Path) -> None:
    feed = feed_with()
    spec = WindowSpec.of(feed, "temperature")
    begin = samples.time[roles(feed, spec, samples) == Role.TEST].min()
    x, y = samples.rows.x.copy(), samples.rows.y.copy()
    x[samples.time >= begin] = np.nan
    y[samples.time + spec.horizons[-1] * HOUR >= begin] = 1e3
    changed = replace(samples, rows=Rows(x, y))
    one, other = study(samples, tmp_path / "a.journal"), study(changed, tmp_path / "b.journal")
    assert np.datetime64(one.end.replace(tzinfo=None)) + spec.horizons[-1] * HOUR < begin
    assert [each.values for each in one.trials] == [each.values for each in other.trials]
    for mine, its in zip((one.declared, *one.trials), (other.declared, *other.trials), strict=True):
        np.testing.assert_allclose(mine.errors, its.errors, rtol=1e-6)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_study_goes_on_with_the_trials_of_one_that_was_not(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = study(samples, tmp_path / "whole.journal")
    calls, own = [0], tuning.errors

    def killed(*arguments: Any) -> list[float]:
        calls[0] += 1
        if calls[0] == after + 2:  # the declared parameters come first
            raise KeyboardInterrupt
        return own(*arguments)

    monkeypatch.setattr(tuning, "errors", killed)
    with pytest.raises(KeyboardInterrupt):
        study(samples, tmp_path / "cut.journal")
    monkeypatch.setattr(tuning, "errors", own)
    again = study(samples, tmp_path / "cut.journal")
    assert [each.values for each in again.trials] == [each.values for each in whole.trials]


def test_finished_study_trains_nothing_and_a_larger_budget_goes_on(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = study(samples, tmp_path / "a.journal", trials=2)
    longer = study(samples, tmp_path / "a.journal", trials=3)
    assert {str(each.values) for each in first.trials} < {str(each.values) for each in longer.trials}
    monkeypatch.setattr(tuning, "errors", None)
    assert study(samples, tmp_path / "a.journal", trials=3) == longer
    assert study(samples, tmp_path / "a.journal", trials=9, budget="PT0.001S") == longer


def test_other_seed_makes_other_trials(samples: Samples, tmp_path: Path) -> None:
    one, other = (study(samples, tmp_path / f"{seed}.journal", trials=1, seed=seed) for seed in (0, 1))
    assert one.trials[0].values != other.trials[0].values
    assert one.declared == other.declared


def test_trials_stay_where_the_kind_says(samples: Samples, tmp_path: Path) -> None:
    searches = model("xgboost").searches()
    for each in study(samples, tmp_path / "a.journal").trials:
        assert set(each.values) == set(searches)
        assert all(searches[name].low <= value <= searches[name].high for name, value in each.values.items())
        assert model("xgboost").parse(each.values), "they can be declared as they are"


def test_proposal_is_what_has_the_least_error(samples: Samples, tmp_path: Path) -> None:
    found = study(samples, tmp_path / "a.journal")
    assert found.best.error == min(each.error for each in (found.declared, *found.trials))
    worse = Study("xgboost", found.trials[0], (found.trials[-1],), found.time, found.start, found.end)
    assert worse.best == worse.declared
    assert worse.sentence.endswith("have found nothing better than what is declared")
    better = Study("xgboost", found.trials[-1], found.trials, found.time, found.start, found.end)
    assert "% less, and less in " in better.sentence


def test_tuning_of_what_has_nothing_to_tune_is_refused() -> None:
    with pytest.raises(AeroCastError, match="'persistence' has nothing to tune"):
        feed_with(kinds=["persistence"])
    assert hourly_feed().tuned_kinds == ()
    assert feed_with().tuned_kinds == ("xgboost",)


@pytest.mark.parametrize("kind", ["xgboost", "gru", "lstm"])
def test_searches_hold_the_defaults(kind: str) -> None:
    defaults = model(kind).parse({})
    for name, search in model(kind).searches().items():
        assert search.low <= getattr(defaults, name) <= search.high, name
