"""Rows as Parquet files in a table's folder, written by DuckDB; no reader sees one before a commit names it."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from deltalake.transaction import AddAction

from aerocast.sql import literal, quoted
from aerocast.storage.atomic import make_folder, sync_folder
from aerocast.storage.store import bucket

_TIME = '"time"'


def is_remote(folder: str) -> bool:
    return "://" in folder


def write(
    rows: duckdb.DuckDBPyRelation, types: Mapping[str, str], folder: str, token: str, partition: str | None
) -> list[AddAction]:
    """Writes `rows` as columns of these types (name -> DuckDB's), one file a value of `partition`, in one pass.

    Every file's name begins with `token`. The actions are in the order of their paths, which are relative to `folder`.
    """
    if not is_remote(folder):
        make_folder(Path(folder))
    columns = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in types.items())
    options = ["FORMAT parquet", "RETURN_STATS"]
    place = f"{folder}/{token}.parquet"
    if partition:
        place = folder
        options += [f"PARTITION_BY ({quoted(partition)})", f"FILENAME_PATTERN '{token}-{{i}}'", "OVERWRITE_OR_IGNORE"]
    copied = rows.query(
        "rows_to_write", f"COPY (SELECT {columns} FROM rows_to_write) TO {literal(place)} ({', '.join(options)})"
    )
    timed = types.get("time", "").startswith("TIMESTAMP")
    found = copied.fetchall() if copied is not None else []
    return sorted((_action(folder, timed, *file) for file in found if file[1]), key=lambda action: action.path)


def _action(
    folder: str,
    timed: bool,
    file: str,
    count: int,
    size: int,
    _footer: int,
    columns: Mapping[str, Mapping[str, str]],
    keys: Mapping[str, str] | None,
    *_: object,
) -> AddAction:
    """What a table's log says of a file; of its columns only the span of `time`."""
    stats: dict[str, Any] = {"numRecords": count, "minValues": {}, "maxValues": {}, "nullCount": {}}
    times = columns.get(_TIME, {}) if timed else {}
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
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def settle(folder: str, actions: Sequence[AddAction]) -> None:
    """The files are on disk when this returns: a power cut must not leave a commit that names an empty one."""
    if is_remote(folder):
        return
    places = [Path(folder, action.path) for action in actions]
    for place in places:
        sync(place)
    for parent in {place.parent for place in places} | {Path(folder)}:
        sync_folder(parent)


def sync(place: Path) -> None:
    """The file's content is on disk when this returns."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(folder: str, token: str) -> None:
    """Removes the files of a write that came to nothing; on an object store they wait for vacuum."""
    if is_remote(folder):
        return
    for place in [*Path(folder).glob(f"{token}*"), *Path(folder).glob(f"*/{token}*")]:
        place.unlink(missing_ok=True)


def settle_commit(folder: str, version: int) -> None:
    """The commit too is on disk when this returns: who delivered the rows may forget them."""
    if is_remote(folder):
        return
    log = Path(folder, "_delta_log")
    sync(log / f"{version:020}.json")
    sync_folder(log)


def listed(root: str, marker: str) -> list[str]:
    """The prefixes below an object store's `root` that hold a folder `marker`, relative to it."""
    from obstore import list_with_delimiter

    store, found, ahead = bucket(root), list[str](), [""]
    while ahead:
        prefix = ahead.pop()
        below = [place.rstrip("/") for place in list_with_delimiter(store, prefix or None)["common_prefixes"]]
        if any(place.rpartition("/")[2] == marker for place in below):
            found.append(prefix)
        else:
            ahead += below
    return found
