"""The columns of the tables that a feed's assets write, and which columns above each is made of.

All of it follows from the declaration, so that loading reads no table; a test compares it with the tables.
"""

from collections.abc import Iterator
from typing import NamedTuple

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast.feed.layout import status_names
from aerocast.tables.raw import raw_names
from aerocast_assets.keys import key

# The layer whose columns a layer is made of; that of raw is a source, which has none.
_VALUES = dict.fromkeys(("instant", "mean"), "mean") | {
    "sum": "sum of the readings",
    "last": "newest reading",
    "min": "lowest reading",
    "max": "highest reading",
    "counter": "what the counter counted",
}
ABOVE = {"bronze": "raw", **dict.fromkeys(("silver", "sliding"), "bronze")}
ABOVE |= dict.fromkeys(("windows", "forecasts", "evaluation", "anomalies"), "silver")
FIGURES = {"mean": "double", "std": "double", "min": "double", "max": "double", "count": "integer"}
TIME, TEXT, NUMBER = "timestamp", "string", "double"


class _Column(NamedTuple):
    """A column as people read it; `above` are the columns of the layer above that it is made of."""

    name: str
    type: str
    description: str
    above: tuple[str, ...] = ()
    limits: str = ""


class _Series(NamedTuple):
    """What silver and sliding have several columns of: a declared column, or a component of a vector."""

    name: str
    unit: str
    above: tuple[str, ...]
    limits: str = ""


def column_metadata(feed: Feed, layer: str, target: str = "") -> dict[str, object]:
    """Dagster's column schema and column lineage of a layer; empty if the layer is no table."""
    columns = [*_COLUMNS[layer](feed, target)] if layer in _COLUMNS else []
    if not columns:
        return {}
    schema = [
        dg.TableColumn(
            each.name,
            each.type,
            each.description,
            dg.TableColumnConstraints(other=[each.limits] if each.limits else []),
        )
        for each in columns
    ]
    metadata: dict[str, object] = {"dagster/column_schema": dg.TableSchema(columns=schema)}
    if layer in ABOVE:
        parent = key(feed, ABOVE[layer])
        deps = {each.name: [dg.TableColumnDep(parent, name) for name in each.above] for each in columns if each.above}
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(deps)
    return metadata


def _raw(feed: Feed, _: str) -> Iterator[_Column]:
    yield _station(feed)
    yield _Column("time", TIME, "when it was measured, UTC; null if that cannot be read")
    yield _Column("time_text", TEXT, "the time as sent, if it cannot be read; or a malformed line")
    yield from _delivered()
    owner = {field: column for column in reversed(feed.columns) for field in column.fields}
    for field, name in raw_names(feed).items():
        meaning = f"{owner[field].name} as sent, {owner[field].source_unit}" if field in owner else "status as sent"
        yield _Column(name, TEXT, meaning)
    yield _Column("line", "bigint", "the row's place in its segment")
    yield _Column("month", TEXT, "the partition")
    yield _Column("delivery", "bigint", "the commit that brought it: the order of all that was delivered")


def _bronze(feed: Feed, _: str) -> Iterator[_Column]:
    yield _station(feed)
    yield _Column("time", TIME, "when it was measured, UTC", ("time",))
    names = raw_names(feed)
    for column in feed.columns:
        above = tuple(names[field] for field in (*column.fields, *status_names(feed, column)))
        low, high = column.range
        limits = f"{low:g} to {high:g} {column.unit}"
        yield _Column(column.name, NUMBER, f"{column.name}, {column.unit}; null if not believed", above, limits)
    yield from _delivered()[1:]
    yield _Column("month", TEXT, "the partition", ("time",))


def _silver(feed: Feed, _: str) -> Iterator[_Column]:
    yield _station(feed)
    yield _Column("time", TIME, "the beginning of the step, UTC", ("time",))
    columns = {column.name: column for column in feed.columns}
    for name, unit, above, limits in _series(feed):
        value = _VALUES[columns[name].quantity] if name in columns else _VALUES["mean"]
        yield _Column(name, NUMBER, f"{value} of the step, or the last value before it, {unit}", above, limits)
        yield _Column(f"{name}_age", "smallint", "steps since it was measured, 0 in its own step", above)
        yield from _figures(name, unit, above)
    yield _Column("month", TEXT, "the partition", ("time",))


def _sliding(feed: Feed, _: str) -> Iterator[_Column]:
    yield _station(feed)
    yield _Column("time", TIME, "the beginning of the window, UTC", ("time",))
    for name, unit, above, _limits in _series(feed):
        yield from _figures(name, unit, above)
        for column in feed.columns:
            if column.name == name and not column.is_averaged:
                value = _VALUES[column.quantity]
                yield _Column(f"{name}_value", NUMBER, f"{value} of the window, {unit}; null if not whole", above)
    yield _Column("readings", "integer", "how many readings the window has", ("time",))
    yield _Column("month", TEXT, "the partition", ("time",))


def _windows(feed: Feed, _: str) -> Iterator[_Column]:
    """Those of the windowed CSV: of the features beside it there are hundreds, which a release's manifest names."""
    for step in range(feed.window.steps):
        for name in feed.window.columns:
            column, back = feed.column(name), feed.window.steps - 1 - step
            yield _Column(
                f"t{step}_{column.short}", "float", f"{name} {back} steps before the origin, {column.unit}", (name,)
            )
    yield _Column("target", "float", f"the target {feed.horizons[0]} steps after the origin", feed.targets)


