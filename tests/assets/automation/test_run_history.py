"""Old runs go; what Dagster or the loop still reads stays. On a real instance with the project's dagster.yaml."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, TickData, TickStatus
from dagster._core.storage.runs.schema import RunsTable

from aerocast_assets.automation import run_history
from aerocast_assets.automation.run_history import OLDEST, prune
from aerocast_assets.keys import RETRAIN_OF

pytestmark = pytest.mark.e2e  # real instances with many runs

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b"])
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2030, 6, 15, 12, 30, tzinfo=UTC)


@dg.asset(partitions_def=PARTITIONS)
def months() -> None: ...


@dg.asset
def model() -> None: ...


@dg.asset_check(asset=model)
def good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset
def broken() -> None:
    raise ValueError("broken")


@dg.job
def nothing() -> None: ...


@pytest.fixture(autouse=True)
def nobody_looks_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_history, "NEWEST", 0)


def make(instance: dg.DagsterInstance, asset: object, partition: str | None = None, selection: object = None) -> str:
    made = dg.materialize(
        [asset, good] if asset is model else [asset],
        instance=instance,
        partition_key=partition,
        selection=selection,
        raise_on_error=False,
    )
    return made.run_id


def finished(
    instance: dg.DagsterInstance, age: timedelta, tags: dict[str, str] | None = None, failed: bool = False
) -> str:
    """A run of `nothing` that ended that long before NOW."""
    status = dg.DagsterRunStatus.FAILURE if failed else dg.DagsterRunStatus.SUCCESS
    return aged(instance, instance.create_run_for_job(nothing, status=status, tags=tags).run_id, age)


def aged(instance: dg.DagsterInstance, run_id: str, age: timedelta) -> str:
    ended = NOW - age
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of the SQLite storage
        change = sqlalchemy.update(RunsTable).where(RunsTable.c.run_id == run_id)
        connection.execute(change.values(end_time=ended.timestamp(), update_timestamp=ended.replace(tzinfo=None)))
    return run_id


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_only_unreferenced_runs_are_deleted(home: Path, instance: dg.DagsterInstance) -> None:
    replaced = [make(instance, months, "a"), make(instance, model), make(instance, broken)]
    checked = make(instance, model, selection=dg.AssetSelection.checks_for_assets(model))
    kept = [make(instance, months, "b"), make(instance, months, "a"), make(instance, model)]
    shards, logs = home / "dagster" / "history" / "runs", home / "dagster" / "storage"
    assert {*replaced, *kept} <= {path.stem for path in shards.glob("*.db")}
    assert {*replaced, *kept} <= {path.name for path in logs.iterdir()}
    now = datetime.now(UTC)
    assert prune(instance, now).runs == 0, "all of them are fresh"
    assert prune(instance, now + 2 * OLDEST).runs == len(replaced) + 1
    assert runs(instance) == set(kept)
    assert {path.stem for path in shards.glob("*.db")}.isdisjoint([*replaced, checked])
    assert {path.name for path in logs.iterdir()}.isdisjoint([*replaced, checked])
    assert instance.get_materialized_partitions(months.key) == {"a", "b"}
    assert instance.get_latest_materialization_event(model.key) is not None
    history = instance.event_log_storage.get_asset_check_execution_history(good.check_key, limit=10)
    assert [each.run_id for each in history] == [kept[-1]]
    assert prune(instance, now + 2 * OLDEST).runs == 0
    assert {path.name for path in home.iterdir()} == {"dagster"}, "nothing else lies about"


def test_check_evaluated_after_its_asset_stays(instance: dg.DagsterInstance) -> None:
    made = make(instance, model)
    checked = make(instance, model, selection=dg.AssetSelection.checks_for_assets(model))
    assert prune(instance, datetime.now(UTC) + 2 * OLDEST).runs == 0
    assert runs(instance) == {made, checked}


def test_old_runs_are_thinned_to_hourly_then_daily(instance: dg.DagsterInstance) -> None:
    fresh = [finished(instance, minutes * HOUR / 60) for minutes in (170, 5)]
    yesterday = [
        finished(instance, DAY + minutes * HOUR / 60) for minutes in (85, 45, 25, 5)
    ]  # 11:05 11:45 12:05 12:25
    last_week = [finished(instance, 7 * DAY + hours * HOUR) for hours in (30, 20, 3, 1)]
    failed = finished(instance, 7 * DAY + 2 * HOUR, failed=True)
    assert prune(instance, NOW).runs == 4
    assert runs(instance) == {*fresh, yesterday[1], yesterday[3], last_week[1], last_week[3], failed}
    assert prune(instance, NOW + 2 * OLDEST).runs == 7


def test_runs_read_by_sensors_and_retries_stay(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_history, "NEWEST", 2)
    started = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED).run_id
    retrains = [finished(instance, 200 * DAY - day * HOUR, {RETRAIN_OF: "noaa/temperature"}) for day in range(4)]
    others = [finished(instance, 100 * DAY - day * HOUR) for day in range(4)]
    young = [finished(instance, 30 * DAY - day * HOUR, {RETRAIN_OF: "noaa/humidity"}) for day in range(5)]
    assert prune(instance, NOW, limit=0).runs == 6
    assert runs(instance) == {started, *retrains[2:], *young}, "and a retrain is never one of many"
    assert others


def test_oldest_runs_are_deleted_earlier_beyond_size_limit(home: Path, instance: dg.DagsterInstance) -> None:
    made = [aged(instance, make(instance, broken), age * DAY) for age in (9, 8, 7)]
    first = prune(instance, NOW)
    assert first.runs == 0
    shard = home / "dagster" / "history" / "runs" / f"{made[0]}.db"
    assert prune(instance, NOW, limit=first.bytes - shard.stat().st_size).runs == 1
    assert runs(instance) == set(made[1:])


def test_ticks_of_removed_sensor_are_deleted(home: Path, instance: dg.DagsterInstance) -> None:
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("aerocast"), "__repository__")
    own = origin.get_instigator_origin("a_sensor")
    state = InstigatorState(own, InstigatorType.SENSOR, InstigatorStatus.RUNNING)
    instance.add_instigator_state(state)
    said: dict[TickStatus, dict[str, Any]] = {
        TickStatus.SKIPPED: {"skip_reason": "quiet"},
        TickStatus.SUCCESS: {"run_ids": ["r"]},
    }
    for age in (8, 6):
        for status, words in said.items():
            when = (NOW - age * DAY).timestamp()
            ids = state.instigator_origin_id, "a_sensor", InstigatorType.SENSOR
            instance.create_tick(TickData(*ids, status, when, selector_id=state.selector_id, **words))
    logs = home / "dagster" / "storage" / "__repository__" / "a_sensor"
    logs.mkdir(parents=True)
    for name, old in (("1", 3 * DAY), ("2", HOUR)):
        (logs / f"{name}.err").write_text("said")
        os.utime(logs / f"{name}.err", ((NOW - old).timestamp(),) * 2)
    assert prune(instance, NOW).tick_logs == 1
    left = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    assert sorted(tick.status.value for tick in left) == ["SKIPPED", "SUCCESS"]
    assert [path.name for path in logs.iterdir()] == ["2.err"]


def test_databases_return_free_space(home: Path, instance: dg.DagsterInstance) -> None:
    note = "x" * 1_000_000
    for _ in range(8):
        finished(instance, 200 * DAY, tags={"note": note})
    database = home / "dagster" / "history" / "runs.db"
    before = database.stat().st_size
    done = prune(instance, NOW)
    assert (done.runs, done.rewritten) == (8, 1)
    assert database.stat().st_size < before / 2
    assert runs(instance) == set()
