"""Declares the layers of a feed: bronze from raw, silver and sliding from bronze, windows from silver."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from duckdb import DuckDBPyConnection, DuckDBPyRelation

from aerocast.common.months import month_span
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader, Rows, connection
from aerocast.lake.fingerprints import Edges
from aerocast.tables.modules import MODULES
from aerocast.tables.staleness import ROWS, Facts, Layer, edges_of

Months: TypeAlias = Sequence[str]
FAULTS = "faults"  # the part of bronze's origin that says which sensor faults its readings were judged with


def layers_of(feed: Feed) -> list[Layer]:
    """Every layer below raw, from bronze to the windows of each target."""
    layers = [_bronze(feed), *([_sliding(feed)] if feed.sliding else []), _silver(feed)]
    layers += [_windows(feed, target) for target in feed.targets]
    return [replace(layer, edges=edges_of(layers, layer.table)) for layer in layers]


def layers_called(feed: Feed, name: str) -> list[Layer]:
    """The layer of this name; for `windows` one for each target."""
    return [layer for layer in layers_of(feed) if layer.table.rpartition("/")[2] == name]


def raw_edges(feed: Feed) -> Edges:
    """How far bronze reads over the borders of raw's months; an append to raw records the content of these edges."""
    return edges_of([_bronze(feed)], f"{feed.name}/raw")


