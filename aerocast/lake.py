"""The only door to stored tables: Delta tables under `<home>/lake/<feed>/<layer>`, read by DuckDB.

A reader sees a table as one commit left it, whole; a writer that dies leaves nothing of a half-written commit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal, TypeAlias, TypeVar
from uuid import uuid4

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from aerocast import datafiles, memory
from aerocast import marks as content_marks
from aerocast.common.errors import AeroCastError
from aerocast.common.sql import quoted, scan
from aerocast.common.times import from_microseconds
from aerocast.marks import NO_EDGES, Content, Edges
from aerocast.storage.home import Home, store_of
from aerocast.storage_faults import coded, is_overtaken, told

Rows: TypeAlias = pa.Table | duckdb.DuckDBPyRelation
# Given a connection and a relation of it over the rows just written, what shall be committed with them.
Digests: TypeAlias = Callable[[duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation], list[Transaction]]
Result = TypeVar("Result")

PARTITION = "month"
DELIVERY = "delivery"
WHOLE = "whole"

_MONTH = f"partition.{PARTITION}"  # as the log's table of files names it
_ATTEMPTS = 200
_FORGETS = 32  # commits: after so many a table looks which deliveries it may forget
_LOOKED = "forgotten"  # when it did
_LEAST_FREE = 4 << 20
_AT_ONCE = 120  # months
_VOID = 'PrimitiveType("void")'  # of a column that held nothing but nulls so far
LOG_PROPERTIES = {
    "delta.checkpointInterval": "10",  # commits; a reader opens a checkpoint and what came after it
    "delta.enableExpiredLogCleanup": "false",  # else versions that releases name would go: `maintenance` knows which
    memory.EXPIRY: "interval 1 days",
}


class Lake:
    """The tables of one home. Names are `<feed>/<layer>`, such as `noaa/raw`; every method opens the newest version.

    Raises, from every method:
        AeroCastError: the disk is full or read-only, the home cannot be used, a table's log is damaged.
    """

    def __init__(self, home: str | Home) -> None:
        self.store = store_of(home).below("lake")
        self.root = str(self.store)

    def view(self) -> "LakeView":
        """The tables as they are now, for reading: see `LakeView`."""
        return LakeView(self)

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
        actions = _actions(table)
        for month, number in zip(*(actions[name].to_pylist() for name in (_MONTH, "num_records")), strict=True):
            counts[month] = counts.get(month, 0) + number
        return {month: rows for month, rows in counts.items() if rows}

    def span(self, name: str) -> tuple[datetime, datetime] | None:
        """The oldest and the newest `time` in the table, to the millisecond, from its log alone; None without rows."""
        spans = self.spans(name).values()
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None

    def chunks(self, name: str, months: Sequence[str], limit: int = 1_000_000) -> list[list[str]]:
        """`months` in order, cut so that one piece holds at most `limit` rows of table `name` (a month stays whole).

        A piece holds at most ten years too: each month is a file of its own, and those written at once are in memory.
        """
        rows = self.rows(name)
        pieces: list[list[str]] = []
        held = limit + 1
        for month in sorted(months):
            if held + rows.get(month, 0) > limit or len(pieces[-1]) == _AT_ONCE:
                pieces.append([])
                held = 0
            pieces[-1].append(month)
            held += rows.get(month, 0)
        return pieces

    def files(self, name: str, months: Sequence[str] | None = None) -> list[str]:
        """The Parquet files of the newest version, of all months or of these, as DuckDB's `read_parquet` takes them.

        The partition column is in the path only (see `aerocast.common.sql.scan`).
        """
        table = self._open(name)
        return [] if table is None else self._files(table, months)

    def ready(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Lets `con` read and write this lake's files: it is set to UTC, and knows the object store."""
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
        """The rows of one version (the newest), of all months or of these, read when asked for; makes `con` `ready`.

        Columns come in the table's order and types even if a month's files are older than a column, or still hold one
        that the table has no more.

        Raises:
            AeroCastError: there is no such table, or no such version of it any more.
        """
        self.ready(con)
        table = self.opened(name, version)
        return self._stored(con, table.schema(), self._files(table, months))

    def select(self, name: str) -> str:
        """The newest version's rows as a SELECT that any DuckDB can run."""
        table = self.opened(name)
        types = self._types(table.schema())
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(column)}" for column, kind in types.items())
        return _declared(types, f"(SELECT {columns} WHERE false)", self._files(table, None))

    def append(
        self,
        name: str,
        rows: pa.Table,
        segment: str,
        slot: str | None = None,
        position: int | None = None,
        edges: Edges = NO_EDGES,
        upon: int | None = None,
    ) -> bool:
        """Adds a delivered segment exactly once, with `delivery` (int64): the number of the commit that brought it.

        A row that has a `delivery` keeps it: it was there before. `upon` is the version that the rows were decided on.

        Without a slot a segment is taken once, as far as the table remembers (`aerocast.memory`). With one (a place
        that holds one content at a time, such as a month of a file) it is taken unless the slot holds it already: what
        comes back after a change counts.
        With a position the segment is a stream, of which is taken what lies behind the newest position known.
        Each month that it reaches gets a new mark, and each edge of a month (see `content`).

        Returns:
            False if the segment was there already, or the table is not at `upon` any more; nothing was written then.
        """

        def attempt() -> bool:
            table = self._open(name)
            if upon is not None and (table is None or table.version() != upon):
                return False
            known = table.transaction_version(slot or segment) if table is not None else None
            if table is not None and position is not None:
                if known is not None and position <= known:
                    return False
            elif table is not None and (self._holds(table, slot, segment) if slot else known is not None):
                return False
            number = 0 if table is None else table.version() + 1
            turn = content_marks.number(segment) if slot else number if position is None else position
            return self._append(table, name, rows, {slot or segment: turn}, edges)

        return self._guarded(name, attempt)

    def amend(
        self, name: str, rows: pa.Table, turns: Mapping[str, int], upon: int | None, edges: Edges = NO_EDGES
    ) -> bool:
        """Adds rows that were decided on version `upon`, and says at which turn each of these names is now
        (`transactions`). Segments that are taken once, several in one commit, have the number `upon` + 1 (0 for None).

        Returns:
            False if the table is not at that version any more, and nothing was written.
        """

        def attempt() -> bool:
            table = self._open(name)
            if (None if table is None else table.version()) != upon:
                return False
            return self._append(table, name, rows, turns, edges)

        return self._guarded(name, attempt)

    def _append(
        self, table: DeltaTable | None, name: str, rows: pa.Table, turns: Mapping[str, int], edges: Edges
    ) -> bool:
        """One commit of rows; those without a `delivery` get the commit's number."""
        number = 0 if table is None else table.version() + 1
        kept, own = (f" EXCLUDE ({DELIVERY})", f"{DELIVERY}, ") if DELIVERY in rows.column_names else ("", "")
        data = self._rows(rows).select(f"*{kept}, coalesce({own}{number})::BIGINT AS {DELIVERY}")
        marks = [Transaction(segment, turn) for segment, turn in turns.items()]
        marks += self._chained(table, content_marks.reach(rows, edges), edges, *turns.items(), number)
        if table is not None and number - (table.transaction_version(_LOOKED) or 0) >= _FORGETS:
            marks += [Transaction(_LOOKED, number), *memory.expirations(table, self._transactions(table, name))]
        self._write(table, name, data, "append", marks)
        return True

    def took(self, name: str, segment: str, slot: str) -> bool:
        """Whether the slot holds this segment now (see `append`)."""
        table = self._open(name)
        return table is not None and self._holds(table, slot, segment)

    @staticmethod
    def _holds(table: DeltaTable, slot: str, segment: str) -> bool:
        held = table.transaction_version(slot)
        # In an older home a slot has the number of its turn, and each segment that it held the turn in which it came.
        return held is not None and held in (
            content_marks.number(segment),
            table.transaction_version(f"{slot}@{segment}"),
        )

    def has(self, name: str, segment: str) -> bool:
        """Whether this segment was taken, as far as the table remembers (see `append`)."""
        table = self._open(name)
        return table is not None and table.transaction_version(segment) is not None

    def turn(self, name: str, segment: str) -> int | None:
        """Where a stream of deliveries is (`append` with a position, `amend`); None if the table never heard of it."""
        table = self._open(name)
        return None if table is None else table.transaction_version(segment)

    def transactions(self, name: str) -> dict[str, int]:
        """Everything that a table's commits were told of what they took or made, by name."""
        table = self._open(name)
        return {} if table is None else self._transactions(table, name)

    def spans(self, name: str) -> dict[str, tuple[datetime, datetime]]:
        """The oldest and the newest `time` of each month's rows, to the millisecond, from the log alone."""
        table = self._open(name)
        actions = _actions(table) if table is not None else None
        if actions is None or "min.time" not in actions.column_names:
            return {}
        found: dict[str, tuple[datetime, datetime]] = {}
        # As numbers: pyarrow imports pandas to make a time with a zone.
        bounds = (actions[f"{side}.time"].cast(pa.int64()).to_pylist() for side in ("min", "max"))
        for month, low, high in zip(actions[_MONTH].to_pylist(), *bounds, strict=True):
            if low is not None and high is not None:
                first, last = found.get(month, (from_microseconds(low), from_microseconds(high)))
                found[month] = min(first, from_microseconds(low)), max(last, from_microseconds(high))
        return found

    def tables(self) -> list[str]:
        """The names of all tables, sorted."""
        return self.store.folders_with("_delta_log")

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

    def content(self, name: str, months: Sequence[str], edges: Edges = NO_EDGES) -> dict[str, Content]:
        """Marks of what each of these months holds, and of its edges of that length; none of a month never made.

        A month that was made and is empty has a mark. One of an older home, without marks, is known by its files.
        """
        table = self._open(name)
        if table is None:
            return {}
        held = self._transactions(table, name)
        found = {}
        for month in months:
            if whole := self._mark(table, month, held.get):
                kept = {s: held.get(content_marks.edge(month, s, reach)) for s, reach in edges.kept().items()}
                sides = {side: content_marks.text(mark) for side, mark in kept.items() if mark is not None}
                found[month] = Content(whole, sides.get("head", whole), sides.get("tail", whole))
        return found

    def origins(self, name: str) -> dict[str, str]:
        """What content of the layer above each month was made from, as `replace` was told, empty months included."""
        table = self._open(name)
        held = self._transactions(table, name) if table is not None else {}
        start = content_marks.origin("")
        return {app[len(start) :]: content_marks.text(mark) for app, mark in held.items() if app.startswith(start)}

    def replace(
        self,
        name: str,
        rows: Rows,
        months: Sequence[str],
        hashes: Mapping[str, str] | None = None,
        origins: Mapping[str, str] | None = None,
        edges: Edges | None = None,
        apart: Sequence[str] = (),
    ) -> int:
        """Puts `rows` in the place of all rows of these months, in one commit. Returns the new version.

        The table's columns are those of `rows` from then on; what other months have besides stays in their files.
        `hashes` (month -> config_hash) says what each month was computed from; it is committed with the rows, so
        that `holds` is never right about rows that are not there. So are `origins` (month -> mark of the layer above)
        and, if `edges` are given, the marks of what each month holds now, columns `apart` from the others left out.

        Raises:
            ValueError: a row belongs to none of `months`.
        """
        if not months:
            raise ValueError(f"table {name}: no month to replace")
        marks = [Transaction(_hash_mark(month), _hash_number(text)) for month, text in (hashes or {}).items()]
        marks += [Transaction(content_marks.origin(month), int(mark, 16)) for month, mark in (origins or {}).items()]

        def digests(con: duckdb.DuckDBPyConnection, written: duckdb.DuckDBPyRelation) -> list[Transaction]:
            found = content_marks.digests(con, written, months, edges, apart) if edges is not None else {}
            return [Transaction(mark, number) for mark, number in found.items()]

        def attempt() -> int:
            return self._write(self._open(name), name, rows, "overwrite", marks, months, digests)

        try:
            return self._guarded(name, attempt)
        except _Misplaced as error:
            raise ValueError(f"table {name}: a row belongs to none of the months {', '.join(months)}") from error

    def overwrite(self, name: str, rows: Rows, config_hash: str | None = None) -> int:
        """Puts `rows`, and their columns, in the place of the whole table, in one commit. Returns the new version.

        `holds(name, WHOLE, config_hash)` then says what it was computed from.
        """
        marks = [Transaction(_hash_mark(WHOLE), _hash_number(config_hash))] if config_hash else []
        return self._guarded(name, lambda: self._write(self._open(name), name, rows, "overwrite", marks))

    def remove(self, name: str, months: Sequence[str]) -> int:
        """Takes these months' rows out of a table for good; what each held, and was made from, stays known.

        `gone` names them from then on: what was made from them must not be made again from nothing.
        """
        marks = [Transaction(content_marks.removed(month), 1) for month in months]

        def attempt() -> int:
            none = self.relation(self._cursor(), name, [])
            return self._write(self._open(name), name, none, "overwrite", marks, months)

        return self._guarded(name, attempt)

    def gone(self, name: str) -> set[str]:
        """The months that were taken out of a table with `remove`."""
        table = self._open(name)
        held = self._transactions(table, name) if table is not None else {}
        start = content_marks.removed("")
        return {mark[len(start) :] for mark in held if mark.startswith(start)}

    def compact(self, name: str, month: str | None = None) -> None:
        """Joins the files of a month (or of a table without months) that exists; its rows and marks stay as they are.

        Rows that are added meanwhile are not lost: then it begins again.
        """

        def attempt() -> int:
            table = self.opened(name)
            chosen = None if month is None else [month]
            rows = self._stored(self._cursor(), table.schema(), self._files(table, chosen))
            return self._write(table, name, rows, "overwrite", [], chosen)

        self._guarded(name, attempt)

    def opened(self, name: str, version: int | None = None) -> DeltaTable:
        """The table itself, for what only its keeper does. Raises AeroCastError without one."""
        table = self._open(name, version)
        if table is None:
            raise AeroCastError(f"table {name} does not exist yet in {self.root}: materialise it first")
        return table

    def vacuum(self, name: str, keep: Iterable[int], retention: timedelta) -> int:
        """Deletes files that no version needs which is younger than `retention` or in `keep`; how many.

        Files that no commit names (their writer was killed) go at that age, too.

        Raises:
            AeroCastError: a version of `keep` cannot be read (nothing is deleted then), or the disk refuses.
        """
        hours, versions = round(retention / timedelta(hours=1)), sorted(keep)

        def sweep(table: DeltaTable, dry_run: bool) -> int:
            found = table.vacuum(hours, dry_run, enforce_retention_duration=False, full=True, keep_versions=versions)
            return len(found)

        def attempt() -> int:
            table = self.opened(name)
            # Looked at first: a vacuum that finds nothing is a commit all the same.
            return sweep(table, dry_run=False) if sweep(table, dry_run=True) else 0

        return self._guarded(name, attempt)

    def _chained(
        self, table: DeltaTable | None, reached: dict[str, list[str]], edges: Edges, *segment: object
    ) -> list[Transaction]:
        """The marks of the months that a segment reaches, each made from the one before and the segment."""

        def held(mark: str) -> int | None:
            return None if table is None else table.transaction_version(mark)

        def before(month: str) -> str:
            return "" if table is None else self._mark(table, month, held)

        made = content_marks.chained(held, before, reached, edges, *segment)
        return [Transaction(mark, number) for mark, number in made.items()]

    def _mark(self, table: DeltaTable, month: str, held: Callable[[str], int | None]) -> str:
        """The mark of all that a month holds; of one from before there were marks, its files'; empty if never made."""
        number = held(content_marks.whole(month))
        if number is None:
            files = self._files(table, [month])
            return content_marks.text(content_marks.number("files", *files)) if files else ""
        return content_marks.text(number)

    def _transactions(self, table: DeltaTable, name: str) -> dict[str, int]:
        try:
            return content_marks.transactions(table)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise self._failure(name, "read", error) from None

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """For what comes without a connection; one a use, so that threads may write at once."""
        return self.ready(self._engine.cursor())

    def _rows(self, rows: Rows) -> duckdb.DuckDBPyRelation:
        return self._cursor().from_arrow(rows) if isinstance(rows, pa.Table) else rows

    def _open(self, name: str, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self.uri(name), version=version, storage_options=self.store.delta_options())
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
        return self.store.duckdb_files(table.file_uris(file_pruning_predicate=chosen))

    def _stored(self, con: duckdb.DuckDBPyConnection, schema: Schema, files: list[str]) -> duckdb.DuckDBPyRelation:
        """The rows of these files as columns of this schema."""
        empty = con.from_arrow(pa.schema(schema.to_arrow()).empty_table())
        if not files:
            return empty
        rows = empty.query("as_declared", _declared(empty.columns, "as_declared", files))
        return empty if rows is None else rows

    def _write(
        self,
        table: DeltaTable | None,
        name: str,
        rows: Rows,
        mode: Literal["append", "overwrite"],
        marks: list[Transaction],
        months: Sequence[str] | None = None,
        digests: Digests | None = None,
    ) -> int:
        """One commit on exactly this version of the table; CommitFailedError if another writer was faster.

        `overwrite` replaces the rows of `months`, or the whole table and its columns.
        """
        self._check_room(name)
        store, token = self.store.below(name), f"part-{uuid4().hex}"
        data = self._rows(rows)
        whole = mode == "overwrite" and months is None
        schema = self._schema(data)
        if table is not None and not whole:
            schema = _kept(table.schema(), schema) if months is not None else self._widened(table, schema)
        types = self._types(schema)
        partition = PARTITION if PARTITION in data.columns else None
        try:
            chosen = {column: types[column] for column in data.columns}
            files = datafiles.write(data, chosen, store, token, partition)
            if months is not None and any(file.partition_values[PARTITION] not in months for file in files):
                raise _Misplaced
            store.settle([file.path for file in files])  # a power cut must not leave a commit that names an empty one
            if digests:
                con = self._cursor()
                new = store.duckdb_files(f"{store}/{file.path}" for file in files)
                marks = marks + digests(con, self._stored(con, schema, new))
        except BaseException:
            store.discard(token)
            raise
        try:
            return self._commit(table, name, files, mode, schema, marks, partition, months)
        except CommitFailedError as error:
            if is_overtaken(error):
                store.discard(token)
            raise

    def _commit(
        self,
        table: DeltaTable | None,
        name: str,
        files: list[AddAction],
        mode: Literal["append", "overwrite"],
        schema: Schema,
        marks: list[Transaction],
        partition: str | None,
        months: Sequence[str] | None,
    ) -> int:
        # Never rebased by the library: what was decided on one version is decided again on the next.
        properties = CommitProperties(app_transactions=marks, max_commit_retries=0)
        version = 0 if table is None else table.version() + 1
        if table is None:
            create_table_with_add_actions(
                self.uri(name),
                schema,
                files,
                mode="error",  # a table that appears meanwhile is not appended to unseen
                partition_by=partition,
                configuration=LOG_PROPERTIES,
                storage_options=self.store.delta_options(),
                commit_properties=properties,
            )
        else:
            replaced = None if months is None else [(PARTITION, "in", sorted(set(months)))]
            table.create_write_transaction([*files], mode, schema, partition, replaced, commit_properties=properties)
        self.store.below(name).settle([f"_delta_log/{version:020}.json"])  # who delivered the rows may forget them
        return version

    def _schema(self, rows: duckdb.DuckDBPyRelation) -> Schema:
        """The columns of a table of such rows; nothing is read."""
        columns = zip(rows.columns, rows.types, strict=True)
        casts = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns)
        return Schema.from_arrow(self._cursor().sql(f"SELECT {casts} WHERE false").to_arrow_table().schema)

    def _types(self, schema: Schema) -> dict[str, str]:
        """DuckDB's type of each column of a table."""
        empty = self._cursor().from_arrow(pa.schema(schema.to_arrow()).empty_table())
        return {name: str(kind) for name, kind in zip(empty.columns, empty.types, strict=True)}

    def _widened(self, table: DeltaTable, schema: Schema) -> Schema:
        """The table's columns; those of `schema` that it lacks are added in a commit of their own, before the rows."""
        held = table.schema()
        kinds = {field.name: str(field.type) for field in held.fields}
        if all(kinds.get(f.name) == str(f.type) or kinds.get(f.name) not in (None, _VOID) for f in schema.fields):
            return held
        write_deltalake(
            table,
            pa.schema(schema.to_arrow()).empty_table(),
            mode="append",
            schema_mode="merge",
            partition_by=table.metadata().partition_columns,
            commit_properties=CommitProperties(max_commit_retries=0),
        )
        raise _Overtaken

    def _check_room(self, name: str) -> None:
        """Refuses to begin on a full disk: the writer would say so too, but beside a page of its own."""
        free = self.store.free()
        if free is not None and free < _LEAST_FREE:
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
                if is_overtaken(error):
                    raise _Overtaken from error
                raise self._failure(name, "written", error) from error

        try:
            return retrying(once)
        except RetryError:
            raise AeroCastError(f"table {name} is written by others without a pause: try again later") from None

    def _failure(self, name: str, done: str, error: Exception) -> AeroCastError:
        return AeroCastError(f"table {name} in {self.root} could not be {done}: {told(error)}")


