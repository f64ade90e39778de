"""The US National Weather Service: `_nws_poll` decides what to ask, `_nws_http` asks, `_nws_readings` parses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.feed.schema import Duration
from aerocast.feed.source_kind import SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.model import Feed
    from aerocast.tables.raw import Delivery


class NwsSource(SourceKind):
    """Station observations of the US National Weather Service (api.weather.gov), polled by a schedule.

    A column's `field` is the API's name of the quantity (`windSpeed`); its unit is taken from each value's `unitCode`.
    """

    kind: Literal["nws"] = Field(description="Name of the source kind")
    overlap: Duration = Field(
        default=timedelta(hours=3), description="How far before the newest reading a poll asks again, for late ones"
    )
    reach: Duration = Field(default=timedelta(days=7), description="How far back the first poll asks")
    page: int = Field(default=100, ge=1, le=500, description="Readings per page of an answer")
    time_field: str = Field(default="timestamp", description="The API's name for the time")

    watch: ClassVar[Watch] = "polled"
    needs: ClassVar[tuple[str, ...]] = ("httpx", "tenacity")
    switch: ClassVar[tuple[str, str] | None] = ("AEROCAST_USER_AGENT", '"(my-site.example, me@my-site.example)"')

    @property
    def label(self) -> str:
        return "api.weather.gov"

    def read(
        self,
        feed: Feed,
        months: Sequence[str] | None = None,
        now: datetime | None = None,
        after: Mapping[str, datetime] | None = None,
        *,
        work: Path | None = None,
        notes: list[str] | None = None,
    ) -> Iterator[Delivery]:
        """What the service holds of the last `reach`; see `_nws_poll.read`."""
        from aerocast.ingest.sources import _nws_poll

        return _nws_poll.read(self, feed, months, now, after, work=work, notes=notes)
