"""A source that fetches nothing: readings arrive through the channels (`aerocast.ingest.channels`) alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class PushSource(SourceKind):
    """Nothing is fetched: readings arrive by HTTP, in the inbox or through a broker."""

    kind: Literal["push"] = Field(description="Name of the source kind")
    watch: ClassVar[Watch] = "pushed"

    @property
    def label(self) -> str:
        return "what is delivered through the channels"

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        return iter(())
