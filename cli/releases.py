"""The releases of a target, newest first, and what each of them does now."""

import argparse
from datetime import datetime

from aerocast.common.errors import AeroCastError
from cli.command import Commands, add_command
from cli.rollback import add_target, find_target


def add(commands: Commands) -> None:
    add_target(add_command(commands, "releases", _run, "the releases of a target, and which one serves", writes=False))


def _run(options: argparse.Namespace) -> int:
    from aerocast.lake import Lake
    from aerocast.promotion.overview import releases

    feed, target = find_target(options.feed, options.target)
    rows = releases(Lake(options.home), options.home, feed, target)
    if not rows:
        raise AeroCastError(f"{feed.name}/{target} has no release yet; `aerocast run` makes one")
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _cell(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else "" if value is None else str(value)
