"""An SQL shell on the lake: DuckDB's own, with one view a table on the newest snapshot."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from aerocast.errors import AeroCastError
from aerocast.lake import Lake


def views(home: Path) -> list[str]:
    """`CREATE VIEW` statements, one a table: `noaa/raw` becomes `noaa_raw`."""
    lake = Lake(home)
    return [f"CREATE VIEW {name.replace('/', '_')} AS {lake.select(name)};" for name in lake.tables()]


def shell(home: Path) -> int:
    """Becomes DuckDB's command line; reads statements from standard input if that is no terminal.

    Raises:
        AeroCastError: no table exists yet, or DuckDB's command line is not installed.
    """
    statements = views(home)
    program = shutil.which("duckdb", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not statements:
        raise AeroCastError(f"no tables under {home} yet; `make run` makes them")
    if program is None:
        raise AeroCastError("the `duckdb` program is not installed; `make setup` installs it")
    with tempfile.NamedTemporaryFile("w", suffix=".sql", prefix="aerocast-", delete=False) as init:
        init.write("\n".join(statements) + "\n.print Views of this snapshot:\nSHOW TABLES;\n")
    os.execv(program, [program, "-init", init.name])
