"""The declaration of a feed as a typed model: what `defs/<feed>/defs.yaml` may say, and what is wrong with it.

Every mistake becomes one `AeroCastError` that names the field, the value and what is allowed.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from aerocast.errors import AeroCastError
from aerocast.forecasters import params
from aerocast.schema import Duration, Unit, closed, kinds
from aerocast.units import USUAL_UNITS, dimension

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="lower case, digits and underscores")]
Kind = Literal["gru", "xgboost", "linear", "persistence", "seasonal_naive"]
BASELINES: tuple[Kind, ...] = ("persistence", "seasonal_naive")


DERIVED = ("age", "mean", "std", "min", "max", "count")  # of each series, in silver


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone, such as Europe/London") from error
    return value


class Strict(BaseModel):
    """Frozen, and an unknown field is an error: a misspelt limit must not be a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=closed)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        unknown = sorted(set(data) - set(cls.model_fields)) if isinstance(data, dict) else []
        if unknown:
            raise ValueError(f"no such field: {', '.join(unknown)}; allowed here: {', '.join(cls.model_fields)}")
        return data


def _as_text(value: Any) -> Any:
    """A number in a list of texts as YAML spells it: `missing: [-999]` needs no quotation marks."""
    if isinstance(value, list | tuple):
        return [str(each) if isinstance(each, int | float) and not isinstance(each, bool) else each for each in value]
    return value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_text)]


class ReadingFormat(Strict):
    """How readings of a feed are written, whichever way they come in."""

    station_field: str = "station"
    time_field: str = Field(default="time", description="ISO 8601, with an offset unless `timezone` is given")
    timezone: str | None = Field(
        default=None, description="IANA zone of times without an offset (UTC, Europe/Amsterdam); none: they are refused"
    )
    missing: Texts = Field(
        default=(),
        description="texts or numbers that mean: not measured; besides the usual words (blank, NA, NaN, null, none ...)"
        " and -999 or -9999 where the range excludes them",
    )
    withdrawn: Texts = Field(default=(), description="texts that take back what was said of the value before")
    broken_lines: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.05, description="largest share of a file's lines that are set aside one by one if they are broken"
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return value if value is None else _known_timezone(value)


class CsvSource(ReadingFormat):
    """A CSV file on disk, or one that ships inside an installed package (found without importing it)."""

    kind: Literal["csv"] = "csv"
    path: str = Field(description="file path; inside `package` when one is named; `$NAME` is read from the environment")
    package: str | None = Field(default=None, description="installed Python package that ships the file")
    station_field: str
    time_field: str = Field(description="ISO 8601, with an offset unless `timezone` is given")
    live: ClassVar[bool] = False  # delivers its months whole, whatever is there already

    @property
    def label(self) -> str:
        """The name that raw keeps: as declared, the same on every machine."""
        return f"{self.package}/{self.path}" if self.package else self.path


class SimulatedSource(ReadingFormat):
    """A made station with one column: a daily cycle around a calm level, then a heatwave. Seeded.

    Every reading is a function of the seed and its instant alone, so any span can be asked for again. `CALM_ONLY=1` in
    the environment keeps it calm for ever. Quantities are in the column's source unit.
    """

    kind: Literal["simulated"]
    seed: int = 7
    level: float = Field(default=25.0, description="mean of the calm")
    swing: Annotated[float, Field(ge=0)] = Field(default=3.2, description="amplitude of the calm's daily cycle")
    weather: Annotated[float, Field(ge=0)] = Field(
        default=1.2, description="furthest that slow weather moves the level"
    )
    noise: Annotated[float, Field(ge=0)] = Field(default=0.2, description="standard deviation of a single reading")
    onset: AwareDatetime = Field(description="when the heatwave begins")
    ramp: Duration = Field(default=timedelta(days=1), description="how long it takes to reach its height")
    rise: float = Field(default=12.0, description="how far the heatwave lifts the level")
    hot_swing: Annotated[float, Field(ge=0)] = Field(default=9.0, description="amplitude of the heatwave's daily cycle")
    hot_weather: Annotated[float, Field(ge=0)] = Field(default=4.0, description="as `weather`, in the heatwave")
    hot_noise: Annotated[float, Field(ge=0)] = Field(default=0.4, description="as `noise`, in the heatwave")
    live: ClassVar[bool] = True  # delivers what is newer than what is there

    @property
    def label(self) -> str:
        """The name that raw keeps."""
        return f"simulated (seed {self.seed})"


