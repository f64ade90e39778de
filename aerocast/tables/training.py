"""Makes the training table, feature rows with their outcomes by month, and the windowed CSV for people."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.common.months import months_around
from aerocast.contracts import clock
from aerocast.features.dataset import Rows
from aerocast.features.features import Together, feature_names, features, together
from aerocast.features.grid import Floats, Grid, Times, WindowSpec
from aerocast.features.windows import targets, valid_origins, windowed_csv_columns, windowed_rows
from aerocast.feed.declaration import Feed
from aerocast.lake import PARTITION, LakeReader
from aerocast.storage.home import Home

# Rows of silver at a time: each becomes hundreds of float32 columns.
PIECE = 200_000


@dataclass(frozen=True)
class Samples:
    """The training table in memory, in time order: `station` and `time` are (n,), `rows` the features and outcomes."""

    station: NDArray[np.str_]
    time: Times
    rows: Rows
    names: tuple[str, ...]

    def take(self, keep: NDArray[np.bool_]) -> "Samples":
        """The samples of a mask (n,)."""
        return Samples(self.station[keep], self.time[keep], self.rows.take(keep), self.names)

    def select(self, names: Collection[str]) -> "Samples":
        """The same samples with these features alone."""
        at = [index for index, name in enumerate(self.names) if name in names]
        rows = Rows(np.ascontiguousarray(self.rows.x[:, at]), self.rows.y)
        return Samples(self.station, self.time, rows, tuple(self.names[index] for index in at))

    def append(self, names: Sequence[str], columns: Floats) -> "Samples":
        """The same samples with more features: `columns` (n, names)."""
        rows = Rows(np.concatenate([self.rows.x, columns], axis=1), self.rows.y)
        return Samples(self.station, self.time, rows, (*self.names, *names))


def source_months(spec: WindowSpec, months: Iterable[str]) -> list[str]:
    """The months of silver that windows of these months are made from."""
    return months_around(list(months), *lookback_and_horizon(spec))


def lookback_and_horizon(spec: WindowSpec) -> tuple[timedelta, timedelta]:
    """How far windows look back before a month's start, and ahead after its end."""
    step = timedelta(seconds=spec.cadence)
    return (spec.look_back - 1) * step, spec.horizons[-1] * step


def csv_path(home: Home, feed: Feed, target: str) -> Path:
    """Where people find the windowed CSV of a target."""
    return home / "exports" / feed.name / target / "windows.csv"


def later(home: Home, feed: Feed, lake: LakeReader) -> dict[str, str]:
    """The tables of windows whose newest month waits for a later live run, each with that month.

    With several steps an hour it is made once an hour, as the CSV is: nothing but training reads it, and at the end of
    a month it would cost a live run more than any other table.
    """
    months = lake.months(f"{feed.name}/silver")
    if len(months) < 2 or 2 * feed.cadence > clock.RENEWED:
        return {}
    fresh = (target for target in feed.targets if not clock.is_due(home, feed.name, csv_path(home, feed, target)))
    return {f"{feed.name}/{target}/windows": months[-1] for target in fresh}


def outcome(spec: WindowSpec, horizon: int) -> str:
    """Column of the measured target at origin + horizon."""
    return f"y_{spec.target}_{horizon}"


def table(spec: WindowSpec, grids: Mapping[str, Grid], months: Iterable[str]) -> pa.Table:
    """Rows whose origin lies in `months`: station, time, every feature, the outcomes, month; by station and time.

    `grids` must hold at least the rows of `source_months`, or windows at a border would be incomplete.
    """
    included = np.array(sorted(months), dtype="datetime64[M]")
    others = together(spec, grids.values())
    # numpy releases the interpreter while it computes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pa.concat_tables(list(pool.map(lambda grid: _piece(spec, grid, others, included), grids.values())))


def _piece(spec: WindowSpec, grid: Grid, others: Together, months: NDArray[np.datetime64]) -> pa.Table:
    origins = valid_origins(spec, grid)
    origins = origins[np.isin(grid.time[origins].astype("datetime64[M]"), months)]
    time = grid.time[origins]
    names = [*feature_names(spec), *(outcome(spec, horizon) for horizon in spec.horizons)]
    values = [*features(spec, grid, origins, others).T, *np.ascontiguousarray(targets(spec, grid, origins).T)]
    labels, month = np.unique(time.astype("datetime64[M]"), return_inverse=True)
    return pa.table(
        {
            "station": pa.repeat(grid.station, len(time)),
            "time": pa.array(time.astype("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            # NaN as null; without one, the array's own memory.
            **{
                name: pa.array(column, pa.float32(), from_pandas=bool(np.isnan(column).any()))
                for name, column in zip(names, values, strict=True)
            },
            PARTITION: pa.array(labels.astype(str).tolist(), pa.string()).take(pa.array(month)),
        }
    )


def load(spec: WindowSpec, relation: duckdb.DuckDBPyRelation) -> Samples:
    """Reads the training table, in time order.

    Raises:
        AeroCastError: it holds no rows, or not the features that the spec names.
    """
    names = feature_names(spec)
    missing = sorted(set(names) - set(relation.columns))
    if missing:
        raise AeroCastError(f"windows: {missing[0]} and {len(missing) - 1} more features are missing; rebuild them")
    table = relation.order("time, station").to_arrow_table()
    if not len(table):
        raise AeroCastError(f"windows: no row has a whole window of {spec.target}; is there enough silver?")
    return Samples(
        station=np.array(table["station"].to_pylist(), dtype=np.str_),
        time=table["time"].cast(pa.timestamp("s", "UTC")).to_numpy().astype("datetime64[s]"),
        rows=Rows(matrix(table, names), matrix(table, [outcome(spec, horizon) for horizon in spec.horizons])),
        names=tuple(names),
    )


def matrix(table: pa.Table, names: list[str]) -> Floats:
    """Columns of a table side by side, (rows, names); null as NaN."""
    matrix = np.empty((len(table), len(names)), dtype=np.float32)
    for index, name in enumerate(names):
        matrix[:, index] = table[name].to_numpy(zero_copy_only=False)
    return matrix


def csv_grid(spec: WindowSpec, grid: Grid, months: Iterable[str]) -> Grid:
    """The rows for the windowed CSV of origins in these months, without origins of other months."""
    inside = np.flatnonzero(np.isin(grid.time.astype("datetime64[M]"), np.array(sorted(months), dtype="datetime64[M]")))
    first, last = (inside[0], inside[-1] + 1 + spec.horizons[0]) if len(inside) else (0, 0)
    rows = slice(max(0, first - spec.steps + 1), last)
    return Grid(grid.station, grid.time[rows], grid.columns, grid.values[rows], grid.age[rows])


def write_csv(path: Path, spec: WindowSpec, grids: Iterable[Grid]) -> int:
    """Writes the windowed CSV (old or new content, never half) and returns its rows.

    Raises:
        AeroCastError: the disk refuses.
    """
    header = windowed_csv_columns(spec)
    schema = pa.schema([(name, pa.float32()) for name in header])
    beside, rows = path.with_name(f".{path.name}.new"), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as stream:
            with pa_csv.CSVWriter(stream, schema, write_options=pa_csv.WriteOptions(quoting_header="none")) as writer:
                for grid in grids:
                    _, values = windowed_rows(spec, grid)
                    writer.write_table(pa.table(list(np.ascontiguousarray(values.T)), schema=schema))
                    rows += len(values)
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise AeroCastError(f"{path} could not be written: {error.strerror or error}") from error
    return rows
