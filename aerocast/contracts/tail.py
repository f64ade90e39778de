"""Stores the newest rows of silver in one small file for each feed, for the server, which reads no tables.

`<home>/tail/<feed>.npz` has every station's newest whole steps, and how far its readings have come. So the server needs
no table engine, and its cost does not grow with history. The silver asset replaces the file.
The server imports this module: numpy and the standard library only.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Grid, Progress
from aerocast.storage import atomic
from aerocast.storage.atomic import Stamp
from aerocast.storage.home import Home, store_of

# One row a station, and the kind of their values.
PROGRESS = {"step": "M", "reading": "M", "full": "b", "readings": "i", "usual": "f"}
_NO_TIME = np.empty(0, dtype="datetime64[s]")
_TIMES = np.array(["1800-01-01", "2300-01-01"], dtype="datetime64[s]")


def write_grids(home: Home, feed: str, grids: Mapping[str, Grid]) -> None:
    """Writes every station's grid, with its progress; all grids have the same columns.

    Raises:
        AeroCastError: the columns differ, or the disk fails; the old file stays then.
    """
    tails = list(grids.values())
    columns, units = (tails[0].columns, tails[0].units) if tails else ((), ())
    for grid in tails:
        if grid.columns != columns:
            raise AeroCastError(f"tail of {feed}: {grid.station} has other columns than {tails[0].station}")
    nothing = np.empty((0, len(columns)), dtype=np.float32)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        stations=np.array([grid.station for grid in tails], dtype=np.str_),
        columns=np.array(columns, dtype=np.str_),
        units=np.array(units, dtype=np.str_),
        ends=np.cumsum([len(grid.time) for grid in tails], dtype=np.int64),
        time=np.concatenate([_NO_TIME, *(grid.time for grid in tails)]).astype("datetime64[s]"),
        values=np.concatenate([nothing, *(grid.values for grid in tails)]),
        age=np.concatenate([nothing, *(grid.age for grid in tails)]),
        **_progress([grid.progress for grid in tails], len(columns)),
    )
    store_of(home).replace(document_name(feed), buffer.getvalue())


def _progress(stations: Sequence[Progress | None], columns: int) -> dict[str, NDArray[Any]]:
    """One row a station; NaT without progress."""
    never, zeros = np.datetime64("NaT", "s"), np.zeros(columns)
    rows = [
        each or Progress(never, never, False, zeros.astype(np.int64), zeros.astype(np.float32)) for each in stations
    ]
    shape = (len(rows), columns)
    return {
        "step": np.array([each.step for each in rows], dtype="datetime64[s]"),
        "reading": np.array([each.reading for each in rows], dtype="datetime64[s]"),
        "full": np.array([bool(each.full) for each in rows], dtype=bool),
        "readings": np.array([each.readings for each in rows], np.int64).reshape(shape),
        "usual": np.array([each.usual for each in rows], np.float32).reshape(shape),
    }


def read_grids(home: Home, feed: str) -> dict[str, Grid]:
    """The newest grid of each station, by station id. Raises AeroCastError for a missing or damaged file."""
    path = f"{home}/{document_name(feed)}"
    data = store_of(home).read(document_name(feed))
    if data is None:
        raise AeroCastError(f"there is no tail of feed {feed!r}: {path} does not exist")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if (size := sum(each.file_size for each in arrays.zip.infolist())) > atomic.LARGEST:
                raise ValueError(f"it unpacks to {size} bytes")
            table = {key: arrays[key] for key in ("stations", "columns", "ends", "time", "values", "age")}
            # The tail of an early version has neither.
            progress = {key: arrays[key] for key in PROGRESS if key in arrays}
            units = tuple(map(str, arrays["units"])) if "units" in arrays else ()
    except Exception as error:  # numpy's reader of headers parses them as code: whatever a damaged one raises
        raise AeroCastError(
            f"the tail {path} is damaged: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    _check_arrays(path, table, progress)
    columns, ends = tuple(str(column) for column in table["columns"]), [0, *table["ends"].tolist()]
    grids = {}
    for index, station in enumerate(str(each) for each in table["stations"]):
        rows = slice(ends[index], ends[index + 1])
        own = table["time"][rows], columns, table["values"][rows], table["age"][rows]
        newest = Progress(*(progress[key][index] for key in PROGRESS)) if len(progress) == len(PROGRESS) else None
        has_progress = newest and not np.isnat([newest.step, newest.reading]).any()
        grids[station] = Grid(station, *own, newest if has_progress else None, units)
    return grids


def _check_arrays(path: str, table: Mapping[str, NDArray[Any]], progress: Mapping[str, NDArray[Any]]) -> None:
    """Raises AeroCastError unless the arrays fit together, and to what is computed from them."""
    time, ends, shape = table["time"], table["ends"], (len(table["time"]), len(table["columns"]))
    kinds = {"stations": "U", "columns": "U", "ends": "i", "time": "M", "values": "f", "age": "f"}
    fit = all(table[name].dtype.kind == kind for name, kind in kinds.items()) and time.dtype == "datetime64[s]"
    fit = fit and all(table[name].ndim == 1 for name in ("stations", "columns", "ends", "time"))
    fit = fit and table["values"].shape == table["age"].shape == shape and len(ends) == len(table["stations"])
    stations, columns = len(table["stations"]), shape[1]
    for key, array in progress.items():
        fit = fit and array.dtype.kind == PROGRESS[key]
        fit = fit and array.shape == ((stations, columns) if key in ("readings", "usual") else (stations,))
    if not fit or (np.diff(ends, prepend=0, append=shape[0]) < 0).any() or (len(ends) and ends[-1] != shape[0]):
        raise AeroCastError(f"the tail {path} is damaged: its arrays do not fit together")
    times = [time, *(progress[key][~np.isnat(progress[key])] for key in ("step", "reading") if key in progress)]
    if not all(((each > _TIMES[0]) & (each < _TIMES[1])).all() for each in times):  # NaT fails, too
        raise AeroCastError(f"the tail {path} is damaged: it holds times beyond {_TIMES[0]} .. {_TIMES[1]}")


def newest_readings(grids: Mapping[str, Grid]) -> dict[str, np.datetime64]:
    """When each station was read last, of those of which that is known."""
    newest = {}
    for station, grid in grids.items():
        measured = np.flatnonzero((grid.age == 0).any(axis=1))
        if grid.progress:
            newest[station] = grid.progress.reading
        elif len(measured):  # silent for long, or a tail from before progress was stored
            newest[station] = grid.time[measured[-1]]
    return newest


def stamp(home: Home, feed: str) -> Stamp | None:
    """Changes whenever the file is replaced; None while there is none (see `Store.stamp`)."""
    return store_of(home).stamp(document_name(feed))


def document_name(feed: str) -> str:
    """The document's name in the home."""
    return f"tail/{feed}.npz"
