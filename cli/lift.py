"""Ends the hold of a person on a champion: from then on the loop may replace it."""

import argparse

from cli.command import Commands, add_command
from cli.rollback import add_target, choose, find_target


def add(commands: Commands) -> None:
    add_target(add_command(commands, "lift", _run, "end the hold on what serves, so that retrains may replace it"))


def _run(options: argparse.Namespace) -> int:
    from aerocast.releases import release

    feed, target = find_target(options.feed, options.target)
    pointer = release.current(options.home, feed.name, target)
    if pointer and pointer.hold is None:
        print(f"{feed.name}/{target}: there is no hold on {pointer.version}")
        return 0
    print(choose(options.home, feed, target, {"lift": True}))
    return 0
