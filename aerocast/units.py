"""Units by pint, which is imported only where it is needed: it costs half as much as importing dagster."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

# A declaration that uses these loads without pint; a test holds the table to pint's own dimensions.
USUAL_UNITS: dict[str, str] = {
    **dict.fromkeys(("degC", "degF", "kelvin"), "[temperature]"),
    **dict.fromkeys(("m/s", "km/h", "mph", "knot"), "[length] / [time]"),
    **dict.fromkeys(("mm", "cm", "m", "km", "inch", "mile"), "[length]"),
    **dict.fromkeys(("Pa", "hPa", "kPa", "mbar", "bar"), "[mass] / [length] / [time] ** 2"),
    **dict.fromkeys(("percent", "dimensionless", "degree", "radian"), "dimensionless"),
    **dict.fromkeys(("ug/m^3", "mg/m^3"), "[mass] / [length] ** 3"),
    **dict.fromkeys(("W", "kW", "MW", "GW"), "[length] ** 2 * [mass] / [time] ** 3"),
    **dict.fromkeys(("Wh", "kWh", "MWh"), "[length] ** 2 * [mass] / [time] ** 2"),
}


@cache
def registry() -> "pint.UnitRegistry[float]":
    """The one unit registry of a process: quantities of two registries do not mix."""
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def dimension(unit: str) -> str | None:
    """The unit's dimension in pint's notation, or None if pint does not know the unit."""
    if unit in USUAL_UNITS:
        return USUAL_UNITS[unit]
    import pint

    try:
        return str(registry().Unit(unit).dimensionality)
    except (pint.errors.PintError, ValueError, TypeError, AttributeError):
        return None


@cache
def conversion(source: str, target: str) -> tuple[float, float]:
    """`(factor, offset)` such that `target_value = source_value * factor + offset`; all pint's units are affine here.

    Raises:
        pint.DimensionalityError: when the units measure different things (a checked declaration has none).
    """
    if source == target:
        return 1.0, 0.0
    quantity = registry().Quantity
    offset = float(quantity(0.0, source).to(target).magnitude)
    return float(quantity(1.0, source).to(target).magnitude) - offset, offset
