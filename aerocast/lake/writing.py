"""Writes tables, one commit at a time, each on exactly the version that it was decided on.

A writer that dies leaves no half-written commit.
"""

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
from aerocast.lake import datafiles, fingerprints, memory
from aerocast.lake.exactly_once import Once, Token
from aerocast.lake.fingerprints import NO_EDGES, Edges
from aerocast.lake.ledger import Ledger, hash_key, hash_number
from aerocast.lake.reading import DELIVERY, PARTITION, LakeReader, Rows
from aerocast.lake.refusals import is_overtaken

# From a connection and a relation of it over the rows just written: the transactions to commit with them.
RecordRows: TypeAlias = Callable[[duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation], list[Transaction]]
Result = TypeVar("Result")

WHOLE = "whole"

_ATTEMPTS = 200
_FORGET_EVERY = 32  # commits between two looks for deliveries that may be forgotten
_LAST_FORGET = "forgotten"  # the record of the last look
_LEAST_FREE = 4 << 20
_VOID = 'PrimitiveType("void")'  # of a column with nothing but nulls so far
LOG_PROPERTIES = {
    "delta.checkpointInterval": "10",  # commits; a reader opens a checkpoint and the commits after it
    "delta.enableExpiredLogCleanup": "false",  # `maintenance` knows which versions releases name
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
        """Adds a delivered segment exactly once, with `delivery` (int64): the number of the commit that added it.

        A row that has a `delivery` keeps it: it was there before. The token recognises the segment (a text: `Once`);
        `upon` is the version that the rows were decided on. Each month with new rows gets a new fingerprint, and so
        does each edge of a month (see `Ledger.content`).

        Returns:
            False, and nothing is written, if the segment is there already or the table is no longer at `upon`.
        """
        delivery = Once(token) if isinstance(token, str) else token

        def attempt() -> bool:
            table = self._open(name)
            ledger = self._ledger(table, name)
            if (upon is not None and ledger.version != upon) or delivery.is_delivered(ledger):
                return False
            records = delivery.records(0 if table is None else table.version() + 1)
            return self._append(table, ledger, name, rows, records, edges)

        return self._guarded(name, attempt)

    def amend(
        self, name: str, rows: pa.Table, records: Mapping[str, int], upon: int | None, edges: Edges = NO_EDGES
    ) -> bool:
        """Adds rows that were decided on version `upon`, with records of their deliveries (`Ledger.records`). Segments
        that are delivered once, several in one commit, have the number `upon` + 1 (0 for None).

        Returns:
            False, and nothing is written, if the table is no longer at that version.
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
        rest, own = (f" EXCLUDE ({DELIVERY})", f"{DELIVERY}, ") if DELIVERY in rows.column_names else ("", "")
        data = self._rows(rows).select(f"*{rest}, coalesce({own}{number})::BIGINT AS {DELIVERY}")
        sides = fingerprints.sides_of(rows, edges)
        content = fingerprints.extend(ledger.records.get, ledger.fingerprint, sides, edges, *records.items(), number)
        transactions = [Transaction(*each) for each in (*records.items(), *content.items())]
        if table is not None and number - ledger.records.get(_LAST_FORGET, 0) >= _FORGET_EVERY:
            transactions += [Transaction(_LAST_FORGET, number), *memory.expirations(table, ledger.records)]
        self._write(table, name, data, "append", transactions)
        return True

    def replace(
        self,
        name: str,
        rows: Rows,
        months: Sequence[str],
        hashes: Mapping[str, str] | None = None,
        origins: Mapping[str, str] | None = None,
        edges: Edges | None = None,
        ignore: Sequence[str] = (),
    ) -> int:
        """Replaces all rows of these months with `rows`, in one commit. Returns the new version.

        The table has the columns of `rows` from then on; other columns of other months stay in their files.
        Committed with the rows are `hashes` (month -> config_hash of what it was computed from), `origins` (month ->
        fingerprint of the layer above) and, if `edges` are given, fingerprints of the new content, without the columns
        `ignore`.

        Raises:
            ValueError: a row is not in any of `months`.
        """
        if not months:
            raise ValueError(f"table {name}: no month to replace")
        records = [Transaction(hash_key(month), hash_number(text)) for month, text in (hashes or {}).items()]
        records += [
            Transaction(fingerprints.origin_key(month), int(text, 16)) for month, text in (origins or {}).items()
        ]

        def content(con: duckdb.DuckDBPyConnection, data: duckdb.DuckDBPyRelation) -> list[Transaction]:
            numbers = fingerprints.fingerprint_rows(con, data, months, edges, ignore) if edges is not None else {}
            return [Transaction(*each) for each in numbers.items()]

        def attempt() -> int:
            return self._write(self._open(name), name, rows, "overwrite", records, months, content)

        try:
            return self._guarded(name, attempt)
        except _Misplaced as error:
            raise ValueError(f"table {name}: a row is in none of the months {', '.join(months)}") from error

    def overwrite(self, name: str, rows: Rows, config_hash: str | None = None) -> int:
        """Replaces the whole table with `rows` and their columns, in one commit. Returns the new version.

        `Ledger.is_current(WHOLE, config_hash)` then tells what it was computed from.
        """
        records = [Transaction(hash_key(WHOLE), hash_number(config_hash))] if config_hash else []
        return self._guarded(name, lambda: self._write(self._open(name), name, rows, "overwrite", records))

    def remove(self, name: str, months: Sequence[str]) -> int:
        """Removes these months' rows for good; the records of their content and origin stay.

        `Ledger.removed_months` names them from then on: months made from them must not be made again from nothing.
        """
        records = [Transaction(fingerprints.removal_key(month), 1) for month in months]

        def attempt() -> int:
            none = self.relation(self._cursor(), name, [])
            return self._write(self._open(name), name, none, "overwrite", records, months)

        return self._guarded(name, attempt)

    def compact(self, name: str, month: str | None = None) -> None:
        """Joins the files of a month (or of a table without months) that exists; its rows and records stay as they are.

        Rows that are added meanwhile are not lost: then it starts again.
        """

        def attempt() -> int:
            table = self.table(name)
            months = None if month is None else [month]
            rows = self._file_rows(self._cursor(), table.schema(), self._files(table, months))
            return self._write(table, name, rows, "overwrite", [], months)

        self._guarded(name, attempt)

    def vacuum(self, name: str, keep: Iterable[int], retention: timedelta) -> int:
        """Deletes files that are needed neither by versions younger than `retention` nor by `keep`; returns how many.

        Files without a commit (their writer was killed) are deleted at that age, too.

        Raises:
            AeroCastError: a version of `keep` cannot be read (nothing is deleted then), or the disk refuses.
        """
        hours, versions = round(retention / timedelta(hours=1)), sorted(keep)

        def sweep(table: DeltaTable, dry_run: bool) -> int:
            return len(
                table.vacuum(hours, dry_run, enforce_retention_duration=False, full=True, keep_versions=versions)
            )

        def attempt() -> int:
            table = self.table(name)
            # A dry run first: a vacuum without files to delete would be a commit, too.
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
        record_rows: RecordRows | None = None,
    ) -> int:
        """One commit on exactly this version of the table; CommitFailedError if another writer was faster.

        `overwrite` replaces the rows of `months`, or the whole table and its columns.
        """
        if (free := self.store.free()) is not None and free < _LEAST_FREE:  # the writer's own error is a page long
            raise AeroCastError(f"table {name} in {self.root} could not be written: the disk is full")
        store, token = self.store.below(name), f"part-{uuid4().hex}"
        data = self._rows(rows)
        whole = mode == "overwrite" and months is None
        schema = self._schema(data)
        if table is not None and not whole:
            schema = _merge(table.schema(), schema) if months is not None else self._add_columns(table, schema)
        types = self._types(schema)
        partition = PARTITION if PARTITION in data.columns else None
        try:
            columns = {column: types[column] for column in data.columns}
            files = datafiles.write_files(data, columns, store, token, partition)
            if months is not None and any(file.partition_values[PARTITION] not in months for file in files):
                raise _Misplaced
            store.sync([file.path for file in files])  # a power cut must not leave a commit that names an empty file
            if record_rows:
                con = self._cursor()
                new = store.duckdb_files(f"{store}/{file.path}" for file in files)
                records = records + record_rows(con, self._file_rows(con, schema, new))
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
        # No retries by the library: rows that were decided on one version are decided again on the next.
        properties = CommitProperties(app_transactions=records, max_commit_retries=0)
        version = 0 if table is None else table.version() + 1
        if table is None:
            create_table_with_add_actions(
                self.uri(name),
                schema,
                files,
                mode="error",  # do not append to a table that was created meanwhile
                partition_by=partition,
                configuration=LOG_PROPERTIES,
                storage_options=self.store.delta_options(),
                commit_properties=properties,
            )
        else:
            replaced = None if months is None else [(PARTITION, "in", sorted(set(months)))]
            table.create_write_transaction([*files], mode, schema, partition, replaced, commit_properties=properties)
        self.store.below(name).sync([f"_delta_log/{version:020}.json"])  # the sender of the rows may delete them now
        return version

    def _schema(self, rows: duckdb.DuckDBPyRelation) -> Schema:
        """The columns of a table with such rows; nothing is read."""
        columns = zip(rows.columns, rows.types, strict=True)
        casts = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns)
        return Schema.from_arrow(self._cursor().sql(f"SELECT {casts} WHERE false").to_arrow_table().schema)

    def _add_columns(self, table: DeltaTable, schema: Schema) -> Schema:
        """The table's columns; missing ones of `schema` are added in a commit of their own, before the rows."""
        present = table.schema()
        kinds = {field.name: str(field.type) for field in present.fields}
        if all(kinds.get(f.name) == str(f.type) or kinds.get(f.name) not in (None, _VOID) for f in schema.fields):
            return present
        write_deltalake(
            table,
            pa.schema(schema.to_arrow()).empty_table(),
            mode="append",
            schema_mode="merge",
            partition_by=table.metadata().partition_columns,
            commit_properties=CommitProperties(max_commit_retries=0),
        )
        raise _Overtaken

    def _guarded(self, name: str, attempt: Callable[[], Result]) -> Result:
        """Tries until no other writer commits in between; turns every other error into a sentence."""
        retrying = Retrying(
            retry=retry_if_exception_type(_Overtaken),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.01, max=0.5),
        )

        def explained() -> Result:
            try:
                return attempt()
            except (CommitFailedError, DeltaError, OSError, duckdb.Error, pa.ArrowException) as error:
                if is_overtaken(error):
                    raise _Overtaken from error
                raise self._failure(name, "written", error) from error

        try:
            return retrying(explained)
        except RetryError:
            raise AeroCastError(f"table {name} is being written by others all the time: try again later") from None


def _merge(present: Schema, new: Schema) -> Schema:
    """The columns of new rows; those that the table has already keep its types and order."""
    names = {field.name for field in new.fields}
    common = [field for field in present.fields if field.name in names and str(field.type) != _VOID]
    return Schema([*common, *(field for field in new.fields if field.name not in {each.name for each in common})])


class _Overtaken(Exception):
    """Another writer committed first; nothing was written."""


class _Misplaced(Exception):
    """A row lies outside the partitions that it was to replace."""
