"""The main job: a feed's whole graph through Dagster, one forecast from a real server, and a readable summary."""

import time
from pathlib import Path

import dagster as dg

from aerocast.feed import Feed
from aerocast_assets.cli import summary
from aerocast_assets.cli.ask import ask_server
from aerocast_assets.definitions import defs as load_definitions
from aerocast_assets.feeds import find_feed
from aerocast_assets.graph import job_name, observe_job_name
from aerocast_assets.keys import months

# Says which process runs a run, so that the next `make run` can tell a killed one from a living one.
PROCESS_TAG = "aerocast/process"


def run(feed_name: str, home: Path, *, force: bool = False) -> int:
    """Materialises everything of the feed that is out of date, then prints what there is. Exit status 0 or 1.

    Raises:
        AeroCastError: no such feed, or a source, disk or server that cannot be used.
    """
    started = time.monotonic()
    feed = find_feed(feed_name)
    definitions = load_definitions()
    with dg.DagsterInstance.get() as instance:
        recover(instance)
        print(f"AeroCast: {feed.description}\nHome {home}\n\nMaterialising {feed.name}/* ...", flush=True)
        observe(definitions, feed, instance)
        result = refresh(definitions, feed, instance, force=force)
        if not result.success:
            summary.print_failure(result)
            return 1
        steps = summary.steps(result)
    asked = time.monotonic()
    print("  server ...", flush=True)
    answer, served = ask_server(home, feed)
    steps.append(("server: start, forecast, stop", time.monotonic() - asked, f"first answer after {served:.1f} s"))
    summary.print_summary(home, feed, steps, answer, time.monotonic() - started)
    return 0


def recover(instance: dg.DagsterInstance) -> None:
    """Runs whose process was killed are failed, so that they neither look alive nor hold a slot."""
    open_statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    for record in instance.get_runs(filters=dg.RunsFilter(statuses=open_statuses)):
        process = record.tags.get(PROCESS_TAG)
        if process and not _alive(process):
            instance.report_run_failed(record, f"The process of this run ({process}) was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(record.run_id)
            print(f"Run {record.run_id[:8]} was killed; going on from what it finished.", flush=True)


def observe(definitions: dg.Definitions, feed: Feed, instance: dg.DagsterInstance) -> None:
    """Asks the source whether it changed, so that the UI shows what became stale by it."""
    job = definitions.resolve_job_def(observe_job_name(feed))
    job.execute_in_process(instance=instance, run_config={"loggers": {"progress": {}}}, tags={PROCESS_TAG: _process()})


def refresh(
    definitions: dg.Definitions, feed: Feed, instance: dg.DagsterInstance, *, force: bool = False
) -> dg.ExecuteInProcessResult:
    """One run over every month and the unpartitioned assets below them."""
    partitions = months(feed).get_partition_keys()
    config: dict[str, object] = {"loggers": {"progress": {}}}
    job = definitions.resolve_job_def(job_name(feed))
    if force:
        ops = [node.name for node in job.graph.nodes if node.definition.config_schema]
        config["ops"] = {name: {"config": {"force": True}} for name in ops}
    return job.execute_in_process(
        instance=instance,
        run_config=config,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[-1],
            PROCESS_TAG: _process(),
        },
    )


def _process() -> str:
    """This process as `pid-starttime`: a pid alone may belong to somebody else after a reboot."""
    import os

    import psutil

    return f"{os.getpid()}-{psutil.Process().create_time():.0f}"


def _alive(process: str) -> bool:
    import psutil

    pid, _, born = process.partition("-")
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" == born
    except (psutil.NoSuchProcess, ValueError):
        return False
