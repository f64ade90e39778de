"""Units and spellings that data providers use and pint does not know, as definitions and a table of spellings."""

import re
from functools import cache

_CURRENCIES = """
    EUR USD GBP AUD CAD NZD CHF SEK NOK DKK ISK PLN CZK HUF RON BGN RSD UAH TRY JPY CNY INR KRW TWD SGD HKD THB IDR
    MYR PHP VND BRL MXN ARS CLP COP PEN ZAR NGN KES EGP MAD ILS AED SAR QAR KWD PKR
"""

# What is counted; each is pint's count.
_COUNTED = """
    vehicle car bike rental trip passenger person user visitor customer device session request call message packet event
    item order click ticket
"""

# In pint's own language. Each currency and each scale is a dimension of its own, so none converts to another.
DEFINITIONS = (
    "ppb = 1e-9",
    "okta = 0.125 = okta = octa = eighth",
    "tenth = 0.1",
    "fraction = 1",
    "erlang = 1 = erlang = Erlang",
    "NTU = [turbidity] = NTU = FNU = FTU",
    "pH = [acidity]",
    "PSU = [salinity] = PSU = psu",
    "beaufort = [beaufort_scale] = Bft = bft = Beaufort",
    "volt_ampere_reactive = volt * ampere = var = VAr = VAR",
    "volt_ampere_reactive_hour = volt * ampere * hour = varh = VArh",
    "dBA = [sound_level]",
    "dBZ = [radar_reflectivity]",
    "DU = [ozone_column] = DU = dobson",
    "UVI = [uv_index]",
    "AQI = [air_quality_index]",
    "CFU = count = cfu",
    *(f"{each} = count" for each in _COUNTED.split()),
    "@alias vehicle = veh",
    "@alias passenger = pax",
    "@alias person = people",
    "@alias request = req",
    "@alias packet = pkt",
    "vehicle_per_hour = count / hour = vph",
    "count_per_minute = count / minute = cpm",
    "cubic_foot_per_second = foot ** 3 / second = cfs = cusec",
    "cubic_meter_per_second = meter ** 3 / second = cumec",
    "gallon_per_minute = gallon / minute = gpm",
    "million_gallon_per_day = 1e6 * gallon / day = MGD",
    "carbon_dioxide_gram = gram = gCO2",
    "carbon_dioxide_tonne = metric_ton = tCO2",
    *(f"{code} = [currency_{code}]" for code in _CURRENCIES.split()),
    "eurocent = 0.01 * EUR = ct",
    "penny = 0.01 * GBP = p = pence",
    "@alias EUR = euro = Euro",
    "@alias USD = dollar",
)

# Whole texts that pint does not read, or reads as something else: C is its coulomb, mb its millibarn.
_SPELLINGS = {
    spelling: usual
    for usual, spellings in {
        "degC": "C|c|°C|°c|Deg C|deg C|deg_C|DegC|degrees C|Degrees C|Degrees Celsius|degrees Celsius|Celsius|celsius",
        "degF": "F|f|°F|°f|Deg F|deg F|deg_F|DegF|degrees F|Degrees F|Degrees Fahrenheit|Fahrenheit|fahrenheit",
        "kelvin": "K|Kelvin",
        "mbar": "mb|mbar|millibar|millibars|Millibars",
        "hPa": "hpa|HPA|HPa",
        "kPa": "kpa|KPa",
        "percent": "%|pct|per cent|Percent|%RH|% RH|Percent relative humidity|% vol|vol%|vol-%",
        "dimensionless": "-|index|score|1",
        "degree": "°|deg|degrees|Deg|Degrees|Degrees Compass|degrees true",
        "knot": "kt|kts|kn|knots|Knots",
        "mile": "statute mile|sm",
        "nautical_mile": "NM",
        "km/h": "kph|km/hr|kmh|kmph",
        "m/s": "mps|m/sec|m s-1|ms-1|Meters/second|meters/second",
        "mph": "Miles/hour|miles per hour",
        "W/m^2": "w/m2|W/m2|W/m²|Wm-2|W m-2",
        "W": "Watt|watts",
        "kV*A": "kva|KVA",
        "ohm": "Ohm",
        "torr": "Torr",
        "kWh": "kwh|KWh|KWH|kilowatt_hour|kilowatt hour|kilowatt-hour|kW h",
        "MWh": "mwh|MWH",
        "UVI": "UV index|uv index",
        "dBA": "dB(A)|db(A)",
        "CFU/dl": "CFU/100ml|CFU/100 ml|MPN/100ml|MPN/100 ml",
        "ppb": "PPB|ppbv|ppbV|parts per billion|Parts per billion",
        "ppm": "PPM|ppmv|ppmV|parts per million|Parts per million",
        "ug/m^3": "Micrograms/cubic meter|Micrograms/cubic meter (LC)|Micrograms/cubic meter (25 C)|mcg/m3",
    }.items()
    for spelling in spellings.split("|")
} | {
    f"{prefix}g{form}": f"{plain}g/m^3"
    for prefix, plain in {"u": "u", "µ": "u", "μ": "u", "m": "m", "n": "n"}.items()
    for form in ("/m3", "/m³", "/m^3", "m-3", " m-3", ".m-3", " m^-3", "/cubic meter", "/m**3")
}
_SIGNS = str.maketrans({"€": "EUR", "£": "GBP", "$": "USD"})
_POWER = re.compile(r"(?<=[A-Za-zµμ])(-?\d+)(?![\w.])")


@cache
def spelling(unit: str) -> str:
    """The usual spelling of a unit; itself if there is none."""
    text = " ".join(unit.split()).translate(_SIGNS)
    return _SPELLINGS.get(text, text)


def with_powers(unit: str) -> str:
    """The unit with its powers marked: `m^3` for `m3`, `m^-2` for `m-2`."""
    return _POWER.sub(r"^\1", unit)


def spellings() -> tuple[str, ...]:
    """Every text that has a usual spelling other than itself."""
    return tuple(_SPELLINGS)