class NwsSource(ReadingFormat):
    """Station observations of the US National Weather Service (api.weather.gov), polled by a schedule.

    A column's `field` is the API's name of the quantity (`windSpeed`); its unit is taken from each value's `unitCode`.
    """

    kind: Literal["nws"]
    overlap: Duration = Field(
        default=timedelta(hours=3), description="how far before the newest reading a poll asks again, for late ones"
    )
    reach: Duration = Field(default=timedelta(days=7), description="how far back the first poll asks")
    page: Annotated[int, Field(ge=1, le=500)] = Field(default=100, description="readings a page")
    time_field: str = "timestamp"
    live: ClassVar[bool] = True  # delivers what is newer, or says something else, than what is there

    @property
    def label(self) -> str:
        """The name that raw keeps."""
        return "api.weather.gov"


class PushSource(ReadingFormat):
    """No source of its own: readings come through the doors alone (HTTP, inbox, broker)."""

    kind: Literal["push"]
    live: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The name that the UI shows."""
        return "what is delivered through the doors"


def _kind(source: Any) -> str:
    kind = source.get("kind", "csv") if isinstance(source, dict) else getattr(source, "kind", None)
    return kind if kind in SOURCES else "csv"  # an unknown kind is refused there, with what is allowed


SOURCES = ("csv", "simulated", "nws", "push")
Source = Annotated[
    Annotated[CsvSource, Tag("csv")]
    | Annotated[SimulatedSource, Tag("simulated")]
    | Annotated[NwsSource, Tag("nws")]
    | Annotated[PushSource, Tag("push")],
    Discriminator(_kind),
]


class Station(Strict):
    """One place or instrument; `timezone` (IANA) gives the local clock that daily seasons follow."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    name: str = ""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: str = "UTC"
    aliases: Texts = Field(default=(), description="other ids under which its readings come, or came")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _known_timezone(value)


def _known_unit(value: str) -> str:
    if dimension(value) is None:
        raise ValueError(f"{value!r} is no unit that pint knows; usual ones: {', '.join(USUAL_UNITS)}")
    return value


class Former(Strict):
    """How a column was sent before an instant: under another field, in another unit, or both."""

    before: AwareDatetime = Field(description="readings of earlier instants are read like this")
    field: str | None = Field(default=None, description="the source's name for it then; default: as now")
    source_unit: Unit | None = Field(default=None, description="its unit then; default: as now")

    @field_validator("source_unit")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value if value is None else _known_unit(value)


class Column(Strict):
    """One measured column: where it comes from, its canonical unit, and what is credible in that unit."""

    name: Name
    label: Name | None = Field(default=None, description="short name in the windowed CSV; default: the name")
    field: str = Field(description="the source's name for it")
    source_unit: Unit
    unit: Unit = Field(description="canonical unit, any that pint knows")
    range: tuple[float, float] = Field(description="physical range, canonical unit")
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

    @field_validator("source_unit", "unit")
    @classmethod
    def _known(cls, value: str) -> str:
        return _known_unit(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)} must be [low, high] with low < high")
        if dimension(self.source_unit) != dimension(self.unit):
            raise ValueError(f"source_unit {self.source_unit!r} does not convert to unit {self.unit!r}")
        instants = [each.before for each in self.former]
        if instants != sorted(set(instants)):
            raise ValueError("former: must be in the order of its instants, each once")
        for each in self.former:
            if each.source_unit and dimension(each.source_unit) != dimension(self.unit):
                raise ValueError(f"former: source_unit {each.source_unit!r} does not convert to unit {self.unit!r}")
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
        if not timedelta(0) < self.every <= self.size or self.size % self.every or timedelta(days=1) % self.every:
            raise ValueError(f"every: {self.every} must divide size {self.size} and a day")
        if self.watermark < timedelta(0):
            raise ValueError(f"watermark: {self.watermark} must not be negative")
        return self


