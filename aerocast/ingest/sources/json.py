"""Files with a JSON document each: a list of readings somewhere in it, or an array for each field."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.common.declaration import Mistake
from aerocast.ingest.sources._file_source import FileSource

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed


class JsonSource(FileSource):
    """Files that are one JSON document each, read at once; fields of nested objects have dotted names."""

    kind: Literal["json"] = Field(description="Name of the source kind")
    records: str | None = Field(
        default=None,
        description="Dotted name of the list of readings in a document; null: the document is the list, or one reading",
        examples=["features"],
    )
    arrays: dict[str, str] = Field(
        default={},
        description="Instead of `records`: where a document has the array of each field, by dotted name, with a number"
        " for a place in a list; what is no array holds for all readings",
        examples=[{"time": "time.raw", "value": "series.0.raw"}],
    )

    endings: ClassVar[tuple[str, ...]] = ("json", "geojson")

    def mistakes(self, feed: "Feed") -> Iterator[Mistake]:
        yield from super().mistakes(feed)
        if self.records is not None and self.arrays:
            yield Mistake(("source", "records"), f"{self.records!r} cannot be declared beside `arrays`")
