"""Checks and converts units with pint, which is imported lazily: that costs half as much as importing dagster."""

import math
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import cache
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

from aerocast.common.errors import AeroCastError
from aerocast.common.unit_names import DEFINITIONS, spelling, spellings, with_powers

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

# The same of units that the project's own feeds have beside them; what converts to one is no sign of a sensor's fault.
OTHER_UNITS = {"hour": "[time]^1", "count": "", "bit": "[information]^1", "Mbit": "[information]^1"}
_MASS_IN_AIR = USUAL_UNITS["ug/m^3"]


@cache
def registry() -> "pint.UnitRegistry[Decimal]":
    """The one unit registry of a process: quantities of two registries do not mix."""
    import pint

    units: pint.UnitRegistry[Decimal] = pint.UnitRegistry(
        autoconvert_offset_to_baseunit=True, non_int_type=Decimal, on_redefinition="ignore"
    )
    for definition in DEFINITIONS:
        units.define(definition)
    return units


def dimension(unit: str) -> str | None:
    """The unit's dimension, `[length]^1 [time]^-1` for a speed, or None if no unit is spelt like this."""
    usual = spelling(unit)
    if usual in USUAL_UNITS or usual in OTHER_UNITS:
        return USUAL_UNITS.get(usual, OTHER_UNITS.get(usual))
    parsed = _parse(usual)
    return _text(_powers(parsed)) if parsed is not None else None


def _powers(unit: "pint.Unit") -> dict[str, Any]:
    """The unit's dimensions, and among them information, which pint takes for a plain number as it does percent."""
    root = registry().Quantity(Decimal(1), registry().get_root_units(unit)[1])
    bits = sum(power for name, power in root.unit_items() if name == "bit")
    return {**unit.dimensionality, **({"[information]": bits} if bits else {})}


def _text(powers: Mapping[str, Any]) -> str:
    return " ".join(f"{name}^{power:g}" for name, power in sorted(powers.items()))


@cache
def _parse(unit: str) -> "pint.Unit | None":
    """pint's unit for a text, as it stands or with its powers marked."""
    import pint

    for text in dict.fromkeys((unit, with_powers(unit))):
        with suppress(pint.errors.PintError, TokenError, ValueError, TypeError, AttributeError, AssertionError):
            parsed = registry().Unit(text)
            _text(_powers(parsed))
            return parsed
    return None


_POWER = "⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"
_PREFIXES = "kilo|mega|giga|tera|peta|exa|milli|micro|nano|pico|centi|deci|deca|hecto|[KMGT]i|[kMGTPEmunpcdhµμ]"


def pattern() -> str:
    """A regular expression of pint's units, prefixed or not, alone or multiplied, divided and raised to powers.

    It is for a JSON schema, which cannot ask pint; `dimension` has the last word.
    """
    import re

    own = dir(type(registry()))
    names = "|".join(re.escape(name) for name in (*dir(registry()), "°", "€", "£", "$") if name not in own)
    unit = f"(({_PREFIXES})?({names})s?({_POWER}|-?\\d+)?)"
    whole = "|".join(map(re.escape, spellings()))
    return rf"^\s*({whole}|(1|{unit})(\s*(\*\*|[ */^·])\s*({unit}|-?\d+))*)\s*$"


@cache
def conversion(source: str, target: str, density: float | None = None) -> tuple[float, float]:
    """`(factor, offset)` such that `target_value = source_value * factor + offset`.

    `density` (g/m^3) is that of the pure gas: with it, a share of the air (ppb) and a mass in the air (ug/m^3) convert.

    Raises:
        AeroCastError: the units measure different things, or do not convert by a factor and an offset; a checked
            declaration has none of these.
    """
    if spelling(source) == spelling(target):
        return 1.0, 0.0
    if obstacle := obstacle_to(source, target, density):
        raise AeroCastError(f"{source!r} {obstacle}")
    zero, one = (_converted(number, source, target, density) for number in (0, 1))
    return float(one - zero), float(zero)


@cache
def obstacle_to(source: str, target: str, density: float | None = None) -> str | None:
    """Why no factor and offset convert one unit to the other, as the end of a sentence; None if they do."""
    dimensions = [dimension(source), dimension(target)]
    both = {spelling(source), spelling(target)}
    if len(both) == 1 or (len({*dimensions}) == 1 and both <= USUAL_UNITS.keys() | OTHER_UNITS.keys()):
        return None
    is_gas = sorted(map(str, dimensions)) == ["", _MASS_IN_AIR]
    if dimensions[0] != dimensions[1] and not (is_gas and density):
        hint = "; declare its gas, or its molar_mass" if is_gas else ""
        return f"does not convert to unit {target!r}{hint}"
    try:
        zero, one, two = (_converted(number, source, target, density) for number in (0, 1, 2))
        is_affine = math.isclose(two - one, one - zero, rel_tol=1e-9)
    except (ArithmeticError, TypeError, ValueError):  # what pint's logarithms make of decimals
        is_affine = False
    rule = "by a factor and an offset, because one of them is logarithmic"
    return None if is_affine else f"does not convert to unit {target!r} {rule}"


def _converted(number: int, source: str, target: str, density: float | None) -> Decimal:
    """A number of one unit in the other, without a check of their dimensions."""
    quantity = registry().Quantity(Decimal(number), _parse(spelling(source)))
    if dimension(source) != dimension(target):
        pure = registry().Quantity(Decimal(repr(density)), "g/m^3")
        quantity = quantity * pure if dimension(source) == "" else quantity / pure
    return quantity.to(_parse(spelling(target))).magnitude
