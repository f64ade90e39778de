"""The measured columns in the declaration of a feed: their fields, units and what is credible."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from aerocast.common import units
from aerocast.common.declaration import Strict, raise_mistakes
from aerocast.feed import consistency, gas
from aerocast.feed.field_types import Name, Pair, Texts, Unit
from aerocast.feed.gas import MOLAR_MASS, AirState, Gas

Gap = Literal["last", "zero", "none", "interpolate"]
_MOST_READINGS = 1440  # of a step: one a minute of a day


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
    gas: Gas | None = Field(
        default=None,
        description="The gas, so that its share of the air (ppb) converts to its mass in the air (ug/m^3)",
        examples=["NO2"],
    )
    molar_mass: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Molar mass in g/mol, for a gas that has no name here", examples=[92.14]
    )
    at: AirState = Field(
        default=AirState(),
        description="State of the air for which the gas is converted",
        examples=[{"temperature": 25, "pressure": 1013.25}],
    )
    quantity: Literal["instant", "mean", "sum", "last", "min", "max", "counter"] = Field(
        default="instant",
        description="What a reading is, and so what a step's value is: `instant` and `mean` are averaged, a `sum`"
        " (energy, rain) adds up, `last`, `min` and `max` take one reading, a `counter` (a total) its difference",
        examples=["sum"],
    )
    min_readings: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Fewest readings of a step that has a value; null: 1, and for a `sum` as many as are usual",
        examples=[4],
    )
    gap: Gap | None = Field(
        default=None, description="How a missing value of a step is filled; null: as `gap_policy`", examples=["zero"]
    )
    range: Pair = Field(
        description="Lowest and highest credible reading in the canonical unit; others are quarantined",
        examples=[[-50, 55]],
    )
    max_step: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Largest credible change between neighbouring steps in the canonical unit; null: any",
        examples=[12],
    )
    non_negative: bool = Field(
        default=False,
        description="Whether forecasts and their intervals end at 0, and not where `range` does; measured values may"
        " lie below (a sensor's noise)",
    )
    circular: bool = Field(default=False, description="Whether it is an angle: 359 and 1 degrees are neighbours")
    known_ahead: bool = Field(
        default=False,
        description="Whether it is known for the time that is forecast: a forecast that was issued before, with its"
        " steps ahead in `field` (`temp_{lead}h`)",
    )
    assume_perfect: bool = Field(
        default=False,
        description="Whether models learn from what was measured as if it had been known ahead; requests send it",
    )
    lead: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Steps ahead of its issue for which a value holds; follows from `known_ahead`",
        examples=[6],
    )
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
    texts: dict[str, float] = Field(
        default={},
        description="Texts that stand for a number in `source_unit`, without regard to case",
        examples=[{"T": 0.0001}],
    )
    factor: float = Field(
        default=1.0,
        description="By what a number is multiplied to be one in `source_unit`: 0.1 for tenths",
        examples=[0.1],
    )
    offset: float = Field(default=0.0, description="What is added to it then", examples=[-273.15])
    status_field: str | None = Field(
        default=None,
        description="The source's name for its status; null: by `source.status`",
        examples=["temp_qc"],
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
    def series(self) -> str:
        """The declared name of what it holds for one lead."""
        return self.name if self.lead is None else self.name.removesuffix(f"_ahead{self.lead}")

    @property
    def fields(self) -> tuple[str, ...]:
        """Every name under which the source sends it, or sent it, the present one first."""
        names = [self.field, *self.aliases, *(each.field for each in self.former if each.field)]
        return tuple(dict.fromkeys(names))

    @property
    def is_averaged(self) -> bool:
        """Whether a step's value is the mean of all its readings, however many there are."""
        return self.quantity in ("instant", "mean") and self.min_readings is None

    @property
    def step_range(self) -> tuple[float, float]:
        """Lowest and highest credible value of a step; a sum's follows from that of its readings."""
        low, high = self.range
        if self.quantity == "counter":
            return 0.0, self.max_step or high - min(low, 0.0)
        return (
            (min(low, low * _MOST_READINGS), max(high, high * _MOST_READINGS)) if self.quantity == "sum" else self.range
        )

    @property
    def bounds(self) -> tuple[float, float]:
        """Between what forecasts of a step and their intervals lie."""
        low, high = self.step_range
        return (max(low, 0.0), max(high, 0.0)) if self.non_negative else (low, high)

    def conversion(self, source_unit: str | None = None) -> tuple[float, float]:
        """`(factor, offset)` from a number as sent, in its unit or in another, to the canonical unit."""
        factor, offset = units.conversion(source_unit or self.source_unit, self.unit, self.density)
        return self.factor * factor, self.offset * factor + offset

    @property
    def density(self) -> float | None:
        """The density of the pure gas in g/m^3; None if none is declared."""
        mass = self.molar_mass or MOLAR_MASS.get(self.gas or "")
        return gas.density(mass, self.at) if mass else None

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
