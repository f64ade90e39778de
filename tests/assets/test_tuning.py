"""A tuning is made when people ask, goes on where it stopped, and proposes what can be declared as it is."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from aerocast.feed.declaration import Feed
from aerocast.releases import release
from aerocast_assets.keys import experiment_job_name, key
from tests.factories.feeds import small_feed
from tests.harness.graph import dagster_instance, definitions, first_run, metadata

pytestmark = pytest.mark.e2e  # whole loops of the asset graph
pytest.importorskip("optuna", reason="the extra `tuning` is not installed")

TARGET = "temperature"
CANDIDATES = {"xgboost": {"rounds": 4, "rate": 0.02}, "persistence": {}, "seasonal_naive": {}}


def run(feed: Feed, home: Path, instance: dg.DagsterInstance, **config: Any) -> dict[str, Any]:
    job = definitions(home, feed).resolve_job_def(experiment_job_name(feed, "tuning"))
    ops = {"ops": {"small__experiments": {"config": config}}} if config else {}
    result = job.execute_in_process(instance=instance, run_config=ops)
    return metadata(result, key(feed, TARGET, "tuning"))


def test_tuning_proposes_a_declaration_and_changes_nothing_that_serves(readings: Path, home: Path) -> None:
    def tuned(trials: int, **more: Any) -> Feed:
        return small_feed(readings, candidates=CANDIDATES, tuning={"folds": 1, "trials": trials, **more})

    feed = tuned(2)
    first_run(home, feed)
    before = release.current(home, "small", TARGET)
    with dagster_instance(home) as instance:
        made, again, more, anew = (
            run(each, home, instance, **config)
            for each, config in ((feed, {}), (feed, {}), (tuned(3), {}), (feed, {"force": True}))
        )
        assert [each["status"] for each in (made, again, more, anew)] == [
            "computed",
            "unchanged",
            "computed",
            "computed",
        ]
        assert made["xgboost"].startswith("2 trials over 1 fold from 2024-")
        assert more["xgboost"].startswith("3 trials over 1 fold from 2024-")
        for name in ("xgboost", "xgboost_trials", "xgboost_declaration"):
            assert anew[name] == again[name] == made[name]
        assert "| declared |" in made["xgboost_trials"]
        text = made["xgboost_declaration"].removeprefix("```yaml\n").removesuffix("```")
        proposal = yaml.safe_load(text)["candidates"]["xgboost"]
        copied = {**CANDIDATES, "xgboost": {**CANDIDATES["xgboost"], **proposal}}
        assert small_feed(readings, candidates=copied).candidates["xgboost"]["rate"] == proposal["rate"]
        (journal,) = (home / "tuning/small/temperature").glob("*.journal")
        run(tuned(1, seed=5), home, instance)
        (other,) = (home / "tuning/small/temperature").glob("*.journal")
        assert other != journal, "the journal of another seed stays beside none"
    assert release.current(home, "small", TARGET) == before
