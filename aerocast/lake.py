"""The only door to stored tables: Delta tables under `<home>/lake/<feed>/<layer>`, read by DuckDB.

A reader sees a table as one commit left it, whole; a writer that dies leaves nothing of a half-written commit.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import ColumnProperties, CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from aerocast.errors import AeroCastError
from aerocast.sql import literal, scan
from aerocast.storage_faults import coded, is_overtaken, told

Rows: TypeAlias = pa.Table | duckdb.DuckDBPyRelation
Result = TypeVar("Result")

PARTITION = "month"
DELIVERY = "delivery"
WHOLE = "whole"

_ATTEMPTS = 200
_BATCH = 65_536
_LEAST_FREE = 4 << 20
_CHECKPOINT = {"delta.checkpointInterval": "10"}  # commits; a reader opens a checkpoint and what came after it
_ROW_GROUP = 122_880  # DuckDB's own, which it reads in parallel; the writer holds one in memory


class Lake:
    """The tables of one home. Names are `<feed>/<layer>`, such as `noaa/raw`; every method opens the newest version.

    Raises, from every method:
        AeroCastError: the disk is full or read-only, the home cannot be used, a table's log is damaged.
    """

    def __init__(self, home: str | Path) -> None:
        if "://" in str(home):
            self.root = f"{str(home).rstrip('/')}/lake"
            return
        self.root = str(Path(home).absolute() / "lake")
        odd = sorted(set(self.root) & set("[]%"))
        if odd:
            raise AeroCastError(f"home {str(home)!r}: tables cannot be kept under a path that holds {' '.join(odd)}")

    def uri(self, name: str) -> str:
        """Where the table `name` lies."""
        return f"{self.root}/{name}"

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
        """Rows of each month, from the table's log alone. Shape: month -> rows."""
        table = self._open(name)
        if table is None:
            return {}
        counts: dict[str, int] = {}
        for action in pa.table(table.get_add_actions(flatten=True)).to_pylist():
            month = action[f"partition.{PARTITION}"]
            counts[month] = counts.get(month, 0) + action["num_records"]
        return {month: rows for month, rows in counts.items() if rows}

    def span(self, name: str) -> tuple[datetime, datetime] | None:
        """The oldest and the newest `time` in the table, to the millisecond, from its log alone; None without rows."""
        table = self._open(name)
        if table is None:
            return None
        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        oldest = [action["min.time"] for action in actions if action.get("min.time") is not None]
        newest = [action["max.time"] for action in actions if action.get("max.time") is not None]
        return (min(oldest), max(newest)) if oldest else None

    def chunks(self, name: str, months: Sequence[str], limit: int = 500_000) -> list[list[str]]:
        """`months` in order, cut so that one piece holds at most `limit` rows of table `name` (a month stays whole)."""
        rows = self.rows(name)
        pieces: list[list[str]] = []
        held = limit + 1
        for month in sorted(months):
            if held + rows.get(month, 0) > limit:
                pieces.append([])
                held = 0
            pieces[-1].append(month)
            held += rows.get(month, 0)
        return pieces

    def files(self, name: str, months: Sequence[str] | None = None) -> list[str]:
        """The Parquet files of the newest version, of all months or of these, as DuckDB's `read_parquet` takes them.

        The partition column is in the path only: read with `hive_partitioning=true, hive_types_autocast=false`.
        """
        table = self._open(name)
        return [] if table is None else self._files(table, months)

    def relation(
        self, con: duckdb.DuckDBPyConnection, name: str, months: Sequence[str] | None = None
    ) -> duckdb.DuckDBPyRelation:
        """The rows of one version, of all months or of these, read when asked for; sets `con` to UTC.

        Columns come in the table's order and types even if a month's files are older than a column.

        Raises:
            AeroCastError: there is no such table.
        """
        con.execute("SET TimeZone = 'UTC'")
        table = self._open(name)
        if table is None:
            raise AeroCastError(f"table {name} does not exist yet in {self.root}: materialise it first")
        empty = con.from_arrow(pa.schema(table.schema().to_arrow()).empty_table())
        files = self._files(table, months)
        if not files:
            return empty
        stored = scan(files)
        rows = empty.query("as_declared", f"SELECT * FROM as_declared UNION ALL BY NAME {stored}")
        return empty if rows is None else rows

    def select(self, name: str) -> str:
        """The newest version's rows as a SELECT that any DuckDB can run; none of a table without rows."""
        files = self.files(name)
        return scan(files) if files else "SELECT 1 AS no_rows WHERE false"

    def append(self, name: str, rows: pa.Table, segment: str, slot: str | None = None) -> bool:
        """Adds a delivered segment exactly once, with `delivery` (int64): the number of the commit that brought it.

        Without a slot a segment is taken once and for ever. With one (a place that holds one content at a time, such
        as a month of a file) it is taken unless the slot holds it already: what comes back after a change counts.

        Returns:
            False if the segment was there already, and nothing was written.
        """

        def attempt() -> bool:
            table = self._open(name)
            turn = 1
            if table is not None:
                held = table.transaction_version(f"{slot}@{segment}" if slot else segment)
                turn = ((table.transaction_version(slot) or 0) if slot else 0) + 1
                if held is not None and (slot is None or held == turn - 1):
                    return False
            marks = [Transaction(slot, turn), Transaction(f"{slot}@{segment}", turn)] if slot else []
            number = 0 if table is None else table.version() + 1
            stamp = pa.array([number], pa.int64()).take(pa.array([0] * len(rows), pa.int64()))
            data = rows.append_column(DELIVERY, stamp)
            self._write(table, name, data, "append", marks or [Transaction(segment, turn)])
            return True

        return self._guarded(name, attempt)

    def took(self, name: str, segment: str, slot: str) -> bool:
        """Whether the slot holds this segment now (see `append`)."""
        table = self._open(name)
        held = None if table is None else table.transaction_version(f"{slot}@{segment}")
        return table is not None and held is not None and held == table.transaction_version(slot)

    def tables(self) -> list[str]:
        """The names of all tables, sorted."""
        if "://" in self.root:
            raise AeroCastError(f"{self.root}: tables of an object store are not listed yet")
        return sorted(str(log.parent.relative_to(self.root)) for log in Path(self.root).glob("**/_delta_log"))

    def holds(self, name: str, month: str, config_hash: str) -> bool:
        """Whether the month's rows were put there with this hash (see `replace`)."""
        table = self._open(name)
        return table is not None and table.transaction_version(_hash_mark(month)) == _hash_number(config_hash)

    def stale(self, name: str, hashes: Mapping[str, str]) -> list[str]:
        """The months whose rows were not put there with the hash given here, oldest first: one look for all."""
        held = self.marks(name, list(hashes))
        return [month for month in sorted(hashes) if held.get(month) != f"{_hash_number(hashes[month]):x}"]

    def marks(self, name: str, months: Sequence[str]) -> dict[str, str]:
        """What each of these months was computed from, as text that changes when its `config_hash` does."""
        table = self._open(name)
        if table is None:
            return {}
        found = {month: table.transaction_version(_hash_mark(month)) for month in months}
        return {month: f"{number:x}" for month, number in found.items() if number is not None}

    def replace(self, name: str, rows: Rows, months: Sequence[str], hashes: Mapping[str, str] | None = None) -> int:
        """Puts `rows` in the place of all rows of these months, in one commit. Returns the new version.

        `hashes` (month -> config_hash) says what each month was computed from; it is committed with the rows, so
        that `holds` is never right about rows that are not there.

        Raises:
            ValueError: a row belongs to none of `months`.
        """
        if not months:
            raise ValueError(f"table {name}: no month to replace")
        predicate = f"{PARTITION} IN ({', '.join(literal(month) for month in sorted(set(months)))})"
        marks = [Transaction(_hash_mark(month), _hash_number(text)) for month, text in (hashes or {}).items()]
        try:
            return self._guarded(name, lambda: self._write(self._open(name), name, rows, "overwrite", marks, predicate))
        except _Misplaced as error:
            raise ValueError(f"table {name}: a row belongs to none of the months {', '.join(months)}") from error

    def overwrite(self, name: str, rows: Rows, config_hash: str | None = None) -> int:
        """Puts `rows`, and their columns, in the place of the whole table, in one commit. Returns the new version.

        `holds(name, WHOLE, config_hash)` then says what it was computed from.
        """
        marks = [Transaction(_hash_mark(WHOLE), _hash_number(config_hash))] if config_hash else []
        return self._guarded(name, lambda: self._write(self._open(name), name, rows, "overwrite", marks))

    def compact(self, name: str, month: str) -> None:
        """Joins the small files of a month of a table that exists; its rows stay as they are."""
        chosen = [(PARTITION, "=", month)]
        self._guarded(name, lambda: DeltaTable(self.uri(name)).optimize.compact(partition_filters=chosen))

    def _open(self, name: str) -> DeltaTable | None:
        try:
            return DeltaTable(self.uri(name))
        except TableNotFoundError as error:
            if "os error 2)" in (fault := str(error)) or "code: 2," in fault or "os error" not in coded(fault):
                return None
            raise self._failure(name, "read", error) from None
        except (DeltaError, OSError) as error:
            raise self._failure(name, "read", error) from None

    def _files(self, table: DeltaTable, months: Sequence[str] | None) -> list[str]:
        if months is not None and not months:
            return []
        chosen = None if months is None else [(PARTITION, "in", list(months))]
        uris = table.file_uris(file_pruning_predicate=chosen)
        if "://" in self.root:
            return sorted(uris)
        # Delta answers in percent-encoding, and DuckDB reads these two as wildcards.
        return sorted(unquote(uri).replace("*", "[*]").replace("?", "[?]") for uri in uris)

    def _write(
        self,
        table: DeltaTable | None,
        name: str,
        rows: Rows,
        mode: Literal["append", "overwrite"],
        marks: list[Transaction],
        predicate: str | None = None,
    ) -> int:
        """One commit on exactly this version of the table; CommitFailedError if another writer was faster."""
        self._check_room(name)
        data = rows if isinstance(rows, pa.Table) else rows.to_arrow_reader(_BATCH)
        options: dict[str, Any] = {"predicate": predicate} if predicate else {}
        options |= {"configuration": _CHECKPOINT} if table is None else {}
        write_deltalake(
            table if table is not None else self.uri(name),
            data,
            # Where there is no table yet the library would append to one that appears meanwhile: "error" refuses it.
            mode="error" if table is None and mode == "append" else mode,
            partition_by=[PARTITION] if PARTITION in data.schema.names else None,
            schema_mode="overwrite" if mode == "overwrite" and not predicate else "merge",
            # Never rebased by the library: what was decided on one version is decided again on the next.
            commit_properties=CommitProperties(app_transactions=marks, max_commit_retries=0),
            writer_properties=WriterProperties(
                max_row_group_size=_ROW_GROUP,
                # Figures of every page cost a third of a write, and nobody reads them.
                default_column_properties=ColumnProperties(statistics_enabled="CHUNK"),
            ),
            **options,
        )
        return 0 if table is None else table.version()

    def _check_room(self, name: str) -> None:
        """Refuses to begin on a full disk: the writer would say so too, but beside a page of its own."""
        if "://" in self.root:
            return
        place = Path(self.root)
        while not place.exists():
            place = place.parent
        disk = shutil.disk_usage(place)
        if disk.total and disk.free < _LEAST_FREE:  # a place such as /proc has no size at all
            raise AeroCastError(f"table {name} in {self.root} could not be written: the disk is full")

    def _guarded(self, name: str, attempt: Callable[[], Result]) -> Result:
        """Tries until no other writer commits in between; every other failure becomes a sentence."""
        retrying = Retrying(
            retry=retry_if_exception_type(_Overtaken),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.01, max=0.5),
        )

        def once() -> Result:
            try:
                return attempt()
            except (CommitFailedError, DeltaError, OSError, duckdb.Error, pa.ArrowException) as error:
                fault = str(error)
                if "failed validation check" in fault:
                    raise _Misplaced from error
                if is_overtaken(error):
                    raise _Overtaken from error
                raise self._failure(name, "written", error) from error

        try:
            return retrying(once)
        except RetryError:
            raise AeroCastError(f"table {name} is written by others without a pause: try again later") from None

    def _failure(self, name: str, done: str, error: Exception) -> AeroCastError:
        return AeroCastError(f"table {name} in {self.root} could not be {done}: {told(error)}")


def _hash_mark(month: str) -> str:
    return f"config/{month}"


def _hash_number(config_hash: str) -> int:
    """A hash as the positive 63-bit number that an application transaction can carry."""
    return int(config_hash[:15], 16)


class _Overtaken(Exception):
    """Another writer committed first; nothing was written."""


class _Misplaced(Exception):
    """A row lies outside the partitions that it was to replace."""
