"""The declaration of a feed as a typed model: what `defs/<feed>/defs.yaml` may say, and what is wrong with it.

Every mistake becomes a sentence that names the field, the value and what is allowed.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from aerocast.common import times
from aerocast.common.declaration import Mistake, Strict, mistakes, raise_mistakes
from aerocast.common.errors import AeroCastError
from aerocast.feed import consistency
from aerocast.feed.field_types import Duration, Name, Owner, Pair, Tags, Texts, Unit, Zone, kinds
from aerocast.feed.model_kind import MODELS
from aerocast.feed.policies import Batching, Drift, Housekeeping, Promotion, Quality, Retention, Retraining, Split
from aerocast.feed.source_kind import Source

BASELINES = ("persistence", "seasonal_naive")


class Station(Strict):
    """One place or instrument; `timezone` (IANA) gives the local clock that daily seasons follow."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$", description="Id by which requests and tables name it", examples=["JFK"]
    )
    name: str = Field(default="", description="Name for people", examples=["John F. Kennedy"])
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        default=None,
        description="Degrees north; with the longitude it gives the models the sun's height",
        examples=[40.64],
    )
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = Field(
        default=None, description="Degrees east", examples=[-73.78]
    )
    timezone: Zone = Field(
        default="UTC", description="IANA zone of the station's local clock", examples=["Europe/Berlin"]
    )
    aliases: Texts = Field(
        default=(), description="Other ids under which its readings arrive or arrived", examples=[["London Marylebone"]]
    )


class Former(Strict):
    """How a column was sent before an instant: under another field, in another unit, or both."""

    before: AwareDatetime = Field(
        description="Readings of earlier instants are read in this way", examples=["2024-03-01T12:00:00Z"]
    )
    field: str | None = Field(
        default=None, description="The source's name for the column then; null: as now", examples=["temp_f"]
    )
    source_unit: Unit | None = Field(
        default=None, description="The column's unit then; null: as now", examples=["degF"]
    )


class Column(Strict):
    """One measured column: where it comes from, its canonical unit, and what is credible in that unit."""

    name: Name = Field(description="Name of the column in every table", examples=["temperature"])
    label: Name | None = Field(
        default=None, description="Short name in the windowed CSV; null: the name", examples=["temp"]
    )
    field: str = Field(
        description="The source's name for it; a dot looks inside a nested object (`readings.temp`)", examples=["t"]
    )
    source_unit: Unit = Field(description="Unit in which the source sends it", examples=["degF"])
    unit: Unit = Field(description="Canonical unit, in which it is stored and forecast", examples=["degC"])
    range: Pair = Field(
        description="Lowest and highest credible value in the canonical unit; others are quarantined",
        examples=[[-50, 55]],
    )
    max_step: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Largest credible change between neighbouring steps in the canonical unit; null: any",
        examples=[12],
    )
    circular: bool = Field(default=False, description="Whether it is an angle: 359 and 1 degrees are neighbours")
    aliases: Texts = Field(
        default=(), description="Other names of the field; the first one that has a value counts", examples=[["temp"]]
    )
    former: tuple[Former, ...] = Field(
        default=(),
        description="How it was sent before some instants, oldest first",
        examples=[[{"before": "2024-03-01T12:00:00Z", "source_unit": "degF"}]],
    )
    missing: Texts = Field(
        default=(), description="Texts or numbers that mean not measured, in this column alone", examples=[[999.9]]
    )
    max_missing: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Share of missing or quarantined values above which a check warns; null: `quality.warn`",
        examples=[0.5],
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
        raise_mistakes("Column", [*consistency.column(self)])
        return self


class Vector(Strict):
    """A speed and a direction that silver also keeps as components: `<name>_u` to the east, `<name>_v` to the north."""

    name: Name = Field(description="Prefix of the two components", examples=["wind"])
    speed: Name = Field(description="Column of the speed", examples=["windspeed"])
    direction: Name = Field(
        description="Column of the direction it comes from, clockwise from north", examples=["wind_direction"]
    )


class Window(Strict):
    """What a model sees: `look_back` steps of the feed; `steps` those of the windowed CSV and a short request."""

    steps: int = Field(default=5, ge=2, description="Steps in the windowed CSV, and the fewest in a posted sequence")
    columns: tuple[Name, ...] = Field(
        description="Columns in the windowed CSV and in a posted sequence, in this order; they include every target",
        examples=[["temperature"]],
    )
    look_back: int = Field(ge=2, description="Steps that models see; at least `steps` and `season`", examples=[48])


class GapPolicy(Strict):
    """Causal: a missing value takes the last measured one for at most `max_steps`; its age is kept beside it."""

    method: Literal["last"] = Field(default="last", description="How a gap is filled: with the last measured value")
    max_steps: int = Field(ge=0, description="Longest gap that is filled, in steps", examples=[6])


