"""A backtest is made when people ask, once from the same rows; the champion's page says what it came to."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aerocast.experiments import backtests
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast_assets.keys import experiment_job_name, job_name, key, live_job_name, retrain_job_name
from cli.__main__ import main
from tests.factories.feeds import small_feed
from tests.harness.graph import dagster_instance, definitions, first_run, metadata, refresh

TARGET = "temperature"
KINDS = ("linear", "persistence", "seasonal_naive")


def run(feed: Feed, home: Path, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = definitions(home, feed).resolve_job_def(experiment_job_name(feed, "backtest"))
    ops = {"ops": {"small__experiments": {"config": config}}} if config else {}
    return job.execute_in_process(instance=instance, run_config=ops, raise_on_error=False)


@pytest.mark.parametrize("name", ["backtest", "tuning"])
def test_only_its_own_job_makes_it(feed: Feed, home: Path, name: str) -> None:
    own, defs = key(feed, TARGET, name), definitions(home, feed)
    jobs = [job_name(feed), live_job_name(feed), retrain_job_name(feed, TARGET)]
    jobs += [experiment_job_name(feed, each) for each in ("backtest", "tuning")]
    makers = {each for each in jobs if own in defs.resolve_job_def(each).asset_layer.selected_asset_keys}
    assert makers == {experiment_job_name(feed, name)}
    assert defs.resolve_asset_graph().get(own).automation_condition is None


@pytest.mark.e2e
def test_backtest_is_made_once_and_stands_on_the_page_of_the_champion(readings: Path, home: Path) -> None:
    feed = small_feed(readings, backtest={"folds": 2})
    result, champion = first_run(home, feed), key(feed, TARGET, "champion")
    assert (
        metadata(result, champion)["backtest"] == "none of this configuration: materialise small/temperature/backtest"
    )
    lake = Lake(home)
    with dagster_instance(home) as instance:
        made, again, forced = (run(feed, home, instance, **each) for each in ({}, {}, {"force": True}))
        own = [metadata(each, key(feed, TARGET, "backtest")) for each in (made, again, forced)]
        assert [each["status"] for each in own] == ["computed", "unchanged", "computed"]
        assert own[0]["summary"].startswith("2 folds from 2024-03-0")
        assert "| persistence (baseline) | 1 |" in own[0]["measures"]
        assert Path(own[0]["backtest_file"]) == home / "reports/small/temperature/backtest.png"
        assert own[0]["measures"] == own[1]["measures"]
        page = metadata(refresh(feed, home, instance, selection=[champion]), champion)
        assert page["status"] == "unchanged"
        assert page["backtest"].startswith(own[2]["summary"])
        assert page["backtest_measures"] == own[0]["measures"]
        other = small_feed(readings, backtest={"folds": 3})
        page = metadata(refresh(other, home, instance, selection=[champion]), champion)
        assert page["backtest"].startswith("none of this configuration; that of ")
    newest = backtests.newest(lake, "small", TARGET)
    assert newest is not None
    assert {row.model for row in newest.rows} == {*KINDS, "challenger"}
    assert sum(lake.rows("small/temperature/backtests").values()) == 2 * len(newest.rows)


@pytest.mark.e2e
def test_command_prints_every_model(
    feed: Feed, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_run(home, feed)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setattr("cli.backtest.find_target", lambda name, target: (feed, target))
    capsys.readouterr()
    for force in ([], ["--force"]):
        assert main(["backtest", "--feed", "small", "--target", TARGET, "--wait", *force]) == 0
        text = capsys.readouterr().out.partition("small/temperature: ")[2]
        assert text.startswith("4 folds from ")
        lines = [line.split()[0] for line in text.splitlines()[2:]]
        assert sorted(lines) == sorted(["model", *2 * ["linear", "persistence", "seasonal_naive", "challenger"]])


@pytest.mark.e2e
def test_too_short_past_fails_with_a_sentence(readings: Path, home: Path) -> None:
    feed = small_feed(readings, backtest={"past": 0.02})
    first_run(home, feed)
    with dagster_instance(home) as instance:
        result = run(feed, home, instance)
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "raise backtest.past" in str(failure.step_failure_data.error)
    assert backtests.newest(Lake(home), "small", TARGET) is None
