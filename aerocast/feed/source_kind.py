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

from pydantic import AwareDatetime, BeforeValidator, Field, GetJsonSchemaHandler, SerializeAsAny
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from aerocast.common.declaration import Mistake, Strict, raise_mistakes
from aerocast.common.errors import AeroCastError
from aerocast.common.registry import Registry
from aerocast.common.time_format import Repeated, Skipped, TimeFormat
from aerocast.common.times import iso_duration
from aerocast.feed import layout
from aerocast.feed.field_types import Duration, Formats, Texts, Zone
from aerocast.feed.status import Status
from aerocast.feed.text_format import TextFormat

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery

Watch = Literal["whole", "live", "polled", "pushed"]


@dataclass(frozen=True)
class ReadRequest:
    """What a source is asked for: all months or these, with nothing measured later than `now` (default: wall clock).

    `after` is the newest reading of each month that the table has already, `slots` the fingerprint of the segment that
    it has in each slot (None: nobody has looked), `work` the kind's own folder, and `notes` takes sentences on what is
    left out or cannot be read.
    """

    months: Sequence[str] | None = None
    now: datetime | None = None
    after: Mapping[str, datetime] = field(default_factory=dict)
    work: Path | None = None
    notes: list[str] = field(default_factory=list)
    slots: Mapping[str, int] | None = None


class SourceKind(Strict):
    """How readings of a feed are written, in all channels; a subclass says where they are fetched.

    A subclass declares its name as the only value of `kind`, and `watch`, how one learns that there are new readings:
    `whole` looks at the fingerprint and delivers whole months, which replace what they were; `live` looks at it, too,
    and delivers what is newer than what is there; `polled` is asked by a schedule and delivers what is newer, or says
    something else; `pushed` has nothing to fetch.
    """

    station_field: str | None = Field(
        default="station",
        description="The source's name for the station; null: there is one station, or `station_pattern` finds it",
    )
    station_pattern: str | None = Field(
        default=None,
        description="Regular expression with a group `station` that finds the station in the path of a file",
        examples=[r"(?P<station>[A-Z]{4})_\d+\.csv$"],
    )
    wide: str | None = Field(
        default=None,
        description="Name of a field where each station has its own: `{station}`, with `{field}` for several columns",
        examples=["{station} {field}"],
    )
    quantity_field: str | None = Field(
        default=None,
        description="Where a row has one value: the source's name for its quantity, which is a column's `field`",
        examples=["parameter"],
    )
    value_field: str | None = Field(
        default=None, description="The source's name for the value beside `quantity_field`", examples=["value"]
    )
    time_field: str | tuple[str, ...] = Field(
        default="time",
        description="The source's name for the time, or several that are joined by a blank, such as date and hour",
    )
    first_time: AwareDatetime | None = Field(
        default=None,
        description="Instant of a file's first row, where rows have no time: each one is a cadence later",
        examples=["1996-05-07T00:00:00+10:00"],
    )
    issued_field: str | None = Field(
        default=None,
        description="The source's name for the time at which a value that is known ahead was issued",
        examples=["issued_at"],
    )
    time_format: Formats = Field(
        default=(),
        description="Times are written in ISO 8601, or as `epoch`, `epoch_ms`, `epoch_us`, `excel` or strptime says",
        examples=["%d/%m/%Y %H:%M"],
    )
    time_marks: Literal["start", "end", "hour_ending"] = Field(
        default="start",
        description="What a time is of the period that was measured: its `start`, its `end`, or an `hour_ending` label"
        " (1 to 24), which is an hour later than the clock at the start, whatever the clock does in between",
    )
    time_period: Duration | None = Field(
        default=None, description="Length of that period; null: the cadence", examples=["PT1H"]
    )
    timezone: Zone | None = Field(
        default=None,
        description="IANA zone of times without an offset; null: they are refused",
        examples=["Europe/Amsterdam"],
    )
    repeated_hour: Repeated = Field(
        default="order",
        description="Of an hour that the zone's clocks show twice: by their `order` (of a station, in a delivery), or"
        " always the `first` or the `second`",
    )
    skipped_hour: Skipped = Field(
        default="refuse",
        description="Of an hour that the zone's clocks skip: `refuse` (it goes to quarantine), or `shift` by the hour",
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
    status: Status | None = Field(
        default=None,
        description="Which field says of values that they are good, suspect or missing; null: none does",
        examples=[{"field": "quality", "suspect": ["SUSPECT"]}],
    )
    broken_lines: float = Field(
        default=0.05, ge=0, lt=1, description="Largest share of broken lines in a file; they are quarantined one by one"
    )
    format: TextFormat = Field(
        default=TextFormat(),
        description="How text files are written, and the numbers in them",
        examples=[{"delimiter": ";"}],
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
    def time_fields(self) -> tuple[str, ...]:
        """The fields that make a time together."""
        return (self.time_field,) if isinstance(self.time_field, str) else self.time_field

    @property
    def times(self) -> TimeFormat:
        """How times are read. Raises AeroCastError if this machine does not know the zone."""
        return TimeFormat(self.time_format, self.timezone, self.repeated_hour, self.skipped_hour, self.wall_lead)

    @property
    def wall_lead(self) -> timedelta:
        """How much later than a wall clock's time its label is."""
        hour = self.time_period or timedelta(hours=1)
        return hour if self.time_marks == "hour_ending" else timedelta(0)

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
        if self.time_period is not None and self.time_period <= timedelta(0):
            yield Mistake(("source", "time_period"), f"{iso_duration(self.time_period)} must be longer than nothing")
        for place, text in layout.mistakes(feed):
            yield Mistake(("source", *place), text)

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
