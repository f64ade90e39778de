"""`aerocast clean`: removes a home, and of it only what AeroCast has made."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from aerocast.common.errors import AeroCastError
from cli.command import Commands, add_command, add_wait


def add(commands: Commands) -> None:
    about = "remove the home: its tables, models, releases and predictions, and no file that AeroCast has not made"
    parser = add_command(commands, "clean", _run, about, needs_home=False)
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    add_wait(parser)


def _run(options: argparse.Namespace) -> int:
    from aerocast.storage.home import home_of
    from aerocast.storage.settings import Settings

    return clean(Path(home_of(Settings())), yes=options.yes, wait=options.wait)


def clean(folder: Path, *, yes: bool, wait: bool = False) -> int:
    """Removes what the home in this folder has, after a question; of an object store's, what lies on this machine.

    Raises:
        AeroCastError: it is no home, of a newer format, in use, or nobody can be asked.
    """
    from aerocast.storage import access, mark, rooms, writer

    if not folder.exists():
        print(f"There is no {folder}: nothing to remove.")
        return 0
    if mark.read_mark(folder) is None:
        raise AeroCastError(
            f"{folder} has no mark of a home ({mark.NAME}), so nothing in it is removed; "
            "a home of an earlier version gets its mark by the next `aerocast run` or `aerocast up`"
        )
    access.check_writable("AEROCAST_HOME", folder, space=False)
    with ExitStack() as stack:
        for home in (folder, folder / rooms.DEMO):
            if home.is_dir():
                stack.enter_context(writer.hold(home, "aerocast clean", wait=wait))
        contents = list(rooms.files(folder))
        _describe(folder, contents)
        if not (yes or _agreed()):
            print("Nothing was removed.")
            return 1
        strangers = rooms.sweep(folder)
        if strangers:
            print(f"Removed all but {len(strangers)} files in {folder} that AeroCast has not made.")
        else:
            print(f"Removed {folder}.")
    return 0


def _describe(folder: Path, contents: list[tuple[str, bool]]) -> None:
    """What goes and what stays, by the first part of their names."""
    size = sum((folder / name).stat().st_size for name, own in contents if own)
    own = Counter(name.partition("/")[0] for name, is_own in contents if is_own)
    others = Counter(name.partition("/")[0] for name, is_own in contents if not is_own)
    print(f"Home {folder}\nto remove: {own.total():,} files, {size / 1e6:,.1f} MB: {', '.join(sorted(own))}")
    if others:
        print("to keep, not made by AeroCast: " + ", ".join(f"{name} ({number})" for name, number in others.items()))


def _agreed() -> bool:
    """Raises AeroCastError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise AeroCastError("--yes: there is no terminal to ask on; with --yes it is removed without a question")
    return input("Remove it? [y/N] ").strip().lower() in ("y", "yes")
