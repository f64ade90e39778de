"""The declaration of a feed as a typed model: what `defs/<feed>/defs.yaml` may say, and what is wrong with it.

Every mistake becomes a sentence that names the field, the value and what is allowed.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from aerocast.common import times
from aerocast.common.declaration import Mistake, Strict, mistakes, raise_mistakes
from aerocast.common.errors import AeroCastError
from aerocast.feed import consistency, holiday_calendar, known_ahead
from aerocast.feed.column import Column, Gap, Vector
from aerocast.feed.field_types import Duration, Hours, Name, Owner, Tags, kinds
from aerocast.feed.holiday_calendar import Region
from aerocast.feed.model_kind import MODELS
from aerocast.feed.policies import (
    Backtest,
    Batching,
    Drift,
    Housekeeping,
    Promotion,
    Quality,
    Retention,
    Retraining,
    Split,
    Tuning,
)
from aerocast.feed.request_form import RequestForm
from aerocast.feed.source_kind import Source
from aerocast.feed.station import Station

BASELINES = ("persistence", "seasonal_naive")


class Window(Strict):
    """What a model sees: `look_back` steps of the feed; `steps` those of the windowed CSV and a short request."""

    steps: int = Field(default=5, ge=2, description="Steps in the windowed CSV, and the fewest in a posted sequence")
    columns: tuple[Name, ...] = Field(
        description="Columns in the windowed CSV and in a posted sequence, in this order; they include every target",
        examples=[["temperature"]],
    )
    look_back: int = Field(
        ge=2, description="Steps that models see; at least `steps` and the longest season", examples=[48]
    )
    profile: int = Field(
        default=0,
        ge=0,
        le=28,
        description="Of so many of the shortest seasons models see the target step by step, older ones as means over"
        " several; `long_linear` needs it, for forecasts many seasons ahead",
        examples=[21],
    )


class GapPolicy(Strict):
    """How a missing value of a step is filled, for at most `max_steps`; its age is kept beside it."""

    method: Gap = Field(
        default="last",
        description="The `last` measured value, `zero`, `none`, or `interpolate`: in a model's window a gap that was"
        " closed by the forecast's origin is a line, elsewhere the last value",
    )
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
    cadence: Duration = Field(
        description="Step of the regular grid: it divides a day, or is `P1D` or `P7D`, days of the stations' clocks",
        examples=["PT1H"],
    )
    seasons: tuple[Duration, ...] = Field(
        min_length=1,
        description="Spans after which the same is expected again, rising, such as `[P1D, P7D]`",
        examples=[["P1D"]],
    )
    holidays: Region | None = Field(
        default=None,
        description="Country whose public holidays matter, as in ISO 3166, or a part of it; null: none do",
        examples=["DE-BY"],
    )
    operating_hours: tuple[Hours, ...] = Field(
        default=(),
        description="Local hours in which the targets are not zero, as OpenStreetMap spells them; empty: no such hours",
        examples=[["Mo-Fr 06:00-22:30", "Sa 08:00-20:00", "PH off"]],
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
    open_stations: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="How many stations that are not declared may join by their first reading",
        examples=[20],
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
    backtest: Backtest = Field(default=Backtest(), description="Which spans a backtest judges, and of which candidates")
    tuning: Tuning = Field(default=Tuning(), description="How parameters of candidates are looked for, when people ask")
    retraining: Retraining = Field(default=Retraining(), description="When a target is trained again")
    drift: Drift = Field(default=Drift(), description="When evidence of drift counts")
    request_forms: tuple[RequestForm, ...] = Field(
        default=(),
        description="How clients of older systems ask `/predict`, beside the common form",
        examples=[[{"station": "site_id", "time": "timestamp", "answer": {"site_id": "station", "y": "value"}}]],
    )
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
    def zones(self) -> dict[str, str]:
        """The time zone of each station's clock."""
        return {station.id: station.timezone or self.source.timezone or "UTC" for station in self.stations}

    def holiday_days(self) -> dict[str, tuple[str, ...]]:
        """The days of each declared region, from the feed's first year on."""
        regions = {self.holidays, *(station.holidays for station in self.stations)}
        return {region: holiday_calendar.days(region, self.start.year) for region in sorted(filter(None, regions))}

    @property
    def backtest_kinds(self) -> tuple[str, ...]:
        """The candidates that a backtest trains, the baselines among them."""
        able = self.candidates if self.backtest.kinds is None else (*self.backtest.kinds, *BASELINES)
        return tuple(kind for kind in self.candidates if kind in able)

    @property
    def tuned_kinds(self) -> tuple[str, ...]:
        """The candidates that are tuned: those that have something to tune."""
        able = self.candidates if self.tuning.kinds is None else self.tuning.kinds
        return tuple(kind for kind in self.candidates if kind in able and MODELS.find(kind).searches())

    @property
    def season_steps(self) -> tuple[int, ...]:
        """The seasons' lengths in steps."""
        return tuple(season // self.cadence for season in self.seasons)

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

    def gap_of(self, series: str) -> Gap:
        """How gaps of a column are filled, or of a vector's component, whose speed decides."""
        speeds = {f"{vector.name}_{axis}": vector.speed for vector in self.vectors for axis in "uv"}
        return self.column(speeds.get(series, series)).gap or self.gap_policy.method

    def clock(self, now: datetime | None = None) -> datetime:
        """The feed's present: now, or a recorded feed's end if that is earlier."""
        now = now or datetime.now(UTC)
        return min(now, self.end) if self.end else now

    @field_validator("cadence")
    @classmethod
    def _same_grid_each_day(cls, cadence: timedelta) -> timedelta:
        if cadence <= timedelta(0):
            raise ValueError(f"{times.iso_duration(cadence)} must be longer than nothing")
        if timedelta(days=1) % cadence and cadence != timedelta(days=7):
            raise ValueError(
                f"{times.iso_duration(cadence)} must divide a day, so that every day has the same grid, or be P7D"
            )
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
                model = MODELS.find(kind)
                model.parameters.model_validate(values)
                wrong += [Mistake((kind,), text) for text in model.lacking()]
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

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, declaration: Any) -> Any:
        return known_ahead.expand(declaration)

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
            return known_ahead.at_declared_columns(declaration, mistakes(error))
