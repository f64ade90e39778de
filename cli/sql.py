"""An SQL shell on the lake: DuckDB's own, with one view a table on the newest snapshot.

DuckDB's program opens no object store without an extension from the network; the library does, through `Lake.ready`. So
a home in an object store gets a plain shell on the library.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError
from aerocast.storage.home import Home, store_of
from cli.command import Commands, add_command

if TYPE_CHECKING:
    import duckdb


def add(commands: Commands) -> None:
    add_command(commands, "sql", _run, "DuckDB with a view of every table", writes=False)


def _run(options: argparse.Namespace) -> int:
    return shell(options.home)


def views(home: Home) -> list[str]:
    """`CREATE VIEW` statements, one a table: `noaa/raw` becomes `noaa_raw`."""
    from aerocast.lake import Lake

    lake = Lake(home)
    return [f"CREATE VIEW {name.replace('/', '_')} AS {lake.select(name)};" for name in lake.tables()]


def shell(home: Home) -> int:
    """SQL in the tables' time zone; with statements on standard input only their results are said.

    Raises:
        AeroCastError: no table exists yet, or DuckDB's command line is not installed.
    """
    statements = views(home)
    if not statements:
        raise AeroCastError(f"no tables under {home} yet; `aerocast run` makes them")
    return _program(statements) if store_of(home).local else _library(home, statements)


def _library(home: Home, statements: Sequence[str]) -> int:
    import duckdb

    from aerocast.lake import Lake

    with duckdb.connect() as con:
        Lake(home).prepare(con).execute("\n".join(statements))
        if not sys.stdin.isatty():
            return 0 if _run_sql(con, sys.stdin.read()) else 1
        print("One view a table, each on its newest version; Ctrl-D leaves.")
        _run_sql(con, "SHOW TABLES")
        with contextlib.suppress(EOFError):
            while True:
                lines = [input("SQL> ")]
                while lines[-1].strip() and not lines[-1].rstrip().endswith(";"):
                    lines.append(input("...> "))
                _run_sql(con, "\n".join(lines))
    return 0


def _run_sql(con: duckdb.DuckDBPyConnection, text: str) -> bool:
    """Says the results of statements, until one fails."""
    import duckdb

    try:
        for statement in con.extract_statements(text):
            if rows := con.sql(statement):
                rows.show()
    except duckdb.Error as error:
        print(error, file=sys.stderr)
        return False
    return True


def _program(statements: Sequence[str]) -> int:
    program = shutil.which("duckdb", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise AeroCastError("the `duckdb` program is not installed; `make setup` installs it")
    person = sys.stdin.isatty()
    greeting = ".print One view a table, each on its newest version; .exit leaves.\nSHOW TABLES;\n" if person else ""
    with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
        init = Path(folder) / "views.sql"
        init.write_text("\n".join(["SET TimeZone = 'UTC';", *statements, greeting]), encoding="utf-8")
        options = ["-cmd", f'.read "{init}"']
        if person:
            # Ctrl-C is the shell's: it ends a query, not us.
            signal.signal(signal.SIGINT, lambda *_: None)
        else:
            options.append("-bail")  # of statements from a pipe the first that fails is the last
        if not sys.stdout.isatty():
            options.append("-batch")  # a file gets neither a prompt nor colours
        return subprocess.run([program, *options], check=False).returncode
