"""Each target stands for itself after a run: what serves, what failed and why, and where no model was good enough."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from cli.failures import Failure, beside_targets, failures, standings
from tests.factories.feeds import declaration, small_feed
from tests.factories.releases import publish

TARGETS = ("temperature", "windspeed", "pressure")


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return small_feed(tmp_path / "x.csv", name="noaa", targets=TARGETS, window=declaration(tmp_path)["window"])


def run(*, blocks: bool) -> dg.ExecuteInProcessResult:
    """A run of two assets: one that raises, and one whose check does not pass."""

    @dg.asset
    def broken() -> None:
        raise ValueError("inside") from AeroCastError("the disk is full")

    @dg.asset
    def weak() -> None: ...

    @dg.asset_check(asset=weak, blocking=blocks)
    def good_enough() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description="No model was good enough.", metadata={"rows": 7})

    defs = dg.Definitions([broken, weak], asset_checks=[good_enough])
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def test_reason_is_our_own_sentence_and_a_checks_description() -> None:
    reasons = {each.step: each.reason for each in failures(run(blocks=True).all_events)}
    assert reasons == {
        "broken": "the disk is full",
        "weak_good_enough": "good_enough: No model was good enough.",
    }
    assert [each.step for each in failures(run(blocks=False).all_events)] == ["broken"]
    assert str(Failure("small__raw", "gone")) == "small/raw: gone"


@pytest.fixture
def states(feed: Feed, tmp_path: Path) -> Any:
    publish(tmp_path, 1)

    def states(*failed: Failure, waiting: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
        waiting = {"windspeed": "", "pressure": ""} if waiting is None else waiting
        return {each.target: (each.state, each.text) for each in standings(tmp_path, feed, failed, waiting)}

    return states


def test_failing_target_hides_no_other(states: Any) -> None:
    poor = Failure("noaa__windspeed__champion_checks", "skill_above_zero: none")
    broken = Failure("noaa__pressure__linear", "the disk is full")
    assert states(poor, broken) == {
        "temperature": ("serves", "serves 0001-00000001: linear"),
        "windspeed": ("poor", "no model was good enough"),
        "pressure": ("failed", "FAILED: noaa/pressure/linear: the disk is full"),
    }
    waiting = states(waiting={"windspeed": "too short", "pressure": ""})
    assert waiting["windspeed"] == ("waits", "waits: too short")


def test_check_that_fails_while_a_release_serves_is_a_failure(states: Any) -> None:
    weak = Failure("noaa__temperature__champion_checks", "skill_above_zero: -0.2")
    state, text = states(weak)["temperature"]
    assert (state, text.endswith("; serves 0001-00000001: linear")) == ("failed", True)


def test_failure_of_what_targets_share_is_beside_them(feed: Feed) -> None:
    shared, own = Failure("noaa__bronze", "gone"), Failure("noaa__pressure__linear", "gone")
    assert beside_targets(feed, [shared, own]) == [shared]
