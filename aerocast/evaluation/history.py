"""The history of predictions for people: `<home>/exports/<feed>/prediction_history.csv`, one evaluated forecast a row.

It holds the newest MONTHS months of outcomes and is written whole, so its cost does not grow with history; everything
older is in the table `<feed>/outcomes`. Columns: `time` (UTC, target time), `target`, `station`, `horizon` (steps),
`origin`, `issued_at`, `forecast`, `lower`, `upper`, `level`, `actual`, `actual_from` (measured or posted), `error`
(actual - forecast), `inside` (the interval), `persistence`, `seasonal_naive` (what they would have said), `version`,
`model`, `shadow` (computed beside the answer, never sent), `degraded`, `reasons`, `id`. In the target's unit.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from aerocast import durable
from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast.home import Home
from aerocast.lake import Lake
from aerocast.lineage import code_version, config_hash
from aerocast.sql import literal

MONTHS = 2
_COLUMNS = """strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS time, target, station, horizon,
    strftime(origin AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS origin,
    strftime(issued_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS issued_at, value AS forecast, lower, upper,
    level, actual, actual_from, error, inside, persistence, seasonal_naive, version, kind AS model, shadow,
    degraded, reasons, id"""
_ORDER = "o.time, target, station, horizon, o.issued_at, id, shadow"


def place(home: Home, feed: str) -> Path:
    return Path(home) / "exports" / feed / "prediction_history.csv"


def write(con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: Feed) -> Path:
    """The file, old or new and never half, written again only if its outcomes changed.

    Raises:
        AeroCastError: the disk refuses.
    """
    name, path = f"{feed.name}/outcomes", place(home, feed.name)
    months = lake.months(name)[-MONTHS:]
    origin = config_hash(code=code_version(__name__), outcomes=lake.content(name, months))
    if durable.made_from(path) == origin:
        return path
    beside = path.with_name(f".{path.name}.new")
    lake.relation(con, name, months).create_view("history_outcomes", replace=True)
    rows = f"SELECT {_COLUMNS} FROM history_outcomes o WHERE actual IS NOT NULL ORDER BY {_ORDER}"
    with durable.locked(path.parent, f"{path.name} of {feed.name}"):
        try:
            con.execute(f"COPY ({rows}) TO {literal(str(beside))} (HEADER, DELIMITER ',')")
            with open(beside, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(beside, path)
            durable.note_origin(path, origin)
        except duckdb.IOException as error:
            beside.unlink(missing_ok=True)
            raise AeroCastError(f"{path} could not be written: {str(error).splitlines()[0]}") from error
    return path
