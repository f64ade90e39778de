"""Finds out which column names the station, which are measured, in which units, and what is credible."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aerocast.common.units import dimension
from aerocast.ingest.inspection.clock import TimeColumns
from aerocast.ingest.inspection.sample import Sample, is_number

MOST_STATIONS, MOST_QUANTITIES = 1000, 60
_STATION = re.compile(
    r"station|site|sensor|device|meter|origin|location|place|code|^id$|_id$|name|region", re.IGNORECASE
)
_QUANTITY = re.compile(r"param|variable|pollutant|quantity|metric|measure|element|indicator|compon|type", re.IGNORECASE)
_VALUE = re.compile(r"^(value|val|wert|valor|reading|measurement|concentration|amount)$", re.IGNORECASE)
_INDEX = re.compile(r"^(unnamed.*|index|no|nr|instant|row|line|id|column0+)$", re.IGNORECASE)
# What people forecast, by what a name contains; the first that occurs counts.
_TARGETS = ("target", "demand", "load", "consum", "power", "price", "^cnt$|count|users", "pm_?2|no2|o3",
            "temp|tmax|tavg", "value", "_mw$|kwh", "down")  # fmt: skip
_UNIT = re.compile(r"[\[(]([^\[\]()]+)[\])]\s*$")
# Usual units by what a name begins with or contains; the first that fits counts.
_USUAL: tuple[tuple[str, str, tuple[float, float] | None], ...] = (
    (r"humid|(^|_)r?h(um)?(_|$)|percent|pct", "percent", (0, 110)),
    (r"press|barom|slp|(^|_)(pres|mslp|p)(_|$)", "hPa", (800, 1100)),
    (r"_f$|fahrenheit", "degF", None),
    (r"temp|dew|tavg|tmax|tmin|(^|_)t(_|$)", "degC", (-80, 60)),
    (r"mph", "mph", None),
    (r"dir|(^|_)wd(_|$)", "degree", (0, 360)),
    (r"wind|gust|speed|(^|_)ws(_|$)|awnd|wspm|veloc", "m/s", (0, 120)),
    (r"^(pm|no|o3|so2|ozone|nox|nh3|benz)", "ug/m^3", None),
    (r"(^|_)mw(_|$)", "MW", None),
    (r"kwh", "kWh", None),
    (r"rain|prcp|precip|snow", "mm", (0, 2000)),
    (r"count|cnt|users|passengers|vehicles", "count", None),
)  # fmt: skip
_SENTINELS = (-999.0, -9999.0, -99.0, -200.0, -99999.0, 999.0, 9999.0, 999.9, 9999.9, 99999.0, 1e20)
_AMOUNTS = ("mm", "inch", "Wh", "kWh", "MWh", "GWh")  # units of what is measured since the last reading
_OWN_NAMES = {"station", "time", "segment", "flags", "month", "delivery"}
_DERIVED = re.compile(r"_(age|mean|std|min|max|count|value)$")


class Stations(NamedTuple):
    """The column that names them (None: there is one that is not named), and the ids."""

    field: str | None
    ids: tuple[str, ...]


class Measured(NamedTuple):
    """A measured column as it is proposed; `missing` are numbers that stand for nothing, `is_guess` the unit.

    `quantity` is what adds up within a step: `sum`, `counter` for a total that only rises, else None.
    """

    name: str
    field: str
    unit: str
    is_guess: bool
    low: float
    high: float
    missing: tuple[float, ...]
    quantity: str | None = None


class Long(NamedTuple):
    """One row a quantity: the column that names it, the column of its value."""

    quantity: str
    value: str


def find_stations(sample: Sample, time: TimeColumns, long: Long | None, name: str) -> Stations:
    """The column that tells readings of one instant apart; `name` is the station of a file without one."""
    keys = [time.instants, *([sample.columns[long.quantity]] if long else [])]
    key_fields = {*time.fields, *(long or ())}
    others = {each: texts for each, texts in sample.columns.items() if each not in key_fields}
    repeated = _repeats(*keys)
    best: tuple[float, int, str] | None = None
    for at, (each, texts) in enumerate(others.items()):
        distinct = texts.nunique()
        is_named = bool(_STATION.search(each))
        if not 1 <= distinct <= min(MOST_STATIONS, max(1, len(texts) // 4)) or texts.isna().mean() > 0.01:
            continue
        if distinct == 1 and not (is_named and not texts.dropna().head(1).map(is_number).any()):
            continue
        gain = repeated - _repeats(*keys, texts)
        if distinct > 1 and gain < 0.02 + 0.5 * repeated:
            continue
        if not is_named and texts.dropna().map(is_number).all():
            continue
        score = (gain + 0.2 * is_named, -at, each)
        best = max(best, score) if best else score
    if best is None:
        return Stations(None, (name,))
    return Stations(best[2], tuple(sorted(sample.columns[best[2]].dropna().unique())))


def _repeats(*columns: pd.Series[Any]) -> float:
    """Share of the rows whose values of these columns occurred before together."""
    frame = pd.concat(columns, axis=1)
    return float(frame.duplicated().mean())


def find_long(sample: Sample, time: TimeColumns) -> Long | None:
    """The quantity's and the value's column, where an instant has several rows that such a column tells apart."""
    repeated = _repeats(time.instants)
    numeric = [name for name in sample.columns if name not in time.fields and _is_numeric(sample, name)]
    value = next((name for name in numeric if _VALUE.match(name)), None)
    if repeated < 0.3 or value is None:
        return None
    for name, texts in sample.columns.items():
        is_text = name not in (*time.fields, *numeric) and 2 <= texts.nunique() <= MOST_QUANTITIES
        if is_text and _QUANTITY.search(name) and _repeats(time.instants, texts) < repeated - 0.1:
            return Long(name, value)
    return None


def find_measured(sample: Sample, key_fields: Iterable[str], long: Long | None) -> tuple[list[Measured], list[str]]:
    """The columns of numbers that vary, and the names of those that are left out."""
    measured, left_out, names = [], [], set[str]()
    if long:
        groups = sample.columns[long.quantity]
        series = {
            str(quantity): sample.columns[long.value][groups == quantity]
            for quantity in sorted(groups.dropna().unique())
        }
    else:
        series = {name: texts for name, texts in sample.columns.items() if name not in {*key_fields}}
    for field, texts in series.items():
        numbers = to_numbers(texts, sample.format.get("decimal", "."))
        values = numbers.dropna()
        if len(values) < 0.5 * texts.notna().sum() or _is_no_quantity(field, values):
            left_out.append(field)
            continue
        one = _measured(field, values.to_numpy(), _column_name(field, names), sample.units.get(field))
        names.add(one.name)
        measured.append(one)
    return measured, left_out


def to_numbers(texts: pd.Series[Any], decimal: str) -> pd.Series[Any]:
    if decimal == ",":
        texts = texts.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return pd.to_numeric(texts, errors="coerce").replace([np.inf, -np.inf], np.nan)


def _is_numeric(sample: Sample, name: str) -> bool:
    numbers = to_numbers(sample.columns[name], sample.format.get("decimal", "."))
    return bool(numbers.notna().mean() > 0.5)


def _is_no_quantity(field: str, values: pd.Series[Any]) -> bool:
    """A running number, a class of few whole numbers, or always the same."""
    if values.nunique() < 3:
        return True
    steps = values.diff().dropna()
    if _INDEX.match(field) and (steps == 1).mean() > 0.9:
        return True
    is_whole = bool((values == values.round()).all())
    return is_whole and values.nunique() <= 32 and values.between(0, 31).all() and _usual(field, values) is None


def _usual(field: str, values: pd.Series[Any] | np.ndarray[Any, Any]) -> str | None:
    name, median = _snake(field), float(np.median(values))
    is_scaled = float(np.min(values)) >= 0 and float(np.max(values)) <= 1  # to shares of something
    for pattern, unit, span in _USUAL:
        if re.search(pattern, name) and (span is None or (span[0] <= median <= span[1] and not is_scaled)):
            return unit
    return None


def _measured(field: str, values: np.ndarray[Any, Any], name: str, unit_text: str | None) -> Measured:
    missing = _sentinels(values)
    values = values[~np.isin(values, missing)]
    unit = _written_unit(field, unit_text)
    low, high = _span(values)
    unit, is_guess = unit or _usual(field, values) or "dimensionless", unit is None
    return Measured(name, field, unit, is_guess, low, high, missing, _quantity(unit, values))


def _quantity(unit: str, values: np.ndarray[Any, Any]) -> str | None:
    """Energy and rain add up; a meter's total hardly ever falls."""
    if unit not in _AMOUNTS:
        return None
    steps = np.diff(values)
    return "counter" if (steps >= 0).mean() > 0.99 and (steps > 0).mean() > 0.2 else "sum"


