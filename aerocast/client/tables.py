"""Answers as Arrow tables: which columns they have, and of what type. Times are UTC, numbers float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

UTC = pa.timestamp("us", "UTC")
_TEXTS = pa.list_(pa.string())

FEEDS = pa.schema(
    [
        *((name, pa.string()) for name in ("feed", "description", "station", "name", "timezone")),
        ("newest_reading", UTC),
        ("targets", _TEXTS),
        ("columns", _TEXTS),
    ]
)
# `predict` adds a column q<level> for each level of the quantiles.
FORECASTS = pa.schema(
    [
        *((name, pa.string()) for name in ("feed", "station", "target", "unit")),
        ("origin", UTC),
        ("horizon", pa.int32()),
        ("time", UTC),
        *((name, pa.float64()) for name in ("value", "lower", "upper", "level")),
        ("served_by", pa.string()),
        *((name, pa.string()) for name in ("model", "version")),
        ("degraded", pa.bool_()),
        ("reasons", _TEXTS),
        ("issued_at", UTC),
        ("id", pa.string()),
    ]
)
HISTORY = pa.schema(
    [
        ("time", UTC),
        *((name, pa.string()) for name in ("target", "station")),
        ("horizon", pa.int32()),
        ("origin", UTC),
        ("issued_at", UTC),
        *((name, pa.float64()) for name in ("forecast", "lower", "upper", "level", "actual")),
        ("actual_from", pa.string()),
        ("error", pa.float64()),
        ("inside", pa.bool_()),
        *((name, pa.float64()) for name in ("persistence", "seasonal_naive")),
        *((name, pa.string()) for name in ("version", "model")),
        ("degraded", pa.bool_()),
        ("reasons", _TEXTS),
        ("id", pa.string()),
        ("asked", pa.int64()),
    ]
)
ANOMALIES = pa.schema(
    [
        ("station", pa.string()),
        *((name, UTC) for name in ("start", "end", "peak")),
        ("severity", pa.float64()),
        ("cause", pa.string()),
        ("columns", pa.map_(pa.string(), pa.float64())),
        ("detail", pa.string()),
        ("alarms", pa.int64()),
        ("seen_at", _TEXTS),
    ]
)
PARTS = pa.schema(
    [
        *((name, pa.string()) for name in ("feed", "station", "target", "unit")),
        ("horizon", pa.int32()),
        ("time", UTC),
        *((name, pa.float64()) for name in ("forecast", "base")),
        ("group", pa.string()),
        ("value", pa.float64()),
        ("features", pa.int64()),
    ]
)


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows' values under the schema's names, null where a row has none; times are texts of ISO 8601."""
    return pa.table([column([row.get(each.name) for row in rows], each.type) for each in schema], schema=schema)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values as one column."""
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.string()).cast(kind)
    if pa.types.is_map(kind):
        values = [None if each is None else list(each.items()) for each in values]
    return pa.array(values, kind)


def forecast_table(answer: Mapping[str, Any]) -> pa.Table:
    """A prediction: a row a horizon, with a column for each level of its quantiles."""
    common = _common(answer) | {"reasons": [each["code"] for each in answer["reasons"]]}
    common |= {"model": answer["model"]["kind"], "version": answer["model"]["version"]}
    rows = [common | one for one in answer["forecasts"]]
    levels = sorted({level for row in rows for level in row["quantiles"]}, key=float)
    quantiles = {f"q{level}": column([row["quantiles"].get(level) for row in rows], pa.float64()) for level in levels}
    whole = table(rows, FORECASTS)
    for name, values in quantiles.items():
        whole = whole.append_column(name, values)
    return whole


def parts_table(answer: Mapping[str, Any]) -> pa.Table:
    """An explained prediction: a row a horizon and group of inputs."""
    forecasts = {one["horizon"]: one for one in answer["forecasts"]}
    rows = [
        _common(answer)
        | {"horizon": each["horizon"], "time": forecasts[each["horizon"]]["time"], "base": each["base"]}
        | {"forecast": forecasts[each["horizon"]]["value"]}
        | part
        for each in answer["explanations"]
        for part in each["parts"]
    ]
    return table(rows, PARTS)


def readings_table(answer: Mapping[str, Any]) -> pa.Table:
    """The newest readings: a row a station and step, a column for each of the feed's, with its unit as metadata."""
    units = {each["column"]: each["unit"] for station in answer["stations"] for each in station["columns"]}
    rows = []
    for station in answer["stations"]:
        own = {each["column"]: each["values"] for each in station["columns"]}
        for at, time in enumerate(station["times"]):
            rows.append(
                {name: values[at] for name, values in own.items()} | {"station": station["station"], "time": time}
            )
    measured = [pa.field(name, pa.float64(), metadata={"unit": unit}) for name, unit in units.items()]
    return table(rows, pa.schema([("station", pa.string()), ("time", UTC), *measured]))


def feeds_table(answer: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The feeds: a row a station."""
    rows = [
        {
            "feed": feed["name"],
            "description": feed["description"],
            "targets": [each["name"] for each in feed["targets"]],
            "columns": [each["name"] for each in feed["columns"]],
            "station": station["id"],
            **{name: station[name] for name in ("name", "timezone", "newest_reading")},
        }
        for feed in answer
        for station in feed["stations"]
    ]
    return table(rows, FEEDS)


def _common(answer: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "feed", "station", "target", "unit", "issued_at", "origin", "level", "degraded")
    return {name: answer[name] for name in names}