def stale_months(
    feed: Feed, lake: LakeReader, now: datetime, later: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """The months that any layer has made from other content than there is above it now, by part, oldest first.

    A step that is over at the feed's `now` counts as new rows of silver, even if no reading came since. Below bronze a
    layer that does not exist yet has no stale months. A month in `later` (table -> month) waits if it alone is stale.
    """
    stale: dict[str, set[str]] = {}
    with connection() as con:
        for layer in layers_of(feed):
            # Raw may exist before the first run has made bronze.
            if layer.table == f"{feed.name}/bronze" or lake.exists(layer.table):
                for part, months in layer.changes(con, lake, now).items():
                    if months != [(later or {}).get(layer.table)]:
                        stale.setdefault(part, set()).update(months)
    return {part: sorted(months) for part, months in stale.items()}


def _bronze(feed: Feed) -> Layer:
    """Bronze and the quarantine."""
    raw, good, bad = (f"{feed.name}/{layer}" for layer in ("raw", "bronze", "quarantine"))

    def observe(con: DuckDBPyConnection, lake: LakeReader, months: Months, now: datetime) -> Facts | None:
        from aerocast.tables import faults, quality, roster

        if not lake.exists(raw):
            return None
        every = faults.read_faults(con, lake, f"{feed.name}/faults")
        future = quality.count_future(con, lake, feed, months, now)
        relevant = {month: faults.relevant_faults(every, month, quality.step_reach(feed)) for month in months}
        parts = {
            ROWS: {month: [f"{count} ahead"] for month, count in future.items()},
            FAULTS: {month: [str(fault) for fault in own] for month, own in relevant.items()},
        }
        return Facts((now, every, roster.read(con, lake, feed)), parts)

    def build(con: DuckDBPyConnection, rows: DuckDBPyRelation, months: Months, value: Any) -> Mapping[str, Rows]:
        from aerocast.tables import quality, roster

        now, every, members = value
        cleaned = quality.clean(con, roster.complete(feed, members), rows, months, now, every)
        # Quarantine first: a kill in between leaves bronze out of date, so both are made again.
        return {bad: cleaned.quarantine, good: cleaned.bronze}

    from aerocast.tables import quality

    reach = quality.step_reach(feed)
    # Who sent a reading, and that a value is questioned, does not matter below.
    ignore = ("segment", "flags")
    return Layer(good, raw, MODULES["bronze"], _rules(feed), build, reach, reach, observe, (FAULTS,), ignore)


def _rules(feed: Feed) -> dict[str, Any]:
    """The part of the declaration that decides what becomes of a reading; the name of a column in a CSV does not."""
    column_fields = {
        "name",
        "field",
        "aliases",
        "former",
        "missing",
        "source_unit",
        "unit",
        "range",
        "max_step",
        "circular",
    }
    # Left out where they are not declared, so that the tables of older declarations stay as they are.
    later_fields = {"texts", "factor", "offset", "status_field", "gas", "molar_mass", "at"}
    source_fields = {"missing", "withdrawn", "station_field", "time_field", "timezone"}
    time_fields = {"time_format", "time_marks", "time_period", "repeated_hour", "skipped_hour"}
    later_source_fields: Any = dict.fromkeys({*time_fields, "status"}, True) | {"format": {"decimal", "thousands"}}
    return {
        "columns": [
            column.model_dump(mode="json", include=column_fields)
            | column.model_dump(mode="json", include=later_fields, exclude_defaults=True)
            for column in feed.columns
        ],
        "stations": [[station.id, *station.aliases] for station in feed.stations],
        "source": feed.source.model_dump(mode="json", include=source_fields)
        | feed.source.model_dump(mode="json", include=later_source_fields, exclude_defaults=True),
        **feed.model_dump(mode="json", include={"cadence", "start", "end"}),
        **feed.model_dump(mode="json", include={"open_stations"}, exclude_defaults=True),
    }


def _silver(feed: Feed) -> Layer:
    from aerocast.tables import silver

    def observe(con: DuckDBPyConnection, lake: LakeReader, months: Months, now: datetime) -> Facts | None:
        from aerocast.tables import roster, wholeness

        if (span := wholeness.span_of(lake, feed)) is None:
            return None
        progress = wholeness.progress(con, lake, feed, span[1])
        extent = wholeness.extent(roster.complete(feed, roster.read(con, lake, feed)), span, progress, now)
        return Facts((extent, progress), {ROWS: {month: _ends(extent, month) for month in months}})

    def build(con: DuckDBPyConnection, rows: DuckDBPyRelation, months: Months, value: Any) -> Mapping[str, Rows]:
        return {f"{feed.name}/silver": silver.build(con, feed, rows, months, value[0])}

    table, source = f"{feed.name}/silver", f"{feed.name}/bronze"
    before, after = silver.lookback(feed), silver.lookahead(feed)
    return Layer(table, source, MODULES["silver"], _grid(feed), build, before, after, observe=observe)


def _ends(extent: Any, month: str) -> list[str]:
    """Where the grid begins and ends in a month."""
    first, end = month_span(month)
    ends = [f"{station} {after}" for station, after in extent.ends.items() if after < end]
    return [str(max(first, extent.first)), *(ends or [str(end)])]


def _series(feed: Feed) -> dict[str, Any]:
    """The part of the declaration that shapes a layer's series; of a range only the power of two above it."""
    from aerocast.tables.silver import bound, names

    circular = {column.name for column in feed.columns if column.circular}
    angles = circular | {each.direction for each in feed.vectors}
    return {
        "columns": [
            [column.name, column.circular, column.unit if column.name in angles else ""] for column in feed.columns
        ],
        "bounds": [bound(feed, name) for name in names(feed) if name not in circular],
        **_quantities(feed),
        **feed.model_dump(mode="json", include={"vectors"}),
    }


def _quantities(feed: Feed) -> dict[str, Any]:
    """How the values of steps follow from readings, of the columns whose value is not the mean; empty without any."""
    own = {
        column.name: [column.quantity, column.min_readings, column.max_step if column.quantity == "counter" else None]
        for column in feed.columns
        if not column.is_averaged
    }
    return {"quantities": own} if own else {}


def _grid(feed: Feed) -> dict[str, Any]:
    """The part of the declaration that shapes the grid."""
    from aerocast.tables import steps

    own = feed.model_dump(mode="json", include={"cadence", "gap_policy"})
    gaps = {column.name: column.gap for column in feed.columns if column.gap}
    zones = feed.zones if steps.follow_clock(feed) else {}
    return {
        **_series(feed),
        "stations": feed.station_ids,
        **own,
        **({"gaps": gaps} if gaps else {}),
        **({"zones": zones} if zones else {}),
    }


def _sliding(feed: Feed) -> Layer:
    from aerocast.tables import quantities, sliding

    def observe(_: DuckDBPyConnection, lake: LakeReader, months: Months, __: datetime) -> Facts | None:
        if (span := lake.span(f"{feed.name}/bronze")) is None:
            return None
        return Facts(span[1], {ROWS: {month: [str(sliding.last_end(feed, month, span[1]))] for month in months}})

    def build(con: DuckDBPyConnection, rows: DuckDBPyRelation, months: Months, value: Any) -> Mapping[str, Rows]:
        return {f"{feed.name}/sliding": sliding.build(con, feed, rows, months, value)}

    declaration = {"series": _series(feed), **feed.model_dump(mode="json", include={"sliding"})}
    table, source = f"{feed.name}/sliding", f"{feed.name}/bronze"
    before, after = quantities.reach(feed), sliding.lookahead(feed)
    return Layer(table, source, MODULES["sliding"], declaration, build, before, after, observe)


def _windows(feed: Feed, target: str) -> Layer:
    import msgspec

    from aerocast.features.grid import WindowSpec
    from aerocast.tables import silver, training

    spec, table = WindowSpec.of(feed, target), f"{feed.name}/{target}/windows"

    def build(con: DuckDBPyConnection, rows: DuckDBPyRelation, months: Months, _: Any) -> Mapping[str, Rows]:
        return {table: training.table(spec, silver.grids(con, feed, rows), months)}

    before, after = training.lookback_and_horizon(spec)
    declaration, source = {"spec": msgspec.to_builtins(spec)}, f"{feed.name}/silver"
    return Layer(table, source, MODULES["windows"], declaration, build, before, after, chunk=training.PIECE)
