"""The main job: a feed's whole graph through Dagster, one forecast from a real server, and a readable summary."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from aerocast_assets.cli.command import Commands, add_command

if TYPE_CHECKING:
    import dagster as dg

    from aerocast.feed import Feed
    from aerocast.home import Home


def add(commands: Commands) -> None:
    parser = add_command(commands, "run", _run, "materialise a feed's whole graph and ask the server for a forecast")
    parser.add_argument("--feed", default="noaa")
    parser.add_argument("--force", action="store_true", help="recompute what has not changed, too")


def _run(options: argparse.Namespace) -> int:
    return run(options.feed, options.home, force=options.force)


def run(feed_name: str, home: Home, *, force: bool = False) -> int:
    """Materialises everything of the feed that is out of date, then prints what there is. Exit status 0 or 1.

    Raises:
        AeroCastError: no such feed, or a source, disk or server that cannot be used.
    """
    import dagster as dg
    import duckdb

    from aerocast.lake import Lake
    from aerocast_assets.cli import summary
    from aerocast_assets.cli.ask import ask_server
    from aerocast_assets.cli.recovery import recover
    from aerocast_assets.definitions import defs as load_definitions
    from aerocast_assets.feeds import find_feed

    started = time.monotonic()
    feed = find_feed(feed_name)
    definitions = load_definitions()
    with dg.DagsterInstance.get() as instance:
        for run_id in recover(instance):
            print(f"Run {run_id[:8]} was killed; going on from what it finished.", flush=True)
        print(f"AeroCast: {feed.description}\nHome {home}\n\nMaterialising {feed.name}/* ...", flush=True)
        observe(definitions, feed, instance)
        result = refresh(definitions, feed, instance, force=force)
        if not result.success:
            summary.print_failure(result)
            return 1
        steps = summary.steps(result)
    if waiting := unserved(home, feed):
        print(f"\nNothing serves {feed.name} yet:")
        for target, why in waiting.items():
            print(f"  {target}: {why}")
        with duckdb.connect() as con:
            summary.print_quarantine(con, Lake(home), feed)
        summary.print_checks(result)
        return 1
    asked = time.monotonic()
    print("  server ...", flush=True)
    answer, served = ask_server(home, feed)
    steps.append(("server: start, forecast, stop", time.monotonic() - asked, f"first answer after {served:.1f} s"))
    summary.print_summary(home, feed, steps, answer, time.monotonic() - started)
    summary.print_checks(result)
    return 0


def unserved(home: Home, feed: Feed) -> dict[str, str]:
    """Why there is no forecast to be had, by target; empty if a model serves one of them."""
    from aerocast import release
    from aerocast.lake import Lake
    from aerocast_assets.assets.training_set import too_few

    lake = Lake(home)
    if any(release.current(home, feed.name, target) for target in feed.targets):
        return {}
    return {target: too_few(lake, feed, target) or "no model was good enough" for target in feed.targets}


def observe(definitions: dg.Definitions, feed: Feed, instance: dg.DagsterInstance) -> None:
    """Asks the source whether it changed, so that the UI shows what became stale by it."""
    from aerocast_assets.cli.recovery import PROCESS_TAG, process
    from aerocast_assets.graph import observe_job_name

    job = definitions.resolve_job_def(observe_job_name(feed))
    job.execute_in_process(instance=instance, run_config={"loggers": {"progress": {}}}, tags={PROCESS_TAG: process()})


def refresh(
    definitions: dg.Definitions, feed: Feed, instance: dg.DagsterInstance, *, force: bool = False
) -> dg.ExecuteInProcessResult:
    """One run over every month and the unpartitioned assets below them."""
    from aerocast_assets.cli.recovery import PROCESS_TAG, process
    from aerocast_assets.keys import job_name, months

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
            PROCESS_TAG: process(),
        },
    )
