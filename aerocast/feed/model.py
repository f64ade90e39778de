"""The declaration of a feed as a typed model: what `defs/<feed>/defs.yaml` may say, and what is wrong with it.

Every mistake becomes a sentence that names the field, the value and what is allowed.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from aerocast.common import times
from aerocast.common.declaration import Mistake, Strict, mistakes, refuse
from aerocast.common.errors import AeroCastError
from aerocast.feed import rules
from aerocast.feed.model_kind import MODELS
from aerocast.feed.policies import Batching, Drift, Housekeeping, Promotion, Quality, Retention, Retraining, Split
from aerocast.feed.schema import Duration, Name, Owner, Pair, Texts, Unit, Zone, kinds
from aerocast.feed.source_kind import Source

BASELINES = ("persistence", "seasonal_naive")


class Station(Strict):
    """One place or instrument; `timezone` (IANA) gives the local clock that daily seasons follow."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    name: str = ""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: Zone = "UTC"
    aliases: Texts = Field(default=(), description="other ids under which its readings come, or came")


class Former(Strict):
    """How a column was sent before an instant: under another field, in another unit, or both."""

    before: AwareDatetime = Field(description="readings of earlier instants are read like this")
    field: str | None = Field(default=None, description="the source's name for it then; default: as now")
    source_unit: Unit | None = Field(default=None, description="its unit then; default: as now")


class Column(Strict):
    """One measured column: where it comes from, its canonical unit, and what is credible in that unit."""

    name: Name
    label: Name | None = Field(default=None, description="short name in the windowed CSV; default: the name")
    field: str = Field(description="the source's name for it")
    source_unit: Unit
    unit: Unit = Field(description="canonical unit, any that pint knows")
    range: Pair = Field(description="physical range, canonical unit")
    max_step: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="largest credible change between neighbouring steps, canonical unit"
    )
    circular: bool = Field(default=False, description="an angle: 359 and 1 are neighbours")
    aliases: Texts = Field(default=(), description="other names of the field; the first one that has a value counts")
    former: tuple[Former, ...] = Field(default=(), description="how it was sent before some instants")
    missing: Texts = Field(default=(), description="as the source's, for this column alone")
    max_missing: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="share without a believed value that is usual here; default: quality.warn"
    )

    @property
    def short(self) -> str:
        return self.label or self.name

    @property
    def fields(self) -> tuple[str, ...]:
        """Every name under which the source sends it, or sent it, the present one first."""
        names = [self.field, *self.aliases, *(each.field for each in self.former if each.field)]
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse("Column", [*rules.column(self)])
        return self


class Vector(Strict):
    """A speed and a direction that silver also keeps as components: `<name>_u` to the east, `<name>_v` to the north."""

    name: Name
    speed: Name
    direction: Name


class Window(Strict):
    """The model's input: `steps` and `columns` are the windowed CSV's (and older clients'), `look_back` the models'."""

    steps: Annotated[int, Field(ge=2)] = 5
    columns: tuple[Name, ...]
    look_back: Annotated[int, Field(ge=2)]


class GapPolicy(Strict):
    """Causal: a missing value takes the last measured one for at most `max_steps`; its age is kept beside it."""

    method: Literal["last"] = "last"
    max_steps: Annotated[int, Field(ge=0)]


class Sliding(Strict):
    """Overlapping windows [start, start + size), one every `every`; final once `watermark` of feed time passed."""

    size: Duration = timedelta(minutes=5)
    every: Duration = timedelta(minutes=1)
    watermark: Duration = Field(default=timedelta(minutes=10), description="how late a reading may come in time")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        every, size = times.iso_duration(self.every), times.iso_duration(self.size)
        if not timedelta(0) < self.every <= self.size or self.size % self.every or timedelta(days=1) % self.every:
            raise ValueError(f"every: {every} must divide size {size} and a day")
        if self.watermark < timedelta(0):
            raise ValueError(f"watermark: {times.iso_duration(self.watermark)} must not be negative")
        return self


