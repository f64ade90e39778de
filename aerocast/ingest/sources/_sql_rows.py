"""Reads rows of a database page by page, from the value on that the declared cursor had last.

What the cursor had (`<work>/<feed>.json`) is noted after a page's rows are in the table, so a kill in between costs a
repetition, never a reading. It counts only for the same declaration, and while the table holds readings as new as it.
Rows that the table has already are no news (see `aerocast.ingest.channels.intake`), so asking twice changes nothing.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from aerocast.common.environment import expand
from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.lineage import config_hash
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from aerocast.ingest.sources._arrow_months import deliveries_of
from aerocast.ingest.sources._memory import recall, remember, table_holds
from aerocast.ingest.sources.sql import SqlSource
from aerocast.tables.raw import Delivery, raw_names


class CursorMemory(msgspec.Struct, frozen=True):
    """The cursor's last value as text with its type, and the newest reading until then; `declared`: for which query."""

    declared: str
    kind: str
    value: str
    newest: datetime | None = None


_KINDS: dict[str, Any] = {
    "datetime": datetime.fromisoformat, "date": date.fromisoformat, "int": int, "float": float, "Decimal": Decimal,
    "str": str,
}  # fmt: skip


def read_rows(source: SqlSource, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
    """See `SourceKind.read`: a delivery for each month of each page.

    Raises:
        AeroCastError: the database cannot be reached or asked, or lacks a declared column.
    """
    now, follows = feed.clock(request.now), source.cursor is not None and request.months is None
    memory = _recall(source, feed, request) if follows else None
    newest = memory.newest if memory else None
    with _connection(source) as con:
        names = _columns(source, feed, _names(con, source))
        select = _select(con, source, names, memory, request) if follows else sa.select(_origin(source, names))
        for page in con.execute(select).partitions(source.page):
            cells = zip(*page, strict=True)
            readings = pa.table({name: _texts(values) for name, values in zip(names, cells, strict=True)})
            deliveries, newest_in_page = deliveries_of(feed, readings, now, request.months)
            yield from deliveries
            newest = max(filter(None, (newest, newest_in_page)), default=None)
            if source.cursor and follows:  # to be asked for more says that the page is in the table
                remember(request, feed, _memory(source, feed, page[-1][names.index(source.cursor)], newest))


def _select(
    con: sa.Connection, source: SqlSource, names: Sequence[str], memory: CursorMemory | None, request: ReadRequest
) -> sa.Select[Any]:
    """The rows from the cursor's last value on, in the cursor's order; notes how many rows have none."""
    readings = _origin(source, names)
    cursor: sa.ColumnClause[Any] = sa.column(source.cursor or "")
    if memory:
        since = _KINDS[memory.kind](memory.value)
        since = since - source.overlap if isinstance(since, datetime) else since
        return sa.select(readings).where(cursor >= since).order_by(cursor)
    null_count = con.execute(sa.select(sa.func.count()).select_from(readings).where(cursor.is_(None))).scalar_one()
    if null_count:
        request.notes.append(f"source {source.label}: {null_count} rows have no {source.cursor}: they are left out")
    return sa.select(readings).where(cursor.is_not(None)).order_by(cursor)


@contextmanager
def _connection(source: SqlSource) -> Iterator[sa.Connection]:
    """A read-only stream of the database's rows.

    Raises:
        AeroCastError: there is no such driver, or the database refuses; no password is named.
    """
    address = expand(source.url, "source.url")
    try:
        url = sa.make_url(address)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except ImportError as error:
        what = f"needs the Python package {error.name}" if error.name else str(error)
        raise AeroCastError(f"source.url {source.url!r} {what}, which is not installed") from None
    except sa.exc.SQLAlchemyError as error:
        raise AeroCastError(f"source.url {source.url!r}: {_reason(error, address)}") from None
    try:
        with engine.connect() as con:
            yield con.execution_options(stream_results=True, yield_per=source.page)
    except sa.exc.SQLAlchemyError as error:
        reason = _reason(error, url.password or "")
        raise AeroCastError(f"source {source.label} of {url.host or url.database}: {reason}") from None
    finally:
        engine.dispose()


def _reason(error: sa.exc.SQLAlchemyError, secret: str) -> str:
    """The driver's own sentence, without SQLAlchemy's frame and without what is secret."""
    text = first_line(error.orig) if isinstance(error, sa.exc.DBAPIError) and error.orig else first_line(error)
    return text.replace(str(secret), "***") if secret else text


def _origin(source: SqlSource, names: Sequence[str]) -> sa.FromClause:
    """The table or query, with the columns of these names."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    if source.table is not None:
        schema, _, table = source.table.rpartition(".")
        return sa.table(table, *columns, schema=schema or None)
    assert source.query is not None
    # SQLAlchemy gives colons a meaning of its own; a comment at the end must not reach what follows.
    text = source.query.strip().rstrip(";").replace(":", r"\:")
    return sa.text(f"{text}\n").columns(*columns).subquery("readings")


def _names(con: sa.Connection, source: SqlSource) -> list[str]:
    """The names of all columns that the database gives."""
    return list(con.execute(sa.select(sa.text("*")).select_from(_origin(source, ())).where(sa.false())).keys())


def _columns(source: SqlSource, feed: Feed, names: Sequence[str]) -> list[str]:
    """The columns that are read.

    Raises:
        AeroCastError: a declared one is not there.
    """
    all_names = ", ".join(names)[:600]
    plain = not (feed.source.wide or feed.source.quantity_field)
    for column in feed.columns if plain else ():
        if not set(column.fields) & set(names):
            fields = " or ".join(map(repr, column.fields))
            raise AeroCastError(f"source {source.label}: field {fields} is not among the columns ({all_names})")
    if source.cursor is not None and source.cursor not in names:
        raise AeroCastError(f"source.cursor {source.cursor!r} is not among the columns of {source.label} ({all_names})")
    try:
        definition = definition_of(feed)
        columns = definition.check_columns(definition.columns(names))
    except ReadingError as error:
        raise AeroCastError(f"source {source.label}: {error}") from error
    return list(dict.fromkeys([*columns.names, *([source.cursor] if source.cursor else [])]))


def _texts(values: Sequence[Any]) -> pa.Array:
    """Each value as the shortest text that reads back as the same; nothing for NULL and NaN."""
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case float():
            return None if math.isnan(value) else repr(value)
        case bool():
            return str(int(value))
        case Decimal():
            return None if value.is_nan() else format(value, "f")
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.decode(errors="replace")
    return str(value)


def _basis(source: SqlSource, feed: Feed) -> str:
    """What the memory of a cursor holds for: another query, another cursor or another field is asked from the start."""
    names = sorted(raw_names(feed))
    return config_hash(url=source.url, table=source.table, query=source.query, cursor=source.cursor, fields=names)


def _recall(source: SqlSource, feed: Feed, request: ReadRequest) -> CursorMemory | None:
    """What is remembered for this query; None, where the table holds less than that."""
    memory = recall(request, feed, CursorMemory)
    is_current = memory and memory.declared == _basis(source, feed) and memory.kind in _KINDS
    return memory if memory and is_current and table_holds(request, memory.newest) else None


def _memory(source: SqlSource, feed: Feed, value: Any, newest: datetime | None) -> CursorMemory:
    """What a page's last cursor leaves to remember. Raises AeroCastError for a type that has no order."""
    kind = type(value).__name__
    if kind not in _KINDS:
        raise AeroCastError(f"source.cursor {source.cursor!r} holds {kind}; allowed: numbers, times or texts")
    text = value.isoformat() if isinstance(value, datetime | date) else str(value)
    return CursorMemory(_basis(source, feed), kind, text, newest)
