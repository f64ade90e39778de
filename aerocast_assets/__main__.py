"""`python -m aerocast_assets run|up|sql|rows|simulate|demo|announce`: what the Makefile's targets call."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from sqlalchemy.exc import OperationalError

from aerocast import store
from aerocast.errors import AeroCastError
from aerocast.home import Home, ObjectHome, home_of
from aerocast.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
ROOM = 100  # MB: below it a run would end half way, in whatever library asks for space first


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 after one sentence about what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        home = _home()
        if options.command == "run":
            from aerocast_assets.cli.run import run

            return run(options.feed, home, force=options.force)
        if options.command == "up":
            from aerocast_assets.cli.up import up

            return up(options.host, options.port, options.ui_port)
        if options.command == "simulate":
            from aerocast_assets.cli.simulate import simulate

            return simulate(home, options.feed, options.at, options.speed, options.until)
        if options.command == "demo":
            from aerocast_assets.cli.demo import demo

            return demo(home)
        if options.command == "announce":
            from aerocast_assets.cli.announce import send

            return send(home, options.feed, options.topic, options.files, options.to)
        if options.command == "rows":
            from aerocast_assets.cli.rows import rows

            return rows(home, options.feed, options.target, options.release, options.output)
        from aerocast_assets.cli.sql import shell

        return shell(home)
    except AeroCastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OperationalError as error:
        # Dagster's and MLflow's SQLite files; their tables and rows say nothing to people.
        print(f"error: a database under {Path(home_of(Settings()))} cannot be used: {error.orig}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aerocast_assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="materialise a feed's whole graph and ask the server for a forecast")
    run.add_argument("--feed", default="noaa")
    run.add_argument("--force", action="store_true", help="recompute what has not changed, too")
    up = commands.add_parser("up", help="Dagster's UI and daemon, and the server, until Ctrl-C")
    up.add_argument("--host", default="127.0.0.1")
    up.add_argument("--port", type=int, default=8000)
    up.add_argument("--ui-port", type=int, default=3000)
    commands.add_parser("sql", help="DuckDB with a view of every table")
    rows = commands.add_parser("rows", help="the rows that a release was trained on, read back and checked")
    rows.add_argument("--feed", default="noaa")
    rows.add_argument("--target", default="temperature")
    rows.add_argument("--release", default="", help="its version; default: the one that serves")
    rows.add_argument("--output", default="", help="a Parquet file to write them to")
    commands.add_parser("demo", help="the self-healing loop as a story, on simulated time, with real processes")
    announce = commands.add_parser("announce", help="put Parquet files with readings in place and tell the broker")
    announce.add_argument("--feed", required=True)
    announce.add_argument("--topic", default="training-data", choices=("training-data", "inference-data"))
    announce.add_argument("--to", help="folder or s3://bucket/prefix that the platform can read; default: the home")
    announce.add_argument("files", nargs="+", type=Path, metavar="FILE")
    simulate = commands.add_parser("simulate", help="set the clock of a simulated feed")
    simulate.add_argument("--feed", default="heatwave")
    simulate.add_argument("--at", required=True, help="the feed's present, ISO 8601, UTC unless it says otherwise")
    simulate.add_argument("--speed", type=float, default=1.0, help="its seconds in a second")
    simulate.add_argument("--until", help="where its time stops")
    return parser


def _home() -> Home:
    """The home, known to be writable, and its folder on this machine, made and with room; children are told both.

    Raises:
        AeroCastError: one of them cannot be made, reached or written.
    """
    home = home_of(Settings())
    if isinstance(home, ObjectHome):
        _check_folder("AEROCAST_WORK", home.work)
        os.environ["AEROCAST_WORK"] = str(home.work)
        try:
            store.check(home)
        except AeroCastError as error:
            raise AeroCastError(f"AEROCAST_HOME: {error}") from error
    else:
        _check_folder("AEROCAST_HOME", home)
    os.environ["AEROCAST_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_HOME", str(PROJECT))
    return home


def _check_folder(variable: str, folder: Path) -> None:
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"aerocast")
        probe.unlink()
    except OSError as error:
        raise AeroCastError(f"{variable}: {folder} cannot be written: {error.strerror or error}") from error
    free = shutil.disk_usage(folder).free // 2**20
    if free < ROOM:
        raise AeroCastError(f"{variable}: the disk of {folder} is full: {free} MB are free, {ROOM} MB are needed")


if __name__ == "__main__":
    sys.exit(main())
