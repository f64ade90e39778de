"""The sources of a declaration: where a feed's readings come from, and how they are written."""

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Discriminator, Field, Tag

from aerocast.declaration import Strict
from aerocast.schema import Duration, Texts, Zone


class ReadingFormat(Strict):
    """How readings of a feed are written, whichever way they come in."""

    station_field: str = "station"
    time_field: str = Field(default="time", description="ISO 8601, with an offset unless `timezone` is given")
    timezone: Zone | None = Field(
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


def _kind(source: Any) -> str | None:
    kind = source.get("kind", "csv") if isinstance(source, dict) else getattr(source, "kind", None)
    return kind if isinstance(kind, str) else None


SOURCES = ("csv", "simulated", "nws", "push")
Source = Annotated[
    Annotated[CsvSource, Tag("csv")]
    | Annotated[SimulatedSource, Tag("simulated")]
    | Annotated[NwsSource, Tag("nws")]
    | Annotated[PushSource, Tag("push")],
    Discriminator(_kind),
]
