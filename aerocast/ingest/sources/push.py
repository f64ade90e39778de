"""No source of its own: readings come through the doors (`aerocast.ingest.doors`) alone, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from aerocast.feed.source_kind import SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.tables.raw import Delivery


class PushSource(SourceKind):
    """No source of its own: readings come through the doors alone (HTTP, inbox, broker)."""

    kind: Literal["push"]
    watch: ClassVar[Watch] = "pushed"

    @property
    def label(self) -> str:
        return "what is delivered through the doors"

    def read(self, *_: Any, **__: Any) -> Iterator[Delivery]:
        return iter(())