class Sliding(Strict):
    """Overlapping windows [start, start + size), one every `every`; final once `watermark` of feed time passed."""

    size: Duration = Field(default=timedelta(minutes=5), description="Length of a window")
    every: Duration = Field(
        default=timedelta(minutes=1), description="Distance between window starts; it divides `size` and a day"
    )
    watermark: Duration = Field(
        default=timedelta(minutes=10), description="How long after its end a window waits for late readings"
    )

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

    name: Name = Field(
        description="Name of the feed and of its folder; it begins every asset key and table name", examples=["noaa"]
    )
    description: str = Field(
        description="One sentence for people, shown in the UI", examples=["Hourly temperature at two stations."]
    )
    owners: tuple[Owner, ...] = Field(
        default=("team:aerocast",), description="Who looks after it: email addresses, or teams (`team:forecasting`)"
    )
    tags: Tags = Field(
        default={},
        description="Tags of every asset, to search by: keys and values of letters, digits, `_`, `-` and `.`; a key may"
        " have a prefix and `/`",
        examples=[{"domain": "weather"}],
    )
    source: Source = Field(
        description="Where readings come from, and how they are written", examples=[{"kind": "push"}]
    )
    cadence: Duration = Field(description="Step of the regular grid; it divides a day", examples=["PT1H"])
    season: int = Field(
        ge=1, description="Steps until the same is expected again: 24 for a day of hours", examples=[24]
    )
    start: AwareDatetime = Field(
        description="First instant of the feed; earlier readings are quarantined", examples=["2026-01-01T00:00:00Z"]
    )
    end: AwareDatetime | None = Field(
        default=None, description="Last instant of a recorded feed; null: open", examples=["2027-01-01T00:00:00Z"]
    )
    opt_in: bool = Field(
        default=False,
        description="Whether it runs by itself only where an operator says so (see [operations](operations.md))",
    )
    poll: Duration | None = Field(
        default=None, description="How often a live source is looked at; null: every hour", examples=["PT5M"]
    )
    freshness: Duration = Field(
        description="How old a station's newest reading may be; a check warns of older ones and answers say it",
        examples=["PT3H"],
    )
    stations: tuple[Station, ...] = Field(
        min_length=1, description="The places or instruments that send readings", examples=[[{"id": "A1"}]]
    )
    columns: tuple[Column, ...] = Field(
        min_length=1,
        description="The measured columns",
        examples=[[{"name": "temperature", "field": "t", "source_unit": "degF", "unit": "degC", "range": [-50, 55]}]],
    )
    vectors: tuple[Vector, ...] = Field(
        default=(),
        description="Speeds and directions that are also kept as components",
        examples=[[{"name": "wind", "speed": "windspeed", "direction": "wind_direction"}]],
    )
    targets: tuple[Name, ...] = Field(
        min_length=1, description="Columns to forecast; each has its own champion", examples=[["temperature"]]
    )
    window: Window = Field(
        description="What a model sees", examples=[{"steps": 5, "columns": ["temperature"], "look_back": 48}]
    )
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="Steps ahead to forecast, rising", examples=[[1, 3, 6]]
    )
    gap_policy: GapPolicy = Field(description="How gaps in the grid are filled", examples=[{"max_steps": 6}])
    split: Split = Field(default=Split(), description="Which rows train, tune, calibrate and judge")
    candidates: dict[str, dict[str, Any]] = Field(
        json_schema_extra=kinds,
        description="Kinds of models to train, each with its parameters; both baselines are required",
        examples=[{"linear": {}, "persistence": {}, "seasonal_naive": {}}],
    )
    promotion: Promotion = Field(default=Promotion(), description="What a candidate must reach to serve")
    retraining: Retraining = Field(default=Retraining(), description="When a target is trained again")
    drift: Drift = Field(default=Drift(), description="When evidence of drift counts")
    sliding: Sliding | None = Field(
        default=None,
        description="Overlapping windows beside the grid; null: none",
        examples=[{"size": "PT5M", "every": "PT1M"}],
    )
    quality: Quality = Field(
        default=Quality(), description="Shares of missing or quarantined values that are tolerated"
    )
    batching: Batching = Field(default=Batching(), description="How long delivered readings wait for more")
    retention: Retention = Field(default=Retention(), description="How long each table keeps its months")
    housekeeping: Housekeeping = Field(
        default=Housekeeping(), description="How much is kept of what lies beside the tables"
    )

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
    def _valid_parameters(cls, candidates: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
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
        raise_mistakes("candidates", wrong)
        return candidates

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        raise_mistakes("Feed", [*consistency.feed(self)])
        return self

    @classmethod
    def parse(cls, declaration: dict[str, Any], where: str = "feed") -> "Feed":
        """The feed that a declaration describes.

        Raises:
            AeroCastError: every mistake in it, one line each, with the field, the value and what is allowed.
        """
        result = cls.validate_declaration(declaration)
        if isinstance(result, Feed):
            return result
        raise AeroCastError("\n".join([f"{where} is not valid:", *(f"  {mistake}" for mistake in result)]))

    @classmethod
    def validate_declaration(cls, declaration: Any) -> "Feed | list[Mistake]":
        """The feed that a declaration describes, or every mistake in it."""
        try:
            return cls.model_validate(declaration)
        except ValidationError as error:
            return mistakes(error)
