"""Old runs go; what an asset's state rests on stays. On a real instance with the project's dagster.yaml."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from aerocast_assets.automation.retention import KEPT, purge_old, purge_runs
from aerocast_assets.definitions import defs

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b"])


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


def make(instance: dg.DagsterInstance, asset: object, partition: str | None = None, selection: object = None) -> str:
    made = dg.materialize(
        [asset, good] if asset is model else [asset],
        instance=instance,
        partition_key=partition,
        selection=selection,
        raise_on_error=False,
    )
    return made.run_id


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_only_runs_that_nothing_rests_on_are_deleted(home: Path, instance: dg.DagsterInstance) -> None:
    replaced = [make(instance, months, "a"), make(instance, model), make(instance, broken)]
    checked = make(instance, model, selection=dg.AssetSelection.checks_for_assets(model))
    kept = [make(instance, months, "b"), make(instance, months, "a"), make(instance, model)]
    files = {path.stem for path in (home / "history" / "runs").glob("*.db")}
    assert {*replaced, *kept} <= files
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert purge_old(instance, soon - KEPT, [good.check_key]) == 0
    assert purge_old(instance, soon, [good.check_key]) == len(replaced) + 1
    assert runs(instance) == set(kept)
    left = {path.stem for path in (home / "history" / "runs").glob("*.db")}
    assert left.isdisjoint([*replaced, checked])
    assert not any((home / run).exists() for run in replaced)
    assert instance.get_materialized_partitions(months.key) == {"a", "b"}
    assert instance.get_latest_materialization_event(model.key) is not None
    assert purge_old(instance, soon, [good.check_key]) == 0


def test_a_check_made_after_its_asset_stays(instance: dg.DagsterInstance) -> None:
    made = make(instance, model)
    checked = make(instance, model, selection=dg.AssetSelection.checks_for_assets(model))
    assert purge_old(instance, datetime.now(UTC) + timedelta(minutes=1), [good.check_key]) == 0
    assert runs(instance) == {made, checked}


def test_a_run_that_is_not_finished_stays(instance: dg.DagsterInstance) -> None:
    started = instance.create_run_for_job(purge_runs, status=dg.DagsterRunStatus.STARTED)
    assert purge_old(instance, datetime.now(UTC) + timedelta(minutes=1)) == 0
    assert runs(instance) == {started.run_id}


def test_the_schedule_is_on_and_its_job_runs(instance: dg.DagsterInstance) -> None:
    repository = defs().get_repository_def()
    schedule = repository.get_schedule_def("purge_old_runs")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert repository.get_job("purge_runs").execute_in_process(instance=instance).success