class LakeView(Lake):
    """The tables as each one is when it is first looked at, opened once: for many questions at one moment.

    Nothing is written through it.
    """

    def __init__(self, lake: Lake) -> None:
        self.store, self.root = lake.store, lake.root
        self._tables: dict[tuple[str, int | None], DeltaTable | None] = {}
        self._told: dict[str, dict[str, int]] = {}

    def _open(self, name: str, version: int | None = None) -> DeltaTable | None:
        if (name, version) not in self._tables:
            self._tables[name, version] = super()._open(name, version)
        return self._tables[name, version]

    def _transactions(self, table: DeltaTable, name: str) -> dict[str, int]:
        if name not in self._told:
            self._told[name] = super()._transactions(table, name)
        return self._told[name]

    def _guarded(self, name: str, attempt: Callable[[], Result]) -> Result:
        raise TypeError(f"table {name} is not written through a view of the lake")


def _declared(columns: Iterable[str], empty: str, files: Sequence[str]) -> str:
    """A SELECT of these columns of some files; `empty` has them all, with their types."""
    rows = f" UNION ALL BY NAME {scan(files, PARTITION)}" if files else ""
    return f"SELECT {', '.join(map(quoted, columns))} FROM (SELECT * FROM {empty}{rows})"


def _kept(held: Schema, wanted: Schema) -> Schema:
    """The columns that replaced rows have, those that the table has already with its types and in its order."""
    names = {field.name for field in wanted.fields}
    stays = [field for field in held.fields if field.name in names and str(field.type) != _VOID]
    return Schema([*stays, *(field for field in wanted.fields if field.name not in {each.name for each in stays})])


def _actions(table: DeltaTable) -> pa.Table:
    """What the log says of each file. (`pa.table` would do, and import pandas.)"""
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()


def _hash_mark(month: str) -> str:
    return f"config/{month}"


def _hash_number(config_hash: str) -> int:
    """A hash as the positive 63-bit number that an application transaction can carry."""
    return int(config_hash[:15], 16)


class _Overtaken(Exception):
    """Another writer committed first; nothing was written."""


class _Misplaced(Exception):
    """A row lies outside the partitions that it was to replace."""