def _forecasts(feed: Feed, target: str) -> Iterator[_Column]:
    unit = feed.column(target).unit
    angles = {column.name for column in feed.columns if column.circular}
    inputs = tuple(each.name for each in _series(feed) if each.name not in angles)
    yield _station(feed)
    yield _Column("horizon", "integer", "steps ahead")
    yield _Column("origin", TIME, "the newest step that the forecast saw, UTC", ("time",))
    yield _Column("time", TIME, "the step that is forecast, UTC", ("time",))
    yield _Column("value", NUMBER, f"{target}, {unit}", inputs)
    yield _Column("lower", NUMBER, f"lower end of the interval, {unit}", inputs)
    yield _Column("upper", NUMBER, f"upper end of the interval, {unit}", inputs)
    yield _Column("level", NUMBER, "share of outcomes that the interval is made to hold")
    yield _Column("version", TEXT, "the release that forecast")
    yield _Column("issued_at", TIME, "when, UTC")


def _evaluation(feed: Feed, _: str) -> Iterator[_Column]:
    targets, unit = feed.targets, "in the target's unit"
    yield _Column("target", TEXT, "the forecast column")
    yield _Column("horizon", "integer", "steps ahead")
    yield _Column("version", TEXT, "the release that forecast")
    yield _Column("shadow", "boolean", "whether a challenger answered beside the champion")
    yield _Column("rmse", NUMBER, f"root of the mean squared error, {unit}", targets)
    yield _Column("bias", NUMBER, f"mean of forecast less outcome, {unit}", targets)
    yield _Column("mae", NUMBER, f"mean absolute error, {unit}", targets)
    yield _Column("coverage", NUMBER, "share of outcomes within their intervals", targets)
    yield _Column("rmse_persistence", NUMBER, f"RMSE of the last value on the same rows, {unit}", targets)
    yield _Column("rmse_seasonal_naive", NUMBER, f"RMSE of the last season on the same rows, {unit}", targets)
    yield _Column("skill", NUMBER, "1 - RMSE / RMSE of the better baseline", targets)
    yield _Column("degraded", "bigint", "forecasts that were made from filled values", targets)
    yield _Column("window_start", TIME, "the oldest outcome that counts, UTC", ("time",))
    yield _Column("window_end", TIME, "the newest outcome that counts, UTC", ("time",))
    yield _Column("n", "bigint", "outcomes that count", targets)
    yield _Column("missing", "bigint", "steps that are over and have no outcome", targets)
    yield _station(feed)


def _anomalies(feed: Feed, _: str) -> Iterator[_Column]:
    angles = {column.name for column in feed.columns if column.circular or column.lead is not None}
    series = tuple(each.name for each in _series(feed) if each.name not in angles)
    yield _station(feed)
    yield _Column("start", TIME, "the first surprising step, UTC", ("time",))
    yield _Column("end", TIME, "the end of the last surprising step, UTC; null while the event lasts", ("time",))
    yield _Column("last", TIME, "the newest surprising step, UTC", ("time",))
    yield _Column("peak", TIME, "the most surprising step, UTC", ("time",))
    yield _Column("severity", NUMBER, "surprise at the peak: 3 for once in a thousand steps, 4 in ten thousand", series)
    yield _Column("cause", TEXT, "sensor_fault, weather (seen at half of the other stations or more) or unknown")
    yield _Column("columns", TEXT, "share of each column in the peak, as JSON", series)
    yield _Column("detail", TEXT, "the value that stands out most at the peak, and where it lies", series)
    yield _Column("alarms", "bigint", "how often the event began or became worse", series)
    yield _Column("seen_at", TEXT, "other stations that were surprising in the same way then", series)
    yield _Column("others", "bigint", "other stations that were measured then", ("station",))
    yield _Column("month", TEXT, "the partition", ("time",))


def _station(feed: Feed) -> _Column:
    return _Column("station", TEXT, "which place or instrument", ("station",), ", ".join(feed.station_ids))


def _delivered() -> list[_Column]:
    return [
        _Column("source", TEXT, "where it came from"),
        _Column("segment", TEXT, "the delivery that brought it", ("segment",)),
        _Column("flags", TEXT, "what is said of single values, such as windspeed=Q", ("flags",)),
    ]


def _series(feed: Feed) -> Iterator[_Series]:
    for column in feed.columns:
        low, high = column.range
        yield _Series(column.name, column.unit, (column.name,), f"{low:g} to {high:g} {column.unit}")
    for vector in feed.vectors:
        for axis in "uv":
            yield _Series(f"{vector.name}_{axis}", feed.column(vector.speed).unit, (vector.speed, vector.direction))


def _figures(name: str, unit: str, above: tuple[str, ...]) -> Iterator[_Column]:
    for figure, kind in FIGURES.items():
        meaning = "how many readings" if figure == "count" else f"{figure} of the readings, {unit}"
        yield _Column(f"{name}_{figure}", kind, meaning, above)


_COLUMNS = {
    "raw": _raw,
    "bronze": _bronze,
    "silver": _silver,
    "sliding": _sliding,
    "windows": _windows,
    "forecasts": _forecasts,
    "evaluation": _evaluation,
    "anomalies": _anomalies,
}