class Quality(Strict):
    """Shares of a column's, or of a station's, readings that are missing or in quarantine."""

    warn: Annotated[float, Field(ge=0, le=1)] = Field(default=0.2, description="above this share a check warns")
    block: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="from this share on nothing is trained on; none: it is only said"
    )


class Retention(Strict):
    """How long a layer's months are kept, counted from their end to the feed's present; None: for ever.

    What a kept release was trained on stays readable, whatever is said here.
    """

    raw: Duration | None = None
    bronze: Duration | None = None
    quarantine: Duration | None = None
    silver: Duration | None = None
    windows: Duration | None = None
    sliding: Duration | None = None


class Split(Strict):
    """Shares of time. `test` is the newest span, which judges; the rest is cut in blocks for the other uses."""

    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.12
    calibration: Annotated[float, Field(gt=0, lt=0.5)] = 0.12
    block: Duration = Field(default=timedelta(days=7), description="length of a validation or calibration block")


class Promotion(Strict):
    """What a candidate must reach to serve: `min_skill` over the baselines, `min_gain` over the incumbent."""

    min_skill: float = 0.0
    min_gain: float = Field(default=0.0, description="share by which the composite must fall below the incumbent's")
    max_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.05, description="largest p-value of the Diebold-Mariano test against the incumbent"
    )
    shadow: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of live requests that a refused challenger answers too, logged and never sent"
    )
    coverage: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.9, description="nominal level of the intervals")
    coverage_tolerance: Annotated[float, Field(gt=0, lt=0.5)] = 0.02


class Retraining(Strict):
    """Limits of the loop, in the feed's own time: how old a champion may get, how often drift may start a training."""

    max_age: Duration = timedelta(days=30)
    cool_down: Duration = timedelta(hours=6)
    daily_budget: Annotated[int, Field(ge=0)] = 2
    min_span: Duration = Field(default=timedelta(days=10), description="least of a new regime to learn and judge from")
    settle: Duration = Field(default=timedelta(days=2), description="how long a retrain may take to show in the errors")


class Drift(Strict):
    """When evidence becomes heat: `hot_after` and `cool_after` count examinations in a row (hysteresis)."""

    recent: Annotated[int, Field(ge=12)] = Field(default=72, description="newest steps of a station that are examined")
    hot_after: Annotated[int, Field(ge=1)] = 2
    cool_after: Annotated[int, Field(ge=1)] = 2


