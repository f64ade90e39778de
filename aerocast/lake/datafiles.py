"""Writes rows as Parquet files into a table's folder with DuckDB; readers see a file once a commit names it."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb
from deltalake.transaction import AddAction

from aerocast.common.sql import literal, quoted
from aerocast.common.times import utc
from aerocast.storage.store import Store

_TIME = '"time"'


def write_files(
    rows: duckdb.DuckDBPyRelation, types: Mapping[str, str], store: Store, token: str, partition: str | None
) -> list[AddAction]:
    """Writes `rows` as columns of these types (name -> DuckDB's), one file a value of `partition`, in one pass.

    Every file's name begins with `token`. The actions are in the order of their paths, which are relative to `store`.
    """
    store.create_folder()
    folder = str(store)
    columns = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in types.items())
    options = ["FORMAT parquet", "RETURN_STATS"]
    target = f"{folder}/{token}.parquet"
    if partition:
        target = folder
        options += [f"PARTITION_BY ({quoted(partition)})", f"FILENAME_PATTERN '{token}-{{i}}'", "OVERWRITE_OR_IGNORE"]
    result = rows.query(
        "rows_to_write", f"COPY (SELECT {columns} FROM rows_to_write) TO {literal(target)} ({', '.join(options)})"
    )
    has_time = types.get("time", "").startswith("TIMESTAMP")
    files = result.fetchall() if result is not None else []
    return sorted((_action(folder, has_time, *file) for file in files if file[1]), key=lambda action: action.path)


def _action(
    folder: str,
    has_time: bool,
    file: str,
    count: int,
    size: int,
    _footer: int,
    columns: Mapping[str, Mapping[str, str]],
    keys: Mapping[str, str] | None,
    *_: object,
) -> AddAction:
    """The entry of a file in a table's log; of its columns only the span of `time`."""
    stats: dict[str, Any] = {"numRecords": count, "minValues": {}, "maxValues": {}, "nullCount": {}}
    times = columns.get(_TIME, {}) if has_time else {}
    if "min" in times and "max" in times:
        stats["minValues"]["time"], stats["maxValues"]["time"] = _instant(times["min"]), _instant(times["max"])
    if "null_count" in times:
        stats["nullCount"]["time"] = int(times["null_count"])
    return AddAction(
        path=file[len(folder) + 1 :],
        size=size,
        partition_values=dict(keys or {}),
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=json.dumps(stats),
    )


def _instant(text: str) -> str:
    """DuckDB's text of a time, cut to the millisecond as Delta keeps it."""
    return utc(datetime.fromisoformat(text)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
