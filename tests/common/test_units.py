"""Units: the table that saves an import agrees with pint, and conversions are exact where they can be."""

import re

import pytest

from aerocast.common import units
from aerocast.common.errors import AeroCastError


@pytest.mark.parametrize("unit", sorted(units.USUAL_UNITS | units.OTHER_UNITS))
def test_common_conversions_agree_with_pint(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = (units.USUAL_UNITS | units.OTHER_UNITS)[unit]
    for name in ("USUAL_UNITS", "OTHER_UNITS"):
        monkeypatch.setattr(units, name, {each: at for each, at in getattr(units, name).items() if each != unit})
    assert units.dimension(unit) == known


def test_unknown_unit_has_no_dimension() -> None:
    assert units.dimension("degX") is None
    assert units.dimension("") in (None, "")


# As providers of air quality, energy, traffic and weather data write them, each with the unit it is stored in.
SPELLINGS = """
    % percent; 1/cm^3 1/cm^3; C degC; Deg C degC; EUR/MWh EUR/MWh; F degF; GB GB; MW GW; Mbit/s Mbit/s; NTU NTU;
    W/m² W/m^2; bps bps; celsius degC; count count; dBm dBm; deg degree; inHg hPa; kWh kWh; kilowatt_hour kWh; kt m/s;
    lux lux; mb hPa; mg/m³ ug/m^3; mm/h mm/h; okta okta; okta percent; pH pH; ppb ppb; ppm dimensionless; ppm ppm;
    ug/m3 ug/m^3; ugm-3 ug/m^3; var var; ° degree; °C degC; µg m-3 ug/m^3; µg/m³ ug/m^3; μg/m³ ug/m^3; ug m-3 ug/m^3;
    p/kWh GBP/MWh; ct/kWh EUR/MWh; €/MWh EUR/MWh; $/MWh USD/MWh; kEUR EUR; veh/h veh/min; m3/s l/s; cfs m^3/s;
    Wm-2 W/m^2; W m-2 W/m^2; MJ/m2 kWh/m^2; kvar var; nmol/mol ppb; Deg F degC; hectopascal mb; knots m/s; people count;
    c degC; f degC; hpa mbar; PPB ppb; ppmv ppm; Parts per billion ppb; Micrograms/cubic meter (LC) ug/m^3; vph veh/min;
    Degrees Fahrenheit degC; Percent relative humidity percent; Euro/MWh EUR/kWh; cars/h veh/h; gpm l/s; cumec m^3/s;
    dB(A) dBA; bikes count; gCO2/kWh kg/MWh; EUR/tCO2 EUR/kg; kvarh varh; vol% percent; statute mile km; NM km; PJ TWh;
    Erlang Erlang; index dimensionless; CFU/100ml CFU/l; mcg/m3 mg/m^3; Torr hPa; MiB/s Mbit/s; kva kW; cpm 1/h;
    bit Mbit; byte Mbit
"""


@pytest.mark.parametrize("line", [" ".join(each.split()) for each in SPELLINGS.split(";")])
def test_spellings_of_providers_convert(line: str) -> None:
    source, target = line.rsplit(" ", 1)
    assert units.obstacle_to(source, target) is None
    assert re.search(units.pattern(), source)
    factor, offset = units.conversion(source, target)
    back, shift = units.conversion(target, source)
    assert (20 * factor + offset) * back + shift == pytest.approx(20)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("dBm", "mW"), ("mW", "dBm"), ("ppb", "ug/m^3"), ("EUR/MWh", "USD/MWh"), ("NTU", "percent"), ("pH", "ppm")),
        *(("percent", "Mbit"), ("percent", "Mbit/s"), ("count", "bit"), ("kB", "dimensionless")),
    ],
)
def test_what_no_factor_and_offset_convert_is_refused_by_name(source: str, target: str) -> None:
    says = units.obstacle_to(source, target)
    assert says is not None
    assert says.startswith(f"does not convert to unit {target!r}")
    with pytest.raises(AeroCastError, match=source):
        units.conversion(source, target)


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("degC", "degF", 100.0, 212.0),
        ("degF", "degC", 14.0, -10.0),
        ("degF", "degF", 13.0, 13.0),
        ("m/s", "km/h", 10.0, 36.0),
        ("inch", "mm", 0.01, 0.254),
        ("mile", "km", 10.0, 16.09344),
        ("kelvin", "degC", 0.0, -273.15),
    ],
)
def test_conversions_are_affine(source: str, target: str, value: float, expected: float) -> None:
    factor, offset = units.conversion(source, target)
    assert value * factor + offset == pytest.approx(expected, abs=1e-12)