class Feed(Strict):
    """One kind of data source: everything that differs between feeds, and nothing that code must know."""

    name: Name
    description: str
    source: Source
    cadence: Duration = Field(description="step of the regular grid, ISO 8601 (PT1H)")
    season: Annotated[int, Field(ge=1)] = Field(description="steps in the season that seasonal_naive repeats")
    start: AwareDatetime = Field(description="first instant of the first monthly partition")
    end: AwareDatetime | None = Field(default=None, description="a recorded feed's end; open without one")
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
    candidates: dict[Kind, dict[str, Any]] = Field(json_schema_extra=kinds)
    promotion: Promotion = Promotion()
    retraining: Retraining = Retraining()
    drift: Drift = Drift()
    sliding: Sliding | None = None
    quality: Quality = Quality()
    retention: Retention = Retention()

    @property
    def step(self) -> timedelta:
        return self.cadence

    @property
    def station_ids(self) -> tuple[str, ...]:
        return tuple(station.id for station in self.stations)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def clock(self, now: datetime | None = None) -> datetime:
        """The feed's present: now, or a recorded feed's end if that is earlier."""
        now = now or datetime.now(UTC)
        return min(now, self.end) if self.end else now

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [column.name for column in self.columns]
        named: dict[str, list[Any]] = {
            "columns": names,
            "columns.label": [column.short for column in self.columns],
            "columns.aliases": [name for column in self.columns for name in dict.fromkeys(column.aliases)],
            "stations": [name for station in self.stations for name in (station.id, *station.aliases)],
            "targets": list(self.targets),
            "horizons": list(self.horizons),
        }
        for field, values in named.items():
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{field}: {', '.join(twice)} named twice")
        for column in self.columns:
            others = {other.field for other in self.columns if other is not column}
            if shared := sorted(others & set(column.aliases)):
                raise ValueError(f"columns.aliases: {shared[0]!r} is the field of another column")
        if own := sorted({"station", "time", "segment", "flags", "month", "delivery"} & {*names}):
            raise ValueError(f"columns: {own[0]!r} is a column that every table has; take another name")
        series = [*names, *(f"{vector.name}_{part}" for vector in self.vectors for part in "uv")]
        made = {f"{name}_{suffix}": name for name in series for suffix in DERIVED}
        if clash := sorted(made.keys() & {*series}):
            raise ValueError(f"columns: {clash[0]!r} is what silver makes of {made[clash[0]]!r}; take another name")
        used = {"targets": self.targets, "window.columns": self.window.columns}
        used |= {f"vectors.{vector.name}": (vector.speed, vector.direction) for vector in self.vectors}
        for field, wanted in used.items():
            for value in wanted:
                if value not in names:
                    raise ValueError(f"{field}: {value!r} is not a column; allowed: {', '.join(names)}")
        missing = [target for target in self.targets if target not in self.window.columns]
        if missing:
            raise ValueError(f"window.columns: must hold every target; {', '.join(missing)} is missing")
        return self

    @model_validator(mode="after")
    def _spans(self) -> Self:
        if self.cadence <= timedelta(0):
            raise ValueError(f"cadence: {self.cadence} must be longer than nothing")
        if timedelta(days=1) % self.cadence:
            raise ValueError(f"cadence: {self.cadence} must divide a day, so that every day has the same grid")
        if list(self.horizons) != sorted(self.horizons):
            raise ValueError(f"horizons: {list(self.horizons)} must rise")
        if self.window.look_back < max(self.window.steps, self.season):
            raise ValueError(f"window.look_back: {self.window.look_back} must cover window.steps and season")
        if isinstance(self.source, NwsSource) and self.poll and not _divides_an_hour(self.poll):
            allowed = "a whole number of minutes that divides an hour (PT5M, PT1H): a schedule asks the service"
            raise ValueError(f"poll: {self.poll} must be {allowed}")
        if self.end and self.end <= self.start:
            raise ValueError(f"end: {self.end} must be later than start {self.start}")
        absent = [kind for kind in BASELINES if kind not in self.candidates]
        if absent:
            raise ValueError(f"candidates: the baselines {', '.join(absent)} are missing; nothing serves unproven")
        for kind, values in self.candidates.items():
            try:
                params.parse(kind, values)
            except AeroCastError as error:
                raise ValueError(str(error)) from None
        if self.split.test + self.split.validation + self.split.calibration > 0.7:
            raise ValueError("split: test, validation and calibration leave less than 30 % to train on")
        return self

    @classmethod
    def parse(cls, declaration: dict[str, Any], where: str = "feed") -> "Feed":
        """The feed a declaration describes.

        Raises:
            AeroCastError: every mistake in it, one line each, with the field, the value and what is allowed.
        """
        try:
            return cls.model_validate(declaration)
        except ValidationError as error:
            raise AeroCastError("\n".join([f"{where} is not valid:", *_mistakes(error)])) from None


def _divides_an_hour(poll: timedelta) -> bool:
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    return minute <= poll <= hour and not poll % minute and not hour % poll


def _path(loc: tuple[int | str, ...]) -> list[str]:
    """Where a mistake is, as the declaration spells it: the tag of the source's kind is not a field."""
    return [str(part) for at, part in enumerate(loc) if not (at == 1 and loc[0] == "source" and part in SOURCES)]


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors():
        field = re.sub(r"\.(\d+)", r"[\1]", ".".join(_path(mistake["loc"])))
        text = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] not in ("missing", "value_error"):
            text = f"{mistake['input']!r} is not allowed: {text}"
        lines.append(f"  {field + ': ' if field else ''}{text}")
    return lines
