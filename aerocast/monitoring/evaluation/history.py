"""The history of predictions for people: `<home>/exports/<feed>/prediction_history/<YYYY-MM>.csv`, a file a month.

A row is an evaluated forecast, in the month of its target time (UTC). Only months whose outcomes changed are written
again (a live run writes the newest month at most each hour), and `housekeeping` says how many stay.
Columns: `time` (UTC, target time), `target`, `station`, `horizon` (steps), `origin`, `issued_at`, `forecast`,
`lower`, `upper`, `level`, `actual`, `actual_from` (measured or posted),
`error` (actual - forecast), `inside` (the interval), `persistence`, `seasonal_naive` (what they would have said),
`version`, `model`, `shadow` (computed beside the answer, never sent), `degraded`, `reasons`, `id` and `asked`: how
often the same forecast was asked for; `issued_at` and `id` are those of the last time. In the target's unit.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import month_span
from aerocast.common.sql import literal
from aerocast.contracts import clock
from aerocast.contracts.prediction_history import Key, place
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader
from aerocast.storage import atomic
from aerocast.storage.home import Home, store_of

_COLUMNS = """strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS time, target, station, horizon,
    strftime(origin AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS origin,
    strftime(issued_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS issued_at, value AS forecast, lower, upper,
    level, actual, actual_from, error, inside, persistence, seasonal_naive, version, kind AS model, shadow,
    degraded, reasons, id, asked"""
# By what is printed: the order in which the server goes on after a row (`Key`).
_ORDER = ", ".join(f"{name} NULLS FIRST" for name in Key._fields)


def months_kept(feed: Feed, months: Iterable[str]) -> list[str]:
    """Those that are not older than the feed's housekeeping allows, counted back from the newest one's end."""
    ends = {month: month_span(month)[1] for month in sorted(months)}
    limit = feed.housekeeping.exports
    return [month for month, end in ends.items() if limit is None or end + limit > max(ends.values())]


def newest_is_due(lake: LakeReader, home: Home, feed: Feed) -> bool:
    """Whether the newest month's file is missing, or old enough to be written by a live run."""
    newest = lake.months(f"{feed.name}/outcomes")[-1]
    return clock.is_due(home, feed.name, place(home, feed.name) / f"{newest}.csv")


def write(con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed, *, newest: bool = True) -> Path:
    """Brings the files up to date, each old or new and never half, without `newest` all but the newest; their folder.

    Raises:
        AeroCastError: the disk refuses.
    """
    name, folder = f"{feed.name}/outcomes", place(home, feed.name)
    store = store_of(folder)
    code, months = code_version(__name__), months_kept(feed, lake.months(name))
    origins = {m: config_hash(code=code, outcomes=own.all) for m, own in lake.ledger(name).content(months).items()}
    stale = [month for month in months if store.origin(f"{month}.csv") != origins[month]]
    if not newest:
        stale = [month for month in stale if month != months[-1]]
    if stale:
        for month in stale:
            lake.relation(con, name, [month]).create_view("history_outcomes", replace=True)
            with atomic.folder_lock(folder, f"the history of predictions of {feed.name}"):
                _write(con, folder / f"{month}.csv")
            store.note_origin(f"{month}.csv", origins[month])
    return folder


def _write(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    beside = path.with_name(f".{path.name}.new")
    rows = f"SELECT {_COLUMNS} FROM history_outcomes o WHERE actual IS NOT NULL AND NOT repeated ORDER BY {_ORDER}"
    try:
        con.execute(f"COPY ({rows}) TO {literal(str(beside))} (HEADER, DELIMITER ',')")
        with open(beside, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(beside, path)
        atomic.sync(path.parent)
    except duckdb.IOException as error:
        beside.unlink(missing_ok=True)
        raise AeroCastError(f"{path} could not be written: {str(error).splitlines()[0]}") from error
