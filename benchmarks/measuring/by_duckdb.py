"""The limit: one script by hand in DuckDB, from raw's own files to the same tables as plain Parquet.

It goes through time in pieces of some months, as ours does, so that its memory is bounded. Duplicates are looked for
before they are ranked, because few readings have one.
"""

from pathlib import Path

import duckdb

from measuring.script import BACK, DUCKDB, HOUR, REACH, Job, bronze_columns, hourly, quarantine_columns, spikes, typed
from measuring.script import silver as silver_rows
from measuring.script import windows as window_rows


def run(job: Job, out: Path) -> int:
    """Writes bronze, quarantine, silver and windows below `out`; how many rows there are of windows."""
    for layer in ("bronze", "quarantine", "silver", "windows"):
        (out / layer).mkdir(parents=True)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        span: list[int] = []
        for number, piece in enumerate(job["pieces"]):
            _clean(con, job, piece, out, number)
            _grid(con, job, piece, out, number, span)
        rows = 0
        for number, piece in enumerate(job["pieces"]):
            rows += _windows(con, job, piece, out, number, span)
    return rows


def _copy(con: duckdb.DuckDBPyConnection, query: str, place: Path) -> int:
    return int(con.execute(f"COPY ({query}) TO '{place}' (FORMAT parquet)").fetchall()[0][0])


def _clean(con: duckdb.DuckDBPyConnection, job: Job, piece: Job, out: Path, number: int) -> None:
    """One piece of bronze and quarantine, left in a table `clean` too."""
    files = ", ".join(f"'{file}'" for file in piece["files"])
    around = REACH * HOUR
    near = f"time >= to_timestamp({piece['low'] - around}) AND time < to_timestamp({piece['high'] + around})"
    con.execute(f"CREATE OR REPLACE TEMP VIEW source AS SELECT * FROM read_parquet([{files}]) WHERE {near}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE rows AS {typed(job, DUCKDB, 'source')}")
    con.execute("CREATE OR REPLACE TEMP TABLE twice AS SELECT station, sec FROM rows GROUP BY ALL HAVING count(*) > 1")
    con.execute(
        "DELETE FROM rows r USING (SELECT delivery, line FROM rows SEMI JOIN twice USING (station, sec)"
        " QUALIFY row_number() OVER (PARTITION BY station, sec ORDER BY delivery DESC, line DESC) > 1) l"
        " WHERE r.delivery = l.delivery AND r.line = l.line"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE spikes AS {spikes(job, '(FROM rows WHERE rule IS NULL)')}")
    con.execute("UPDATE rows SET rule = 'step' FROM spikes s WHERE rows.station = s.station AND rows.sec = s.sec")
    inside = f"sec >= {piece['low']} AND sec < {piece['high']}"
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW clean AS SELECT {bronze_columns(job)}, sec FROM rows"
        f" WHERE rule IS NULL AND {inside}"
    )
    _copy(con, "SELECT * EXCLUDE (sec) FROM clean", out / "bronze" / f"{number}.parquet")
    bad = f"SELECT {quarantine_columns(job)} FROM rows WHERE rule IS NOT NULL AND {inside}"
    _copy(con, bad, out / "quarantine" / f"{number}.parquet")


def _grid(con: duckdb.DuckDBPyConnection, job: Job, piece: Job, out: Path, number: int, span: list[int]) -> None:
    """One piece of silver; `span` becomes the first step and the one after the newest."""
    low, high = piece["low"] // HOUR, piece["high"] // HOUR
    con.execute(f"CREATE OR REPLACE TEMP TABLE counted AS {hourly(job, 'clean')}")
    first, newest = con.execute("SELECT min(step), max(step) FROM counted").fetchall()[0]
    if number == 0:
        con.execute("CREATE TEMP TABLE before AS FROM counted LIMIT 0")
    last = piece is job["pieces"][-1]
    low, high = (first if number == 0 else low), (newest + 1 if last else high)
    span[:] = [span[0] if span else low, high]
    con.execute("CREATE OR REPLACE TEMP TABLE hours AS FROM before UNION ALL FROM counted")
    rows = silver_rows(job, DUCKDB, "hours", low, high)
    _copy(con, f"{rows} ORDER BY step, station", out / "silver" / f"{number}.parquet")
    con.execute(f"CREATE OR REPLACE TEMP TABLE before AS FROM hours WHERE step >= {high - BACK}")


def _windows(con: duckdb.DuckDBPyConnection, job: Job, piece: Job, out: Path, number: int, span: list[int]) -> int:
    """One piece of windows from silver's files, with the steps before and after that they look at."""
    low, high = max(piece["low"] // HOUR, span[0]), min(piece["high"] // HOUR, span[1])
    first, end = max(low - job["look_back"], span[0]), min(high + job["horizons"][-1], span[1])
    around = [out / "silver" / f"{each}.parquet" for each in range(number - 1, number + 2)]
    files = ", ".join(f"'{file}'" for file in around if file.exists())
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE grid AS FROM read_parquet([{files}]) WHERE step >= {first} AND step < {end}"
    )
    return _copy(con, window_rows(job, DUCKDB, "grid", low, high, first, end), out / "windows" / f"{number}.parquet")
