"""The main job: a feed's whole graph through Dagster, one forecast from a real server, and a readable summary."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError
from cli import interrupts
from cli.command import Commands, add_command, add_wait
from cli.quiet import stderr_to

if TYPE_CHECKING:
    import dagster as dg

    from aerocast.feed.declaration import Feed
    from aerocast.storage.home import Home
    from cli import summary
    from cli.failures import Failure

POOR = 3  # exit status: no model was good enough to serve


def add(commands: Commands) -> None:
    parser = add_command(commands, "run", _run, "materialise a feed's whole graph and ask the server for a forecast")
    parser.add_argument("--feed", default="noaa")
    parser.add_argument("--force", action="store_true", help="recompute what has not changed, too")
    parser.add_argument("--verbose", action="store_true", help="show training steps and warnings of libraries")
    add_wait(parser)


def _run(options: argparse.Namespace) -> int:
    from aerocast.storage import writer
    from cli.home import use_own_instance

    use_own_instance()
    with writer.hold(options.home, "aerocast run", wait=options.wait):
        return _quietly(options)


def _quietly(options: argparse.Namespace) -> int:
    log = Path(options.home) / "processes" / "run.log"
    with contextlib.nullcontext() if options.verbose else stderr_to(log):
        try:
            return run(options.feed, options.home, force=options.force, verbose=options.verbose)
        except BaseException:
            if interrupts.stopped():
                print("\nStopped. Finished work is kept: the same command continues from there.", flush=True)
            raise


def run(feed_name: str, home: Home, *, force: bool = False, verbose: bool = False) -> int:
    """Materialises everything of the feed that is out of date, then prints what there is.

    Returns:
        The exit status: 0, or 1 if a step failed or nothing can be trained yet, or `POOR` if no model was good enough
        for a target.

    Raises:
        AeroCastError: no such feed, or a source, disk or server that cannot be used.
        KeyboardInterrupt: a person stopped it.
    """
    import dagster as dg

    from aerocast_assets.automation.declaring import settle_declarations
    from aerocast_assets.definitions import defs as load_definitions
    from aerocast_assets.feeds import broken, find_feed, left_out
    from cli import packages
    from cli.recovery import recover

    started = time.monotonic()
    feed = find_feed(feed_name)
    for each in broken():
        print(left_out(each.name, each.mistakes), flush=True)
    for change in settle_declarations(home):
        print(f"{change}.", flush=True)
    definitions = load_definitions()
    with dg.DagsterInstance.get() as instance:
        for run_id in recover(instance):
            print(f"Run {run_id[:8]} was killed; continuing from what it had finished.", flush=True)
        print(f"AeroCast: {feed.description}\nHome {home}\n\nMaterialising {feed.name}/* ...", flush=True)
        packages.fetch(feed)
        observe(definitions, feed, instance)
        interrupts.check()
        result = refresh(definitions, feed, instance, force=force, verbose=verbose)
        interrupts.check()
    return _report(home, feed, result, started, verbose=verbose)


def _report(home: Home, feed: Feed, result: dg.ExecuteInProcessResult, started: float, *, verbose: bool) -> int:
    """Prints what a run came to, every target apart from the others; the exit status."""
    from cli import summary
    from cli.failures import Failure, beside_targets, failures, standings

    failed, waiting, steps = failures(result.all_events), unserved(home, feed), summary.steps(result)
    targets = standings(home, feed, failed, waiting)
    fatal = beside_targets(feed, failed) or ([] if result.success or failed else [Failure("run", "see its log")])
    if fatal:
        summary.print_failures(failed or fatal)
    else:
        summary.print_rows(home, feed)
        for each in targets:
            summary.print_target(home, feed, each)
        fatal = _ask(home, feed, steps) if len(waiting) < len(feed.targets) else []
        summary.print_times(steps, time.monotonic() - started, verbose=verbose)
        summary.print_files(home, feed, waiting)
    summary.print_checks(result)
    summary.print_standings(targets)
    states = {each.state for each in targets}
    if fatal or "failed" in states:
        print("\nFinished work is kept: the same command continues from there.", flush=True)
        return 1
    return POOR if "poor" in states else int(states == {"waits"})


def _ask(home: Home, feed: Feed, steps: list[summary.Step]) -> list[Failure]:
    """Prints the forecast of a real server, and adds what it took to the steps; what went wrong."""
    from cli import summary
    from cli.ask import ask_server
    from cli.failures import Failure

    began = time.monotonic()
    try:
        answer, served = ask_server(home, feed)
    except AeroCastError as error:
        failure = Failure("server", str(error))
        summary.print_failures([failure])
        return [failure]
    steps.append(("server: start, forecast, stop", time.monotonic() - began, (f"first answer after {served:.1f} s",)))
    summary.print_answer(answer)
    return []


def unserved(home: Home, feed: Feed) -> dict[str, str]:
    """The targets that nothing serves: what is lacking to train a model, or no text if none was good enough."""
    from aerocast.lake import Lake
    from aerocast.releases import release
    from aerocast_assets.assets.training_set import too_few

    lake = Lake(home)
    targets = [target for target in feed.targets if release.current(home, feed.name, target) is None]
    return {target: too_few(lake, feed, target) or "" for target in targets}


def observe(definitions: dg.Definitions, feed: Feed, instance: dg.DagsterInstance) -> None:
    """Asks the source whether it changed, so that the UI shows what became stale by it."""
    from aerocast_assets import liveness
    from aerocast_assets.graph import observe_job_name

    job = definitions.resolve_job_def(observe_job_name(feed))
    liveness.execute(job, instance, run_config={"loggers": {"progress": {}}})


def refresh(
    definitions: dg.Definitions,
    feed: Feed,
    instance: dg.DagsterInstance,
    *,
    force: bool = False,
    verbose: bool = False,
) -> dg.ExecuteInProcessResult:
    """One run over every month and the unpartitioned assets below them."""
    from aerocast_assets import liveness
    from aerocast_assets.keys import job_name, months

    partitions = months(feed).get_partition_keys()
    config: dict[str, object] = {"loggers": {"progress": {"config": {"verbose": verbose}}}}
    job = definitions.resolve_job_def(job_name(feed))
    if force:
        config["ops"] = forced(job)
    return liveness.execute(
        job,
        instance,
        run_config=config,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": partitions[0],
            "dagster/asset_partition_range_end": partitions[-1],
        },
    )


def forced(job: dg.JobDefinition) -> dict[str, object]:
    """The run config of what computes: a check computes nothing that could be forced."""
    schemas = {node.name: node.definition.config_schema for node in job.graph.nodes}
    able = [name for name, schema in schemas.items() if schema and "force" in getattr(schema.config_type, "fields", {})]
    return {name: {"config": {"force": True}} for name in able}
