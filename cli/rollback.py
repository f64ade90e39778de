"""Lets an earlier release serve, at once, and holds it: the loop does not replace it until the hold ends."""

import argparse
from typing import Any

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from cli.command import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(commands, "rollback", _run, "let an earlier release serve, and hold it until that is lifted")
    add_target(parser)
    parser.add_argument("--to", default="", help="its version (see `releases`); default: the one that served before")
    parser.add_argument("--hold-for", default="", help="ISO 8601, such as P7D; default: until `lift`")


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--feed", default="noaa")
    parser.add_argument("--target", default="", help="default: the feed's first one")


def _run(options: argparse.Namespace) -> int:
    return rollback(options.home, options.feed, options.target, options.to, options.hold_for)


def rollback(home: Home, feed_name: str, target_name: str, version: str, hold_for: str) -> int:
    """Runs the champion's asset in this process: whatever else runs, this does not wait for it. Exit status 0.

    Raises:
        AeroCastError: no such feed, target or release, or no such length of time; the one that serves goes on.
    """
    from aerocast.promotion.choice import parse_length
    from aerocast.releases import release

    parse_length(hold_for, "--hold-for")
    feed, target = find_target(feed_name, target_name)
    pointer = release.current(home, feed.name, target)
    if not (target_version := version or (pointer.previous if pointer else None) or ""):
        raise AeroCastError(f"--to: no release of {feed.name}/{target} served before; see `aerocast releases`")
    print(choose(home, feed, target, {"release": target_version, "hold_for": hold_for}))
    return 0


def find_target(feed_name: str, target: str) -> tuple[Feed, str]:
    """Raises AeroCastError for a feed, or a target of it, that is not declared."""
    from aerocast_assets.feeds import find_feed

    feed = find_feed(feed_name)
    if target and target not in feed.targets:
        raise AeroCastError(f"--target: {feed.name} has no target {target!r}; it has {', '.join(feed.targets)}")
    return feed, target or feed.targets[0]


def choose(home: Home, feed: Feed, target: str, config: dict[str, Any]) -> str:
    """One run of the champion with this config, in this process; what it decided, and what of the rest failed.

    Raises:
        AeroCastError: it failed, with the run's own sentence.
    """
    import dagster as dg

    from aerocast.lake import Lake
    from aerocast.promotion import table
    from aerocast.releases import release
    from aerocast_assets import liveness
    from aerocast_assets.defs.platform import shared
    from aerocast_assets.graph import feed_definitions
    from aerocast_assets.keys import key, rollback_job_name
    from cli.failures import failures
    from cli.home import use_own_instance

    definitions = dg.Definitions.merge(feed_definitions(feed), shared([feed]))
    job = definitions.resolve_job_def(rollback_job_name(feed, target))
    ops = {f"{feed.name}__{target}__champion": {"config": config}}
    use_own_instance()
    with dg.DagsterInstance.get() as instance:
        config_of_run = {"loggers": {"progress": {}}, "ops": ops}
        result = liveness.execute(job, instance, run_config=config_of_run, raise_on_error=False)
    own, failed = key(feed, target, "champion"), failures(result.all_events)
    events = [each for each in result.get_asset_materialization_events() if each.asset_key == own]
    if not events:
        raise AeroCastError("; ".join(each.reason for each in failed))
    decision, pointer = table.newest(Lake(home), feed.name, target), release.current(home, feed.name, target)
    facts = [str(decision["reason"])] if decision else []
    facts += [str(pointer.active_hold)] if pointer and pointer.active_hold else []
    return f"{feed.name}/{target}: {'; '.join([*facts, *map(str, failed)])}"
