"""The limit: one script by hand in DuckDB, from raw's own files to the same tables as plain Parquet.

It goes through time in pieces of some months, as ours does, so that its memory is bounded. Duplicates are looked for
before they are ranked, because few readings have one.
"""

from pathlib import Path

import duckdb

from measuring.script import (
    BACK,
    DUCKDB,
    HOUR,
    PLACE,
    REACH,
    Job,
    bad_values,
    beside,
    hourly,
    lacking,
    others,
    quarantine,
    said,
    spikes,
    stepped,
    typed,
    whole_readings,
)
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
    """One piece of bronze and quarantine; bronze is left in a view `clean` too."""
    files = ", ".join(f"'{file}'" for file in piece["files"])
    around = REACH * HOUR
    near = f"time >= to_timestamp({piece['low'] - around}) AND time < to_timestamp({piece['high'] + around})"
    con.execute(f"CREATE OR REPLACE TEMP VIEW source AS SELECT * FROM read_parquet([{files}]) WHERE {near}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE rows AS {typed(job, DUCKDB, 'source')}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE bad AS {bad_values(job, 'rows')}")
    _merge(con, job)
    _take_out_spikes(con, job)
    _flag(con, job)
    inside = f"sec >= {piece['low']} AND sec < {piece['high']}"
    con.execute(f"CREATE OR REPLACE TEMP VIEW clean AS SELECT * FROM rows WHERE rule IS NULL AND {inside}")
    names = ", ".join(name for name, *_ in job["columns"])
    _copy(con, f"SELECT station, time, {names}, segment, flags FROM clean", out / "bronze" / f"{number}.parquet")
    both = f"(SELECT * FROM (FROM bad UNION ALL {whole_readings(job, 'rows')}) WHERE {inside})"
    _copy(con, quarantine(both, '"column"'), out / "quarantine" / f"{number}.parquet")


def _merge(con: duckdb.DuckDBPyConnection, job: Job) -> None:
    """Of several deliveries of a reading one row, with the last value of each column; `many` keeps them all."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE twice AS SELECT station, sec FROM rows WHERE rule IS NULL"
        " GROUP BY ALL HAVING count(*) > 1"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE many AS SELECT *, row_number() OVER (PARTITION BY station, sec"
        " ORDER BY delivery, line) AS turn FROM rows SEMI JOIN twice USING (station, sec) WHERE rule IS NULL"
    )
    con.execute("DELETE FROM rows r USING many m WHERE r.delivery = m.delivery AND r.line = m.line")
    last = ", ".join(f"arg_max({name}, turn) AS {name}" for name, *_ in job["columns"])
    con.execute(
        f"INSERT INTO rows BY NAME SELECT station, time, sec, max_by(segment, turn) AS segment,"
        f" max_by(flags, turn) AS flags, {last} FROM many GROUP BY ALL"
    )


def _take_out_spikes(con: duckdb.DuckDBPyConnection, job: Job) -> None:
    """Where a value is a spike, the last other one that was delivered takes its place, and is judged in turn."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE said AS {said(job, 'many')}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE failed AS {spikes(job, 'rows')}")
    con.execute("CREATE OR REPLACE TEMP TABLE spikes AS FROM failed LIMIT 0")
    while con.execute("INSERT INTO spikes FROM failed").fetchall() != [(0,)]:
        con.execute(f"CREATE OR REPLACE TEMP TABLE other AS {others('failed')}")
        for name, _ in stepped(job):
            con.execute(
                f"UPDATE rows SET {name} = f.value FROM (FROM failed LEFT JOIN other USING (station, sec, name)) f"
                f" WHERE f.name = '{name}' AND rows.station = f.station AND rows.sec = f.sec"
            )
        con.execute(f"CREATE OR REPLACE TEMP TABLE beside AS {beside('rows', 'other')}")
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE failed AS FROM ({spikes(job, 'beside')})"
            " SEMI JOIN other USING (station, sec, name)"
        )
    texts = " ".join(f"WHEN '{name}' THEN {name}_text" for name, _ in stepped(job))
    con.execute(
        f"INSERT INTO bad SELECT {PLACE}, name, value, 'step' FROM said SEMI JOIN spikes"
        f" USING (station, sec, name, number) UNION ALL SELECT {PLACE}, name, CASE name {texts} END AS value, 'step'"
        f" FROM rows JOIN spikes USING (station, sec) WHERE value IS NOT NULL"
    )


def _flag(con: duckdb.DuckDBPyConnection, job: Job) -> None:
    """Says in `flags` of a reading by which rule it lacks a value."""
    con.execute(
        "UPDATE rows SET flags = concat_ws(' ', rows.flags, f.flags) FROM ("
        "SELECT station, sec, string_agg(name || '=' || rule, ' ' ORDER BY name) AS flags"
        f" FROM ({lacking(job, 'rows', 'bad')}) GROUP BY ALL) f"
        " WHERE rule IS NULL AND rows.station = f.station AND rows.sec = f.sec"
    )


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
