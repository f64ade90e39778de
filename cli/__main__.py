"""Runs `aerocast <command>`, also `python -m cli <command>`: what the Makefile's targets call.

Each command is a module (see `cli/command.py`); a new one is added to `COMMANDS`.
"""

import argparse
import contextlib
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

COMMANDS = (
    *("cli.run", "cli.up", "cli.sql", "cli.rows", "cli.simulate", "demo.command", "cli.announce", "cli.check"),
    *("cli.inspect", "cli.clean", "cli.mlflow", "cli.rollback", "cli.lift", "cli.releases", "cli.backtest"),
    *("cli.token", "cli.alerts"),
)


def main(arguments: list[str] | None = None) -> int:
    """The command's exit status.

    0: it did what it was asked. 1: it could not, and one sentence says why. 2: there is no such option. 3: no model was
    good enough to serve. 130: stopped by Ctrl-C, 143: by SIGTERM (128 and the signal's number).
    """
    from cli import interrupts

    with interrupts.stop_signals():
        try:
            return _main(arguments)
        except BaseException as error:
            number = interrupts.stopped() or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
            if number is None:
                raise
            status = 128 + number
            if arguments is None:  # no library has a last word, and the interpreter none of its own
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(OSError):
                        stream.flush()
                os._exit(status)
            return status


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="aerocast", description="Forecasts of measured time series that need nobody watching."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        import_module(module).add(commands)
    return top


def _main(arguments: list[str] | None) -> int:
    options = parser().parse_args(arguments)
    from aerocast.common.errors import AeroCastError

    try:
        if options.needs_home:
            from cli.home import open_home

            options.home = open_home(writes=options.writes)
        return int(options.function(options))
    except AeroCastError as error:
        print(f"error: {error}", file=sys.stderr)
    except Exception as error:
        if (sentence := _database(error)) is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
    return 1


def _database(error: Exception) -> str | None:
    """What is wrong with Dagster's or MLflow's SQLite files; their tables and rows say nothing to people."""
    from sqlalchemy.exc import OperationalError

    from aerocast.storage.home import home_of
    from aerocast.storage.settings import Settings

    if not isinstance(error, OperationalError):
        return None
    return f"a database under {Path(home_of(Settings()))} cannot be used: {error.orig}"


if __name__ == "__main__":
    sys.exit(main())
