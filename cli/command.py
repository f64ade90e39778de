"""What a command is: one module whose `add` puts a subparser in place and names its function.

The modules are imported to build the parser, so what is slow to import belongs inside their functions.
"""

import argparse
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Function: TypeAlias = Callable[[argparse.Namespace], int]


def add_command(
    commands: Commands,
    name: str,
    function: Function,
    about: str,
    *,
    needs_home: bool = True,
    writes: bool = True,
) -> argparse.ArgumentParser:
    """The subparser of `name`. `function` gets the options and returns the exit status.

    With `needs_home`, `options.home` is the home (`aerocast.storage.home.Home`); with `writes` it is writable and has
    room, and is made and marked where it was none. One that changes tables holds it besides (`storage.writer`).
    """
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.set_defaults(function=function, needs_home=needs_home, writes=writes)
    return parser


def add_wait(parser: argparse.ArgumentParser) -> None:
    """The option of a command that holds the home."""
    parser.add_argument("--wait", action="store_true", help="wait while another command writes to the home")
