"""Backtests a feed's targets in this process, and prints what came out."""

import argparse

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from cli.command import Commands, add_command, add_wait
from cli.rollback import add_target, find_target


def add(commands: Commands) -> None:
    parser = add_command(commands, "backtest", _run, "train and judge over folds of the past; what serves stays")
    add_target(parser)
    parser.add_argument("--force", action="store_true", help="also if the same was done before")
    add_wait(parser)


def _run(options: argparse.Namespace) -> int:
    from aerocast.storage import writer

    feed, target = find_target(options.feed, options.target)
    with writer.hold(options.home, "aerocast backtest", wait=options.wait):
        print(backtest(options.home, feed, target, force=options.force))
    return 0


def backtest(home: Home, feed: Feed, target: str, *, force: bool = False) -> str:
    """One run of the backtest in this process, as text: a sentence, and a line for each model and horizon.

    Raises:
        AeroCastError: it failed, with the run's own sentence.
    """
    import dagster as dg

    from aerocast.experiments import backtests, overview
    from aerocast.lake import Lake
    from aerocast_assets import liveness
    from aerocast_assets.assets.experiments import step_name
    from aerocast_assets.defs.platform import shared
    from aerocast_assets.graph import feed_definitions
    from aerocast_assets.keys import experiment_job_name, key
    from cli.failures import failures
    from cli.home import use_own_instance

    own = key(feed, target, "backtest")
    definitions = dg.Definitions.merge(feed_definitions(feed), shared([feed]))
    job = definitions.resolve_job_def(experiment_job_name(feed, "backtest"))
    config = {"loggers": {"progress": {}}, "ops": {step_name(feed): {"config": {"force": force}}}}
    use_own_instance()
    with dg.DagsterInstance.get() as instance:
        result = liveness.execute(job, instance, run_config=config, asset_selection=[own], raise_on_error=False)
    newest = backtests.newest(Lake(home), feed.name, target)
    if failed := failures(result.all_events):
        raise AeroCastError("; ".join(each.reason for each in failed))
    if newest is None:
        raise AeroCastError(f"the backtest of {feed.name}/{target} left no rows; see the run's log")
    rows = overview.measures(newest.rows)
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([f"{feed.name}/{target}: {overview.sentence(newest)}", "", *lines])
