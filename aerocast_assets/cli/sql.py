"""An SQL shell on the lake: DuckDB's own, with one view a table on the newest snapshot."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from aerocast.errors import AeroCastError
from aerocast.home import Home
from aerocast.lake import Lake


def views(home: Home) -> list[str]:
    """`CREATE VIEW` statements, one a table: `noaa/raw` becomes `noaa_raw`."""
    lake = Lake(home)
    return [f"CREATE VIEW {name.replace('/', '_')} AS {lake.select(name)};" for name in lake.tables()]


def shell(home: Home) -> int:
    """DuckDB's command line, in the tables' time zone; with statements on standard input only their results are said.

    Raises:
        AeroCastError: no table exists yet, or DuckDB's command line is not installed.
    """
    statements = views(home)
    program = shutil.which("duckdb", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not statements:
        raise AeroCastError(f"no tables under {home} yet; `make run` makes them")
    if program is None:
        raise AeroCastError("the `duckdb` program is not installed; `make setup` installs it")
    person = sys.stdin.isatty()
    greeting = ".print One view a table, each on its newest version; .exit leaves.\nSHOW TABLES;\n" if person else ""
    with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
        init = Path(folder) / "views.sql"
        init.write_text("\n".join(["SET TimeZone = 'UTC';", *statements, greeting]), encoding="utf-8")
        # Ctrl-C is the shell's: it ends a query, not us.
        signal.signal(signal.SIGINT, lambda *_: None)
        # Of statements from a pipe the first that fails is the last.
        return subprocess.run(
            [program, *([] if person else ["-bail"]), "-cmd", f".read {init}"], check=False
        ).returncode
