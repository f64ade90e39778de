"""A function of an installed package that yields Arrow tables of readings, called by a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.common.errors import AeroCastError, first_line
from aerocast.common.times import EARLIEST
from aerocast.feed.field_types import Duration
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class PythonSource(SourceKind):
    """A function of your own: `readings(since, until)` yields Arrow tables, polled by a schedule.

    `since` and `until` are aware datetimes, `since` None for the whole history; the tables have the declared fields as
    columns of numbers, texts or times. A reading that was delivered before is stored once, so the function may yield
    more than it was asked for.
    """

    kind: Literal["python"] = Field(description="Name of the source kind")
    function: str = Field(
        pattern=r"^\w+(\.\w+)*:\w+$",
        description="Module and function, importable where Dagster runs",
        examples=["my_package.meters:readings"],
    )
    overlap: Duration = Field(
        default=timedelta(hours=3), description="How far before the newest reading `since` lies, for late ones"
    )

    watch: ClassVar[Watch] = "polled"

    @property
    def label(self) -> str:
        return self.function

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """What the function yields.

        Raises:
            AeroCastError: there is no such function, it fails, or what it yields is no table of the declared columns.
        """
        import importlib

        from aerocast.ingest.sources._arrow_months import deliveries_of

        module, _, name = self.function.partition(":")
        newest, now = max(request.after.values(), default=None), feed.clock(request.now)
        since = max(newest - self.overlap, EARLIEST) if newest and request.months is None else None
        try:
            tables = iter(getattr(importlib.import_module(module), name)(since, now))
        except Exception as error:
            raise self._failure(error) from error
        while True:
            try:
                table = next(tables, None)
            except Exception as error:
                raise self._failure(error) from error
            if table is None:
                return
            if not hasattr(table, "column_names"):
                raise AeroCastError(f"source.function {self.function!r} yields {type(table).__name__}: no Arrow table")
            yield from deliveries_of(feed, table, now, request.months)[0]

    def _failure(self, error: Exception) -> AeroCastError:
        return AeroCastError(f"source.function {self.function!r} failed: {type(error).__name__}: {first_line(error)}")
