"""The few places where a value or a name becomes SQL text: always through here, so that it is always quoted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | float) -> str:
    """A text or number as an SQL literal."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def instant(microseconds: int) -> str:
    """Microseconds since 1970 as an SQL literal, which a scan of Parquet files compares with their statistics."""
    return f"TIMESTAMPTZ '{datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)}'"


def scan(files: Sequence[str]) -> str:
    """A SELECT over Parquet files whose partition column is in their path."""
    options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
    return f"SELECT * FROM read_parquet([{', '.join(literal(file) for file in files)}], {options})"


def timestamp(time: datetime) -> str:
    """An instant as an SQL literal of a timestamp without a zone, in UTC."""
    return f"TIMESTAMP '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
