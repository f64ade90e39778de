"""`aerocast check`: every declaration by the model that loading uses, all mistakes at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import Commands, add_command

if TYPE_CHECKING:
    from aerocast_assets.feeds import Declaration


def add(commands: Commands) -> None:
    parser = add_command(commands, "check", _run, "say what is wrong in the declarations of feeds", needs_home=False)
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files or folders; default: all feeds of the project"
    )


def _run(options: argparse.Namespace) -> int:
    return check(options.paths)


def check(paths: Sequence[Path]) -> int:
    """Prints a line a mistake, `file:line: field: what is wrong`. Exit status 1 if there is any.

    Raises:
        AeroCastError: there is no declaration at a path.
    """
    from aerocast_assets.feeds import declarations

    checked = [each for path in paths for each in _declarations(path)] if paths else declarations()
    for each in checked:
        for mistake in each.mistakes:
            print(mistake)
    wrong = [each.name for each in checked if each.mistakes]
    if wrong:
        print(f"{len(wrong)} of {len(checked)} declarations not valid: {', '.join(wrong)}")
        return 1
    print(f"{len(checked)} declarations valid: {', '.join(each.name for each in checked)}")
    return 0


def _declarations(path: Path) -> Iterator[Declaration]:
    from aerocast.common.errors import AeroCastError
    from aerocast_assets import feeds

    if path.is_file():
        declarations_here = [feeds.read(path)]
    elif own := next((path / name for name in feeds.FILES if (path / name).is_file()), None):
        declarations_here = [feeds.read(own)]
    else:
        declarations_here = [feeds.read(each) for each in feeds.files(path)]
    yield from (each for each in declarations_here if each)
    if not any(declarations_here):
        raise AeroCastError(f"{path}: there is no declaration of a feed")