def _written_unit(field: str, unit_text: str | None) -> str | None:
    for text in (unit_text, *map(str, _UNIT.findall(field))):
        if text and dimension(text.strip()) is not None:
            return text.strip()
    return None


def _sentinels(values: np.ndarray[Any, Any]) -> tuple[float, ...]:
    """Usual numbers for nothing that occur again and again, far from all others."""
    sentinels = []
    for number in _SENTINELS:
        is_it = values == number
        others = values[~np.isin(values, _SENTINELS)]
        if is_it.sum() < 2 or len(others) < 10:
            continue
        low, high = np.quantile(others, [0.001, 0.999])
        reach = max(high - low, 1e-9)
        if number < low - 0.5 * reach or number > high + 0.5 * reach:
            sentinels.append(number)
    return tuple(sentinels)


def _span(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """What is credible: as far beyond the quantiles as they lie apart, and all that is below them."""
    low, high = (float(each) for each in np.quantile(values, [0.001, 0.999]))
    reach = max(high - low, abs(high), abs(low), 1.0) if high == low else high - low
    least = float(values.min())
    bottom = 0.0 if least >= 0 else _round(min(low - reach, least), math.floor)
    return bottom, _round(high + 2 * reach, math.ceil)


def _round(value: float, direction: Any) -> float:
    """To two digits."""
    if not value:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{direction(value / scale) * scale:.6g}")


def _snake(field: str) -> str:
    text = _UNIT.sub("", field)
    text = re.sub(r"([a-z])([A-Z])", r"\1_\2", text)
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _column_name(field: str, names: set[str]) -> str:
    """A name that tables may have, and no other column has."""
    name = _snake(field) or "value"
    name = name if name[0].isalpha() else f"v{name}"
    if name in _OWN_NAMES or _DERIVED.search(name):
        name = f"{name}_measured"
    number, plain = 2, name
    while name in names:
        name, number = f"{plain}_{number}", number + 1
    return name


def choose_target(measured: Sequence[Measured]) -> Measured:
    """The column whose name says most that people want to know it; else the last."""
    for pattern in _TARGETS:
        for each in measured:
            if re.search(pattern, _snake(each.field)):
                return each
    return measured[-1]
