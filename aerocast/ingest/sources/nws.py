"""The US National Weather Service: `_nws_poll` decides what to ask, `_nws_http` asks, `_nws_readings` parses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.feed.field_types import Duration
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
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

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """What the service holds of the last `reach`; see `_nws_poll.poll`."""
        from aerocast.ingest.sources import _nws_poll

        return _nws_poll.poll(self, feed, request)