class Feed(Strict):
    """One kind of data source: everything that differs between feeds, and nothing that code must know."""

    name: Name
    description: str
    owners: tuple[Owner, ...] = Field(
        default=("team:aerocast",), description="who looks after it: addresses, or teams (team:forecasting)"
    )
    source: Source
    cadence: Duration = Field(description="step of the regular grid, ISO 8601 (PT1H)")
    season: Annotated[int, Field(ge=1)] = Field(description="steps in the season that seasonal_naive repeats")
    start: AwareDatetime = Field(description="first instant of the first monthly partition")
    end: AwareDatetime | None = Field(default=None, description="a recorded feed's end; open without one")
    opt_in: bool = Field(
        default=False,
        description="it runs by itself only where an operator says so (`AEROCAST_OPT_IN`, see docs/operations.md)",
    )
    poll: Duration | None = Field(default=None, description="how often a live source is looked at; default: each hour")
    freshness: Duration = Field(description="how old the newest reading may be (before `end`, if one is given)")
    stations: Annotated[tuple[Station, ...], Field(min_length=1)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    vectors: tuple[Vector, ...] = ()
    targets: Annotated[tuple[Name, ...], Field(min_length=1)]
    window: Window
    horizons: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    gap_policy: GapPolicy
    split: Split = Split()
    candidates: dict[str, dict[str, Any]] = Field(json_schema_extra=kinds)
    promotion: Promotion = Promotion()
    retraining: Retraining = Retraining()
    drift: Drift = Drift()
    sliding: Sliding | None = None
    quality: Quality = Quality()
    batching: Batching = Batching()
    retention: Retention = Retention()
    housekeeping: Housekeeping = Housekeeping()

    @property
    def step(self) -> timedelta:
        return self.cadence

    @property
    def station_ids(self) -> tuple[str, ...]:
        return tuple(station.id for station in self.stations)

    @property
    def readings_wait(self) -> timedelta:
        """Time of the feed between two runs that delivered readings ask for."""
        declared = self.batching.readings
        return min(self.cadence, timedelta(minutes=5)) if declared is None else declared

    @property
    def log_waits(self) -> timedelta:
        """Time of the feed that logged forecasts and posted outcomes wait for readings to be judged with."""
        declared = self.batching.log
        return min(self.cadence, timedelta(hours=1)) if declared is None else declared

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def clock(self, now: datetime | None = None) -> datetime:
        """The feed's present: now, or a recorded feed's end if that is earlier."""
        now = now or datetime.now(UTC)
        return min(now, self.end) if self.end else now

    @field_validator("cadence")
    @classmethod
    def _same_grid_each_day(cls, cadence: timedelta) -> timedelta:
        if cadence <= timedelta(0):
            raise ValueError(f"{times.iso_duration(cadence)} must be longer than nothing")
        if timedelta(days=1) % cadence:
            raise ValueError(f"{times.iso_duration(cadence)} must divide a day, so that every day has the same grid")
        return cadence

    @field_validator("horizons")
    @classmethod
    def _rising(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        if list(horizons) != sorted(horizons):
            raise ValueError(f"{list(horizons)} must rise")
        return horizons

    @field_validator("candidates")
    @classmethod
    def _known_parameters(cls, candidates: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        wrong: list[Mistake] = []
        for kind, values in candidates.items():
            try:
                MODELS.find(kind).parameters.model_validate(values)
            except AeroCastError as error:
                wrong.append(Mistake((kind,), str(error)))
            except ValidationError as error:
                wrong += [Mistake((kind, *place), text) for place, text in mistakes(error)]
        if absent := [kind for kind in BASELINES if kind not in candidates]:
            names, are = (" and ".join(absent), "are") if len(absent) > 1 else (absent[0], "is")
            text = f"the baseline{'s' * (len(absent) > 1)} {names} {are} missing; nothing serves unproven"
            wrong.append(Mistake((), text))
        refuse("candidates", wrong)
        return candidates

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse("Feed", [*rules.feed(self)])
        return self

    @classmethod
    def parse(cls, declaration: dict[str, Any], where: str = "feed") -> "Feed":
        """The feed a declaration describes.

        Raises:
            AeroCastError: every mistake in it, one line each, with the field, the value and what is allowed.
        """
        found = cls.checked(declaration)
        if isinstance(found, Feed):
            return found
        raise AeroCastError("\n".join([f"{where} is not valid:", *(f"  {mistake}" for mistake in found)]))

    @classmethod
    def checked(cls, declaration: Any) -> "Feed | list[Mistake]":
        """The feed a declaration describes, or else every mistake in it."""
        try:
            return cls.model_validate(declaration)
        except ValidationError as error:
            return mistakes(error)
