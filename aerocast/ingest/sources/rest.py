"""A JSON API over HTTP, polled by a schedule; `_rest_pages` asks for its pages and reads their records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from aerocast.common.declaration import Mistake, Strict
from aerocast.feed.field_types import Duration
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery

Parameter = str | int | float | bool


class OnePage(Strict):
    """An answer that is whole."""

    kind: Literal["none"] = Field(description="Name of the paging")


class NextLink(Strict):
    """Each page has the address of the next one."""

    kind: Literal["link"] = Field(description="Name of the paging")
    path: str = Field(default="next", description="Where the address is in the answer", examples=["pagination.next"])


class LinkHeader(Strict):
    """Each page has the address of the next one in its header `Link`, as GitHub's API has."""

    kind: Literal["header"] = Field(description="Name of the paging")
    rel: str = Field(default="next", description="The relation that the address has")


class PageNumber(Strict):
    """Pages have numbers; the last one is empty, or the answer says how many there are."""

    kind: Literal["page"] = Field(description="Name of the paging")
    parameter: str = Field(default="page", description="The parameter for the number")
    first: int = Field(default=1, ge=0, description="Number of the first page")
    total: str | None = Field(
        default=None,
        description="Where the number of pages is in the answer; null: until an empty page",
        examples=["meta.total_pages"],
    )


class Offset(Strict):
    """Pages begin at an offset; the last one is empty, or the answer says how many records there are."""

    kind: Literal["offset"] = Field(description="Name of the paging")
    limit: int = Field(default=1000, ge=1, description="Records of a page")
    parameter: str = Field(default="offset", description="The parameter for the offset")
    limit_parameter: str = Field(default="limit", description="The parameter for `limit`")
    total: str | None = Field(
        default=None,
        description="Where the number of records is in the answer; null: until an empty page",
        examples=["meta.total_records"],
    )


class Cursor(Strict):
    """Each page has a text that asks for the next one."""

    kind: Literal["cursor"] = Field(description="Name of the paging")
    path: str = Field(description="Where the text is in the answer", examples=["meta.next_cursor"])
    parameter: str = Field(default="cursor", description="The parameter for the text")


Paging = Annotated[OnePage | NextLink | LinkHeader | PageNumber | Offset | Cursor, Field(discriminator="kind")]


class RestSource(SourceKind):
    """A JSON API: records of its answers are readings, as if they were posted one by one.

    `{since}`, `{until}` and `{station}` in the address and its parameters stand for the span that a poll asks for and,
    a request each, for the declared stations. `$NAME` is read from the environment, where keys belong.
    """

    kind: Literal["rest"] = Field(description="Name of the source kind")
    url: str = Field(
        pattern=r"^(https?://|\$)",
        description="Address of the records",
        examples=["https://api.example/v1/stations/{station}/readings"],
    )
    parameters: dict[str, Parameter] = Field(
        default={}, description="Parameters of the address", examples=[{"from": "{since}", "to": "{until}"}]
    )
    headers: dict[str, str] = Field(
        default={}, description="Header fields of each request", examples=[{"X-API-Key": "$API_KEY"}]
    )
    records: str = Field(
        default="$", description="Where the list of records is in an answer (JSONPath); `$`: it is the answer itself",
        examples=["results", "data.features"],
    )  # fmt: skip
    paging: Paging = Field(
        default=OnePage(kind="none"),
        description="How further pages are asked for",
        examples=[{"kind": "link", "path": "pagination.next"}],
    )
    span_format: str = Field(
        default="iso",
        description="How `{since}` and `{until}` are written, in UTC: `iso`, `epoch`, `epoch_ms`, or as strftime does",
        examples=["%Y-%m-%d"],
    )
    overlap: Duration = Field(
        default=timedelta(hours=3), description="How far before the newest reading a poll asks again, for late ones"
    )
    reach: Duration = Field(default=timedelta(days=7), description="How far back the first poll asks")

    watch: ClassVar[Watch] = "polled"
    needs: ClassVar[tuple[str, ...]] = ("dlt",)

    @property
    def label(self) -> str:
        """As declared: what is secret is read from the environment."""
        return self.url

    @property
    def by_station(self) -> bool:
        """Whether each station is asked for alone."""
        return any("{station}" in str(text) for text in (self.url, *self.parameters.values()))

    def mistakes(self, feed: Feed) -> Iterator[Mistake]:
        yield from super().mistakes(feed)
        for name in ("overlap", "reach"):
            if getattr(self, name) < timedelta(0):
                yield Mistake(("source", name), f"{getattr(self, name)} must not be negative")

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """The records of the span since the newest reading; see `_rest_pages`."""
        from aerocast.ingest.sources import _rest_pages

        return _rest_pages.read_pages(self, feed, request)
