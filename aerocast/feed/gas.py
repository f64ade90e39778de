"""Converts between the share of a gas in the air and its mass in the air, at a declared temperature and pressure."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from aerocast.common.declaration import Strict

# g/mol; NOX counts as NO2, as networks report it.
MOLAR_MASS = {
    "NO2": 46.0055,
    "NO": 30.0061,
    "NOX": 46.0055,
    "O3": 47.9982,
    "SO2": 64.0638,
    "CO": 28.0101,
    "CO2": 44.0095,
    "CH4": 16.0425,
    "NH3": 17.0305,
    "H2S": 34.0809,
    "N2O": 44.0128,
    "C6H6": 78.1118,
}
_GAS_CONSTANT = 8.31446261815324  # J/(mol K)
_ZERO_CELSIUS = 273.15


def _name(value: Any) -> Any:
    if value is False:  # what YAML reads for an unquoted NO
        return "NO"
    if isinstance(value, str) and value not in MOLAR_MASS:
        names = ", ".join(MOLAR_MASS)
        raise ValueError(f"{value!r} is not a known gas: one of {names}; declare molar_mass for another one")
    return value


Gas = Annotated[str, BeforeValidator(_name), WithJsonSchema({"enum": [*MOLAR_MASS, False]})]


class AirState(Strict):
    """The state of the air for which a gas is converted: that of the European directive if nothing is declared."""

    temperature: Annotated[float, Field(gt=-_ZERO_CELSIUS)] = Field(default=20.0, description="In degC", examples=[25])
    pressure: Annotated[float, Field(gt=0)] = Field(default=1013.25, description="In hPa", examples=[1013.25])


def density(molar_mass: float, at: AirState) -> float:
    """The density of the pure gas in g/m^3, as an ideal one."""
    return molar_mass * at.pressure * 100 / (_GAS_CONSTANT * (at.temperature + _ZERO_CELSIUS))
