"""A source kind of one's own: a gauge of the sea, which rises and falls twice a day.

The module is imported whenever a declaration of the kind is read, so it imports what reads readings in `read`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class TideSource(SourceKind):
    """A gauge of the sea at the feed's first station, in its first column; computed, not measured."""

    kind: Literal["tide"] = Field(description="Name of the source kind")
    height: float = Field(default=2.0, ge=0, description="Metres between high and low water")
    watch: ClassVar[Watch] = "live"

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """Of each month the readings newer than `request.after`, up to the feed's present; `live` names the months."""
        import math

        from aerocast.common.months import month_span
        from aerocast.tables.raw import delivery

        for month in request.months or ():
            first, end = month_span(month)
            first = request.after[month] + feed.cadence if month in request.after else first
            last = min(feed.clock(request.now), end - feed.cadence)
            times = [first + step * feed.cadence for step in range((last - first) // feed.cadence + 1)]
            sea = [f"{self.height / 2 * math.sin(time.timestamp() / 7200):.3f}" for time in times]
            if times:
                texts = {"station": [feed.station_ids[0]] * len(times), feed.columns[0].field: sea}
                texts["time_text"] = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times]
                yield delivery(feed, month, f"{month} {times[-1]}", times, texts)
