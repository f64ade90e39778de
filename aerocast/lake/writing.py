"""Tables as writers change them: a commit at a time, each on exactly the version that it was decided on.

A writer that dies leaves nothing of a half-written commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar
from uuid import uuid4

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import quoted
from aerocast.lake import datafiles, marks, memory
from aerocast.lake.ledger import Ledger, Once, Token, hash_mark, hash_number
from aerocast.lake.marks import NO_EDGES, Edges
from aerocast.lake.reading import DELIVERY, PARTITION, LakeReader, Rows
from aerocast.lake.refusals import is_overtaken

# Given a connection and a relation of it over the rows just written, what shall be committed with them.
Digests: TypeAlias = Callable[[duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation], list[Transaction]]
Result = TypeVar("Result")

WHOLE = "whole"

_ATTEMPTS = 200
_FORGETS = 32  # commits: after so many a table looks which deliveries it may forget
_LOOKED = "forgotten"  # when it did
_LEAST_FREE = 4 << 20
_VOID = 'PrimitiveType("void")'  # of a column that held nothing but nulls so far
LOG_PROPERTIES = {
    "delta.checkpointInterval": "10",  # commits; a reader opens a checkpoint and what came after it
    "delta.enableExpiredLogCleanup": "false",  # else versions that releases name would go: `maintenance` knows which
    memory.EXPIRY: "interval 1 days",
}


class Lake(LakeReader):
    """The tables of one home, for reading and writing; every method works on the newest version.

    Raises, from every method:
        AeroCastError: the disk is full or read-only, the home cannot be used, a table's log is damaged.
    """

    def append(
        self, name: str, rows: pa.Table, token: Token | str, edges: Edges = NO_EDGES, upon: int | None = None
    ) -> bool:
        """Adds a delivered segment exactly once, with `delivery` (int64): the number of the commit that brought it.

        A row that has a `delivery` keeps it: it was there before. The token says how the segment is known again (as
        text: `Once`); `upon` is the version that the rows were decided on.
        Each month that it reaches gets a new mark, and each edge of a month (see `Ledger.content`).

        Returns:
            False if the segment was there already, or the table is not at `upon` any more; nothing was written then.
        """
        delivery = Once(token) if isinstance(token, str) else token

        def attempt() -> bool:
            table = self._open(name)
            ledger = self._ledger(table, name)
            if (upon is not None and ledger.version != upon) or delivery.known(ledger):
                return False
            records = delivery.records(0 if table is None else table.version() + 1)
            return self._append(table, ledger, name, rows, records, edges)

        return self._guarded(name, attempt)

    def amend(
        self, name: str, rows: pa.Table, records: Mapping[str, int], upon: int | None, edges: Edges = NO_EDGES
    ) -> bool:
        """Adds rows that were decided on version `upon`, and records what was taken (`Ledger.records`). Segments that
        are taken once, several in one commit, have the number `upon` + 1 (0 for None).

        Returns:
            False if the table is not at that version any more, and nothing was written.
        """

        def attempt() -> bool:
            table = self._open(name)
            ledger = self._ledger(table, name)
            return ledger.version == upon and self._append(table, ledger, name, rows, records, edges)

        return self._guarded(name, attempt)

    def _append(
        self,
        table: DeltaTable | None,
        ledger: Ledger,
        name: str,
        rows: pa.Table,
        records: Mapping[str, int],
        edges: Edges,
    ) -> bool:
        """One commit of rows; those without a `delivery` get the commit's number."""
        number = 0 if table is None else table.version() + 1
        kept, own = (f" EXCLUDE ({DELIVERY})", f"{DELIVERY}, ") if DELIVERY in rows.column_names else ("", "")
        data = self._rows(rows).select(f"*{kept}, coalesce({own}{number})::BIGINT AS {DELIVERY}")
        reached = marks.reach(rows, edges)
        chained = marks.chained(ledger.records.get, ledger.mark, reached, edges, *records.items(), number)
        own_records = [Transaction(*each) for each in (*records.items(), *chained.items())]
        if table is not None and number - ledger.records.get(_LOOKED, 0) >= _FORGETS:
            own_records += [Transaction(_LOOKED, number), *memory.expirations(table, ledger.records)]
        self._write(table, name, data, "append", own_records)
        return True

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
        and, if `edges` are given, the records of what each month holds now, columns `apart` from the others left out.

        Raises:
            ValueError: a row belongs to none of `months`.
        """
        if not months:
            raise ValueError(f"table {name}: no month to replace")
        records = [Transaction(hash_mark(month), hash_number(text)) for month, text in (hashes or {}).items()]
        records += [Transaction(marks.origin(month), int(mark, 16)) for month, mark in (origins or {}).items()]

        def digests(con: duckdb.DuckDBPyConnection, written: duckdb.DuckDBPyRelation) -> list[Transaction]:
            found = marks.digests(con, written, months, edges, apart) if edges is not None else {}
            return [Transaction(mark, number) for mark, number in found.items()]

        def attempt() -> int:
            return self._write(self._open(name), name, rows, "overwrite", records, months, digests)

        try:
            return self._guarded(name, attempt)
        except _Misplaced as error:
            raise ValueError(f"table {name}: a row belongs to none of the months {', '.join(months)}") from error

    def overwrite(self, name: str, rows: Rows, config_hash: str | None = None) -> int:
        """Puts `rows`, and their columns, in the place of the whole table, in one commit. Returns the new version.

        `holds(name, WHOLE, config_hash)` then says what it was computed from.
        """
        records = [Transaction(hash_mark(WHOLE), hash_number(config_hash))] if config_hash else []
        return self._guarded(name, lambda: self._write(self._open(name), name, rows, "overwrite", records))

    def remove(self, name: str, months: Sequence[str]) -> int:
        """Takes these months' rows out of a table for good; what each held, and was made from, stays known.

        `gone` names them from then on: what was made from them must not be made again from nothing.
        """
        records = [Transaction(marks.removed(month), 1) for month in months]

        def attempt() -> int:
            none = self.relation(self._cursor(), name, [])
            return self._write(self._open(name), name, none, "overwrite", records, months)

        return self._guarded(name, attempt)

    def compact(self, name: str, month: str | None = None) -> None:
        """Joins the files of a month (or of a table without months) that exists; its rows and records stay as they are.

        Rows that are added meanwhile are not lost: then it begins again.
        """

        def attempt() -> int:
            table = self.opened(name)
            chosen = None if month is None else [month]
            rows = self._stored(self._cursor(), table.schema(), self._files(table, chosen))
            return self._write(table, name, rows, "overwrite", [], chosen)

        self._guarded(name, attempt)

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

    def _write(
        self,
        table: DeltaTable | None,
        name: str,
        rows: Rows,
        mode: Literal["append", "overwrite"],
        records: list[Transaction],
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
            store.sync([file.path for file in files])  # a power cut must not leave a commit that names an empty one
            if digests:
                con = self._cursor()
                new = store.duckdb_files(f"{store}/{file.path}" for file in files)
                records = records + digests(con, self._stored(con, schema, new))
        except BaseException:
            store.discard(token)
            raise
        try:
            return self._commit(table, name, files, mode, schema, records, partition, months)
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
        records: list[Transaction],
        partition: str | None,
        months: Sequence[str] | None,
    ) -> int:
        # Never rebased by the library: what was decided on one version is decided again on the next.
        properties = CommitProperties(app_transactions=records, max_commit_retries=0)
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
        self.store.below(name).sync([f"_delta_log/{version:020}.json"])  # who delivered the rows may forget them
        return version

    def _schema(self, rows: duckdb.DuckDBPyRelation) -> Schema:
        """The columns of a table of such rows; nothing is read."""
        columns = zip(rows.columns, rows.types, strict=True)
        casts = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns)
        return Schema.from_arrow(self._cursor().sql(f"SELECT {casts} WHERE false").to_arrow_table().schema)

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


def _kept(held: Schema, wanted: Schema) -> Schema:
    """The columns that replaced rows have, those that the table has already with its types and in its order."""
    names = {field.name for field in wanted.fields}
    stays = [field for field in held.fields if field.name in names and str(field.type) != _VOID]
    return Schema([*stays, *(field for field in wanted.fields if field.name not in {each.name for each in stays})])


class _Overtaken(Exception):
    """Another writer committed first; nothing was written."""


class _Misplaced(Exception):
    """A row lies outside the partitions that it was to replace."""
