"""The interface of source kinds: the module of each kind defines one subclass of `SourceKind`.

The declaration imports this module and those of the kinds that it names, so what they need to read readings is
imported within their functions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, SerializeAsAny
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from aerocast.common.declaration import Mistake, Strict, raise_mistakes
from aerocast.common.errors import AeroCastError
from aerocast.common.registry import Registry
from aerocast.common.times import iso_duration
from aerocast.feed.field_types import Texts, Zone

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery

Watch = Literal["whole", "live", "polled", "pushed"]


@dataclass(frozen=True)
class ReadRequest:
    """What a source is asked for: all months or these, with nothing measured later than `now` (default: wall clock).

    `after` is the newest reading of each month that the table has already, `work` the kind's own folder, and `notes`
    takes sentences on what is left out or cannot be read.
    """

    months: Sequence[str] | None = None
    now: datetime | None = None
    after: Mapping[str, datetime] = field(default_factory=dict)
    work: Path | None = None
    notes: list[str] = field(default_factory=list)


class SourceKind(Strict):
    """How readings of a feed are written, in all channels; a subclass says where they are fetched.

    A subclass declares its name as the only value of `kind`, and `watch`, how one learns that there are new readings:
    `whole` looks at the fingerprint and delivers whole months, which replace what they were; `live` looks at it, too,
    and delivers what is newer than what is there; `polled` is asked by a schedule and delivers what is newer, or says
    something else; `pushed` has nothing to fetch.
    """

    station_field: str = Field(default="station", description="The source's name for the station")
    time_field: str = Field(
        default="time",
        description="The source's name for the time: ISO 8601, with an offset unless `timezone` is given",
    )
    timezone: Zone | None = Field(
        default=None,
        description="IANA zone of times without an offset; null: they are refused",
        examples=["Europe/Amsterdam"],
    )
    missing: Texts = Field(
        default=(),
        description="Texts or numbers that mean not measured, besides the usual words (blank, NA, NaN, null, none ...)"
        " and -999 or -9999 where the range excludes them",
        examples=[[-200, "defect"]],
    )
    withdrawn: Texts = Field(
        default=(), description="Texts that take back what was delivered for the value before", examples=[["withdrawn"]]
    )
    broken_lines: float = Field(
        default=0.05, ge=0, lt=1, description="Largest share of broken lines in a file; they are quarantined one by one"
    )
    kind: str = Field(description="Name of the source kind")

    watch: ClassVar[Watch]
    needs: ClassVar[tuple[str, ...]] = ()  # modules of optional packages, without which the kind cannot be declared
    switch: ClassVar[tuple[str, str] | None] = None  # the variable that switches an opt-in feed on, and an example

    @property
    def label(self) -> str:
        """The name that raw keeps of the source, the same on every machine."""
        return self.kind

    @property
    def change(self) -> datetime | None:
        """When the world of a simulated feed changes; None: the readings are real, and so is their time."""
        return None

    def mistakes(self, feed: Feed) -> Iterator[Mistake]:
        """Mistakes between the source and the rest of the feed, whose fields are valid on their own."""
        hour, minute = timedelta(hours=1), timedelta(minutes=1)
        divides = not feed.poll or (minute <= feed.poll <= hour and not feed.poll % minute and not hour % feed.poll)
        if self.watch == "polled" and feed.poll and not divides:
            allowed = "a whole number of minutes that divides an hour (PT5M, PT1H): a schedule asks the service"
            yield Mistake(("poll",), f"{iso_duration(feed.poll)} must be {allowed}")

    @abstractmethod
    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """The readings month by month, oldest first; a month without rows is left out.

        The raw asset recognises a delivery that it has. To ask for the next delivery says that the one before is in the
        table: only then may a source remember, below the request's `work`, what it need not ask for again.

        A row whose time cannot be read, or lies before the feed's start or after its clock, travels with the row before
        it (at the beginning: with the feed's first month). The same content gives the same segments.

        Raises:
            AeroCastError: the source is missing, damaged, or lacks a declared field.
        """

    def fingerprint(self, feed: Feed, now: datetime | None = None) -> str:
        """What the source holds at the feed's present, in short; another value means that it has changed.

        By default always the same, for what a schedule asks or people push is not looked at in between.

        Raises:
            AeroCastError: the source is missing or cannot be read.
        """
        return self.kind


DEFAULT = "csv"
SOURCES: Registry[SourceKind] = Registry(SourceKind, "aerocast.ingest.sources", "aerocast.sources")


def _parse(declared: Any) -> SourceKind:
    """Parses a declared source by the class of its kind."""
    if isinstance(declared, SourceKind):
        return declared
    if not isinstance(declared, Mapping):
        raise ValueError(f"{declared!r} must be a mapping with a kind")
    kind = str(declared.get("kind", DEFAULT))
    try:
        source = SOURCES.find(kind)
    except AeroCastError as error:
        raise_mistakes("source", [Mistake(("kind",), str(error))])
        raise
    absent = [name for name in source.needs if find_spec(name) is None]
    raise_mistakes(
        "source", [Mistake(("kind",), f"{kind!r} needs the module {name}, which is not installed") for name in absent]
    )
    return source.model_validate(declared)


class _AnyKind:
    """The parameters of each kind; a package that does not load is left out."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        kinds: dict[Hashable, CoreSchema] = {}
        for name in SOURCES.names():
            with suppress(AeroCastError):
                kinds[name] = SOURCES.find(name).__pydantic_core_schema__
        return handler(core_schema.tagged_union_schema(kinds, "kind"))


Source = Annotated[SourceKind, SerializeAsAny(), BeforeValidator(_parse), _AnyKind()]
