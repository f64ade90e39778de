"""Reads tables: a reader sees each one as one commit left it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import quoted, scan
from aerocast.common.times import from_microseconds
from aerocast.lake import ledger
from aerocast.lake.ledger import Ledger
from aerocast.lake.refusals import damage_explained, explain, with_error_number
from aerocast.storage.home import Home, store_of

Rows: TypeAlias = pa.Table | duckdb.DuckDBPyRelation

PARTITION = "month"
DELIVERY = "delivery"

_MONTH = f"partition.{PARTITION}"  # as the log's table of files names it
_AT_ONCE = 120  # months


@contextmanager
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own to read tables with. Raises AeroCastError if, in the block, a table's file cannot be read."""
    with damage_explained(), duckdb.connect() as con:
        yield con


class LakeReader:
    """The tables of one home, for reading. Names are `<feed>/<layer>`, such as `noaa/raw`.

    Raises, from every method:
        AeroCastError: the home cannot be used, a table's log is damaged.
    """

    def __init__(self, home: str | Home) -> None:
        self.store = store_of(home).below("lake")
        self.root = str(self.store)

    def uri(self, name: str) -> str:
        """The address of the table `name`."""
        return f"{self.root}/{name}"

    def view(self) -> "LakeView":
        """The tables as they are now (see `LakeView`)."""
        return LakeView(self)

    def exists(self, name: str) -> bool:
        return self._open(name) is not None

    def version(self, name: str) -> int | None:
        """The newest version, or None without a table."""
        table = self._open(name)
        return None if table is None else table.version()

    def months(self, name: str) -> list[str]:
        """The `YYYY-MM` partitions that hold rows, oldest first."""
        return sorted(self.rows(name))

    def rows(self, name: str) -> dict[str, int]:
        """The number of rows of each month, from the table's log alone."""
        return {month: rows for month, rows in self._by_month(name, "num_records", "sum").items() if rows}

    def file_sizes(self, name: str) -> dict[str, list[int]]:
        """The bytes of each file, by month, from the table's log alone."""
        return self._by_month(name, "size_bytes", "list")

    def _by_month(self, name: str, column: str, function: str) -> dict[str, Any]:
        """An aggregate of a column that the table's log has of each file, by month; nothing without a table."""
        table = self._open(name)
        if table is None:
            return {}
        months = _actions(table).group_by(_MONTH).aggregate([(column, function)])
        return dict(zip(months[_MONTH].to_pylist(), months[f"{column}_{function}"].to_pylist(), strict=True))

    def span(self, name: str) -> tuple[datetime, datetime] | None:
        """The oldest and the newest `time` in the table, to the millisecond, from its log alone; None without rows."""
        spans = self.spans(name).values()
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None

    def spans(self, name: str) -> dict[str, tuple[datetime, datetime]]:
        """The oldest and the newest `time` of each month's rows, to the millisecond, from the log alone."""
        table = self._open(name)
        actions = _actions(table) if table is not None else None
        if actions is None or "min.time" not in actions.column_names:
            return {}
        # As numbers: pyarrow imports pandas to make a time with a zone.
        bounds = {side: actions[f"{side}.time"].cast(pa.int64()) for side in ("min", "max")}
        files = pa.table({"month": actions[_MONTH], **bounds}).drop_null()
        months = files.group_by("month").aggregate([(side, side) for side in bounds]).to_pylist()
        return {
            each["month"]: (from_microseconds(each["min_min"]), from_microseconds(each["max_max"])) for each in months
        }

    def chunks(self, name: str, months: Sequence[str], limit: int = 1_000_000) -> list[list[str]]:
        """`months` in order, cut into pieces of at most `limit` rows of table `name`; a month stays whole.

        A piece has at most ten years, too: each month is a file of its own, and files written together are in memory.
        """
        rows = self.rows(name)
        pieces: list[list[str]] = []
        size = limit + 1
        for month in sorted(months):
            if size + rows.get(month, 0) > limit or len(pieces[-1]) == _AT_ONCE:
                pieces.append([])
                size = 0
            pieces[-1].append(month)
            size += rows.get(month, 0)
        return pieces

    def files(self, name: str, months: Sequence[str] | None = None) -> list[str]:
        """The Parquet files of the newest version, of all months or of these, as DuckDB's `read_parquet` takes them.

        The partition column is in the path only (see `aerocast.common.sql.scan`).
        """
        table = self._open(name)
        return [] if table is None else self._files(table, months)

    def prepare(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Lets `con` read and write this lake's files: sets it to UTC, and registers the object store."""
        con.execute("SET TimeZone = 'UTC'")
        self.store.attach(con)
        return con

    def relation(
        self,
        con: duckdb.DuckDBPyConnection,
        name: str,
        months: Sequence[str] | None = None,
        version: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """The rows of one version (the newest), of all months or of these, read lazily; `prepare`s `con`.

        Columns come in the table's order and types, even if a month's files lack one or have one that the table has
        lost.

        Raises:
            AeroCastError: there is no such table, or it no longer has this version.
        """
        self.prepare(con)
        table = self.table(name, version)
        return self._file_rows(con, table.schema(), self._files(table, months))

    def select(self, name: str) -> str:
        """The newest version's rows as a SELECT for any DuckDB."""
        table = self.table(name)
        types = self._types(table.schema())
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(column)}" for column, kind in types.items())
        return _select(types, f"(SELECT {columns} WHERE false)", self._files(table, None))

    def tables(self) -> list[str]:
        """The names of all tables, sorted."""
        return self.store.folders_with("_delta_log")

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """The Delta table itself, for maintenance. Raises AeroCastError if it does not exist."""
        table = self._open(name, version)
        if table is None:
            raise AeroCastError(f"table {name} does not exist yet in {self.root}: materialise it first")
        return table

    def ledger(self, name: str) -> Ledger:
        """The records of a table's newest version; empty if it does not exist."""
        return self._ledger(self._open(name), name)

    def _ledger(self, table: DeltaTable | None, name: str) -> Ledger:
        def records() -> dict[str, int]:
            try:
                return {} if table is None else ledger.read_records(table)
            except (OSError, ValueError, KeyError, pa.ArrowException) as error:
                raise self._failure(name, "read", error) from None

        return Ledger(None if table is None else table.version(), records)

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A new one for each use, so that threads may write at the same time."""
        return self.prepare(self._engine.cursor())

    def _rows(self, rows: Rows) -> duckdb.DuckDBPyRelation:
        return self._cursor().from_arrow(rows) if isinstance(rows, pa.Table) else rows

    def _open(self, name: str, version: int | None = None) -> DeltaTable | None:
        try:
            table = DeltaTable(self.uri(name), version=version, storage_options=self.store.delta_options())
            commit = f"{name}/_delta_log/{table.version():020d}.json"
            if self.store.local and self.store.size(commit) == 0:  # which Delta reads as a commit of nothing
                raise OSError(f"its newest commit, {commit}, is empty")
            return table
        except TableNotFoundError as error:
            if (
                "os error 2)" in (fault := str(error))
                or "code: 2," in fault
                or "os error" not in with_error_number(fault)
            ):
                return None
            raise self._failure(name, "read", error) from None
        except (DeltaError, OSError) as error:
            raise self._failure(name, "read", error) from None

    def _files(self, table: DeltaTable, months: Sequence[str] | None) -> list[str]:
        if months is not None and not months:
            return []
        predicate = None if months is None else [(PARTITION, "in", list(months))]
        return self.store.duckdb_files(table.file_uris(file_pruning_predicate=predicate))

    def _file_rows(self, con: duckdb.DuckDBPyConnection, schema: Schema, files: list[str]) -> duckdb.DuckDBPyRelation:
        """The rows of these files as columns of this schema."""
        empty = con.from_arrow(pa.schema(schema.to_arrow()).empty_table())
        if not files:
            return empty
        rows = empty.query("typed_as_table", _select(empty.columns, "typed_as_table", files))
        return empty if rows is None else rows

    def _types(self, schema: Schema) -> dict[str, str]:
        """DuckDB's type of each column of a table."""
        empty = self._cursor().from_arrow(pa.schema(schema.to_arrow()).empty_table())
        return {name: str(kind) for name, kind in zip(empty.columns, empty.types, strict=True)}

    def _failure(self, name: str, action: str, error: Exception) -> AeroCastError:
        return AeroCastError(f"table {name} in {self.root} could not be {action}: {explain(error)}")


class LakeView(LakeReader):
    """The tables as each one is when it is first read; it is opened once, for many queries of the same state."""

    def __init__(self, reader: LakeReader) -> None:
        self.root, self.store = reader.root, reader.store
        self._tables: dict[tuple[str, int | None], DeltaTable | None] = {}
        self._ledgers: dict[str, Ledger] = {}

    def ledger(self, name: str) -> Ledger:
        if name not in self._ledgers:
            self._ledgers[name] = super().ledger(name)
        return self._ledgers[name]

    def _open(self, name: str, version: int | None = None) -> DeltaTable | None:
        if (name, version) not in self._tables:
            self._tables[name, version] = super()._open(name, version)
        return self._tables[name, version]


def _select(columns: Iterable[str], empty: str, files: Sequence[str]) -> str:
    """A SELECT of these columns of some files; `empty` has them all, with their types."""
    rows = f" UNION ALL BY NAME {scan(files, PARTITION)}" if files else ""
    return f"SELECT {', '.join(map(quoted, columns))} FROM (SELECT * FROM {empty}{rows})"


def _actions(table: DeltaTable) -> pa.Table:
    """The log's entry of each file. (`pa.table` would work, too, but imports pandas.)"""
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()
