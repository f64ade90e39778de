"""Property of pruning: whatever went, Dagster and the loop say and decide what they said and decided before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from aerocast.feed.declaration import Feed
from aerocast_assets.automation import live, run_history, runs
from aerocast_assets.keys import RETRAIN_OF, live_job_name, retrain_job_name
from tests.factories.feeds import small_feed, write_readings
from tests.harness.graph import refresh
from tests.harness.loop import Loop

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

TARGET = "temperature"


def said(loop: Loop, now: datetime) -> dict[str, Any]:
    """What is stale, what checks found, what the policies of both sensors and the schedule go by."""
    graph = loop.defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(loop.instance, graph, LoadingContextForTest(loop.instance))
    partitions = {each: graph.get(each).partitions_def for each in graph.materializable_asset_keys}
    stale = {
        (each, partition): resolver.get_status(each, partition)
        for each, definition in partitions.items()
        for partition in (definition.get_partition_keys() if definition else [None])
    }
    checks = loop.instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    return {
        "stale": stale,
        "checks": {key: (each.status, each.run_id) for key, each in checks.items()},
        "retrains": list(runs.retrains(loop.instance, loop.home, loop.feed, TARGET)),
        "live": live.newest_runs(loop.instance, loop.home, loop.feed, now),
        "routine": loop.due().skip_message,
    }


def execute(loop: Loop, job: str, **tags: str) -> None:
    made = loop.defs.resolve_job_def(job)
    assert made.execute_in_process(instance=loop.instance, tags=tags).success


def test_pruning_changes_no_decision(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed: Feed = small_feed(write_readings(tmp_path / "readings.csv", hours=24 * 118))
    assert refresh(feed, home, instance).success
    loop = Loop(feed, home, instance)
    span = {f"dagster/asset_partition_range_{end}": "2024-04" for end in ("start", "end")}
    write_readings(tmp_path / "readings.csv", hours=24 * 120)
    execute(loop, live_job_name(feed), **span)
    for _ in range(2):
        execute(loop, retrain_job_name(feed, TARGET), **{RETRAIN_OF: f"small/{TARGET}"})
    assert refresh(feed, home, instance).success
    now = datetime.now(UTC)
    before = said(loop, now)
    monkeypatch.setattr(run_history, "NEWEST", 1)
    done = run_history.prune(instance, now + 2 * run_history.OLDEST, limit=0)
    assert done.runs >= 2, "the older run over everything, and the older retrain"
    assert said(loop, now) == before
    again = refresh(feed, home, instance)
    assert again.success
    made = [event.materialization.metadata["status"].value for event in again.get_asset_materialization_events()]
    assert set(made) == {"unchanged"}, "what runs skip is known by content, not by runs"
    assert run_history.prune(instance, now + timedelta(days=1)).runs == 0
