"""A table or query of a database, polled by a schedule; `_sql_rows` asks for what came since the last poll."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from aerocast.common.declaration import Mistake
from aerocast.feed.field_types import Duration
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class SqlSource(SourceKind):
    """A table or a query of any database that SQLAlchemy has a dialect for: PostgreSQL, TimescaleDB, SQLite ..."""

    kind: Literal["sql"] = Field(description="Name of the source kind")
    url: str = Field(
        description="SQLAlchemy's address of the database; `$NAME` is read from the environment, for passwords",
        examples=["postgresql+psycopg://reader:$DB_PASSWORD@db.example/meters"],
    )
    table: str | None = Field(
        default=None, description="Table or view, with its schema if it has one", examples=["public.readings"]
    )
    query: str | None = Field(
        default=None,
        description="A SELECT in the place of a table",
        examples=["SELECT m.at AS time, s.code AS station, m.kwh FROM meters m JOIN sites s USING (site_id)"],
    )
    cursor: str | None = Field(
        default=None,
        description="Column that only grows (a number, a time of insertion or update): a poll asks for rows from its"
        " last value on; null: each poll reads all rows",
        examples=["updated_at"],
    )
    overlap: Duration = Field(
        default=timedelta(hours=1),
        description="How far behind the last value of a cursor in time a poll asks again, for rows committed late",
    )
    page: int = Field(default=50_000, ge=1, description="Rows that are held in memory at a time")

    watch: ClassVar[Watch] = "polled"
    needs: ClassVar[tuple[str, ...]] = ("sqlalchemy",)

    @property
    def label(self) -> str:
        """The table, or that it is a query; the address may hold a password."""
        return f"sql {self.table}" if self.table else "sql query"

    @model_validator(mode="after")
    def _one_origin(self) -> SqlSource:
        if (self.table is None) == (self.query is None):
            raise ValueError("exactly one of table and query must be given")
        return self

    def mistakes(self, feed: Feed) -> Iterator[Mistake]:
        yield from super().mistakes(feed)
        if self.overlap < timedelta(0):
            yield Mistake(("source", "overlap"), f"{self.overlap} must not be negative")

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """The rows from the cursor's last value on; see `_sql_rows`."""
        from aerocast.ingest.sources import _sql_rows

        return _sql_rows.read_rows(self, feed, request)
