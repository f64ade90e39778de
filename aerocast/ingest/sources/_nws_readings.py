"""Parses what api.weather.gov answers into readings as text in the declared source units.

A value's unit is what its own `unitCode` says, never what its name suggests: wind was in m/s in 2019 and is in km/h
now. A unit that is not known stays behind the number, and bronze puts the reading aside with that text.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, NamedTuple

from aerocast.common.errors import AeroCastError
from aerocast.common.times import from_iso
from aerocast.common.units import conversion, dimension, obstacle_to
from aerocast.feed.declaration import Feed

# MADIS codes (with or without `qc:`): V verified, S screened, C coarse pass, Z not checked, G good by hand are fine.
FLAGS = {"X": "X", "B": "X", "Q": "Q"}  # X rejected, B bad by hand, Q questioned

_PREFIX = re.compile(r"^(wmoUnit:|unit:|https?://codes\.wmo\.int/common/unit/)")
_PART = re.compile(r"([A-Za-z]+)(-?\d+)?")
_ODD_UNITS = {"degree_(angle)": "degree"}
_DIGITS = 10


class NwsReading(NamedTuple):
    """One observation: `values` is text by the API's name, "" for not measured; `time` is None if it cannot be read."""

    station: str
    time: datetime | None
    time_text: str
    values: tuple[str, ...]
    flags: str | None


class Page(NamedTuple):
    """Readings of one answer as they came, the address of the next page, and how many features held nothing at all."""

    readings: list[NwsReading]
    next_page: str | None
    empty: int


def field_units(feed: Feed) -> dict[str, str]:
    """The source unit of each field that the feed declares.

    Raises:
        AeroCastError: two columns want one field in two units, but raw holds one text of it.
    """
    units: dict[str, str] = {}
    for column in feed.columns:
        if units.setdefault(column.field, column.source_unit) != column.source_unit:
            raise AeroCastError(
                f"feed {feed.name}: columns.source_unit of field {column.field!r} is both {units[column.field]!r} and"
                f" {column.source_unit!r}: it can be stored in one unit only"
            )
    return units


def parse_page(body: bytes, feed: Feed, station: str) -> Page:
    """The readings in an answer of `/observations` or `/observations/latest` for this station.

    Raises:
        AeroCastError: it is not JSON, or not the shape of observations.
    """
    try:
        # Numbers stay the texts that they came as.
        document = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise AeroCastError(f"the answer for {station} is not JSON: {error}") from None
    features = _features(document)
    if features is None:
        raise AeroCastError(f"the answer for {station} is neither a Feature nor a collection with a list of features")
    observations = [feature["properties"] for feature in features if _is_observation(feature)]
    if features and not observations:
        raise AeroCastError(f"the answer for {station} holds {len(features)} features, and no observation among them")
    rows = [_reading(properties, feed, station) for properties in observations]
    readings = [reading for reading in rows if reading.time_text or any(reading.values)]
    pagination = document.get("pagination")
    next_page = pagination.get("next") if isinstance(pagination, dict) else None
    return Page(readings, next_page if isinstance(next_page, str) else None, len(features) - len(readings))


def convert_value(text: str, code: object, unit: str) -> str:
    """A number's text in `unit`, to ten digits; as it came if it is no number or in that unit already."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    factors = unit_factor(code, unit) if isinstance(code, str) else None
    if factors is None:
        return f"{text} {code}" if code else f"{text} without unitCode"
    scale, offset = factors
    return text if factors == (1.0, 0.0) else f"{float(number) * scale + offset:.{_DIGITS}g}"


@cache
def unit_factor(code: str, unit: str) -> tuple[float, float] | None:
    """`(factor, offset)` from a unit code (`wmoUnit:km_h-1`, `unit:m_s-1`) to `unit`; None if it cannot be told."""
    name = _PREFIX.sub("", code)
    parts = [_PART.fullmatch(part) for part in name.split("_")]
    if name in _ODD_UNITS:
        name = _ODD_UNITS[name]
    elif all(parts):
        name = " * ".join(f"{part[1]} ** {part[2]}" if part[2] else part[1] for part in parts if part)
    else:
        return None
    if dimension(name) is None or obstacle_to(name, unit):
        return None
    return conversion(name, unit)


def _features(document: Any) -> list[Any] | None:
    if not isinstance(document, dict):
        return None
    if document.get("type") == "Feature":
        return [document]
    features = document.get("features")
    return features if isinstance(features, list) else None


def _is_observation(feature: Any) -> bool:
    """Whether it has an observation's shape: what has no `timestamp`, not even null, is something else."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    return isinstance(properties, dict) and "timestamp" in properties


def _reading(properties: Mapping[str, Any], feed: Feed, station: str) -> NwsReading:
    units = field_units(feed)
    stamp = properties["timestamp"]
    text = stamp if isinstance(stamp, str) else "" if stamp is None else json.dumps(stamp)
    values = {field: properties.get(field) for field in units}
    codes = {field: _flag(value) for field, value in values.items()}
    flags = [f"{column.name}={codes[column.field]}" for column in feed.columns if codes[column.field]]
    return NwsReading(
        _station(properties) or station,
        from_iso(text),
        text,
        tuple(_value(values[field], unit) for field, unit in units.items()),
        " ".join(flags) or None,
    )


def _station(properties: Mapping[str, Any]) -> str:
    """The identifier that the observation itself gives, alone or at the end of the station's address."""
    for name in ("stationId", "station"):
        address = properties.get(name)
        if isinstance(address, str) and address.strip("/"):
            return address.rstrip("/").rsplit("/", 1)[-1]
    return ""


def _value(field: Any, unit: str) -> str:
    if field is None:
        return ""
    if not isinstance(field, dict):
        return f"{_text(field)} without unitCode"
    value = field.get("value")
    return "" if value is None else convert_value(_text(value), field.get("unitCode"), unit)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _flag(field: Any) -> str:
    """X or Q for a value that its sender rejects or questions, empty otherwise."""
    if not isinstance(field, dict) or field.get("value") is None:
        return ""
    code = field.get("qualityControl")
    return FLAGS.get(code.removeprefix("qc:"), "") if isinstance(code, str) else ""
