"""Checks and converts units with pint, which is imported lazily: that costs half as much as importing dagster."""

from decimal import Decimal
from functools import cache
from tokenize import TokenError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

# Dimensions of usual units, so that most declarations load without pint; a test compares them with pint's own.
USUAL_UNITS: dict[str, str] = {
    **dict.fromkeys(("degC", "degF", "kelvin"), "[temperature]^1"),
    **dict.fromkeys(("m/s", "km/h", "mph", "knot"), "[length]^1 [time]^-1"),
    **dict.fromkeys(("mm", "cm", "m", "km", "inch", "mile"), "[length]^1"),
    **dict.fromkeys(("Pa", "hPa", "kPa", "mbar", "bar"), "[length]^-1 [mass]^1 [time]^-2"),
    **dict.fromkeys(("percent", "dimensionless", "degree", "radian"), ""),
    **dict.fromkeys(("ug/m^3", "mg/m^3"), "[length]^-3 [mass]^1"),
    **dict.fromkeys(("W", "kW", "MW", "GW"), "[length]^2 [mass]^1 [time]^-3"),
    **dict.fromkeys(("Wh", "kWh", "MWh"), "[length]^2 [mass]^1 [time]^-2"),
}


@cache
def registry() -> "pint.UnitRegistry[Decimal]":
    """The one unit registry of a process: quantities of two registries do not mix."""
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True, non_int_type=Decimal)


def dimension(unit: str) -> str | None:
    """The unit's dimension, `[length]^1 [time]^-1` for a speed, or None if pint does not know the unit."""
    if unit in USUAL_UNITS:
        return USUAL_UNITS[unit]
    import pint

    try:
        powers = registry().Unit(unit).dimensionality
    except (pint.errors.PintError, TokenError, ValueError, TypeError, AttributeError, AssertionError):
        return None
    return " ".join(f"{name}^{power:g}" for name, power in sorted(powers.items()))


_POWER = "⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"
_PREFIXES = "kilo|mega|giga|tera|milli|micro|nano|pico|centi|deci|deca|hecto|[kMGTmunpcdhµμ]"


def pattern() -> str:
    """A regular expression of pint's units, prefixed or not, alone or multiplied, divided and raised to powers.

    It is for a JSON schema, which cannot ask pint; `dimension` has the last word.
    """
    import re

    own = dir(type(registry()))
    names = "|".join(re.escape(name) for name in (*dir(registry()), "°") if name not in own)
    unit = f"(({_PREFIXES})?({names})s?({_POWER})?)"
    return rf"^\s*(1|{unit})(\s*(\*\*|[ */^·])\s*({unit}|-?\d+))*\s*$"


@cache
def conversion(source: str, target: str) -> tuple[float, float]:
    """`(factor, offset)` such that `target_value = source_value * factor + offset`; all pint's units are affine here.

    Raises:
        pint.DimensionalityError: when the units measure different things (a checked declaration has none).
    """
    if source == target:
        return 1.0, 0.0
    quantity = registry().Quantity
    offset = quantity(Decimal(0), source).to(target).magnitude
    return float(quantity(Decimal(1), source).to(target).magnitude - offset), float(offset)
