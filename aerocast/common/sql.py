"""Quotes values and names for SQL; all SQL text of the project is made with these functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | float) -> str:
    """A text or number as an SQL literal."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def timestamptz(time: datetime) -> str:
    """An instant as an SQL literal, which a scan of Parquet files compares with their statistics."""
    return f"TIMESTAMPTZ '{time.astimezone(UTC)}'"


def first_number(con: DuckDBPyConnection, query: str) -> int:
    """The single number that a query selects."""
    return int(con.sql(query).fetchall()[0][0])


def scan(files: Sequence[str], partition: str) -> str:
    """A SELECT over Parquet files; the column `partition` is added where their folder is named `<partition>=<value>`.

    DuckDB itself would turn every `key=value` of the folders above into a column, too.
    """
    names = ", ".join(map(literal, files))
    rows = f"read_parquet([{names}], hive_partitioning = false, union_by_name = true, filename = '_file')"
    if not PurePosixPath(files[0]).parent.name.startswith(f"{partition}="):
        return f"SELECT * EXCLUDE (_file) FROM {rows}"
    value = f"regexp_extract(_file, '{partition}=([^/]*)/[^/]*$', 1)"
    return f"SELECT * EXCLUDE (_file), {value} AS {quoted(partition)} FROM {rows}"


def timestamp(time: datetime) -> str:
    """An instant as an SQL literal of a timestamp without a zone, in UTC."""
    return f"TIMESTAMP '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
