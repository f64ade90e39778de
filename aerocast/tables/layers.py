"""The layers of a feed: bronze of raw, silver and sliding of bronze, windows of silver; what each is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aerocast.common.months import month_span
from aerocast.feed.model import Feed
from aerocast.lake.fingerprints import Edges
from aerocast.tables.layer import ROWS, Facts, Layer, edges_of
from aerocast.tables.modules import MODULES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from aerocast.lake import LakeReader, Rows

FAULTS = "faults"  # the part of bronze's origin that says which sensor faults its readings were judged with


def layers_of(feed: Feed) -> list[Layer]:
    """Every layer below raw, in the order in which readings run through them."""
    layers = [_bronze(feed), *([_sliding(feed)] if feed.sliding else []), _silver(feed)]
    layers += [_windows(feed, target) for target in feed.targets]
    return [replace(layer, edges=edges_of(layers, layer.table)) for layer in layers]


def named(feed: Feed, name: str) -> list[Layer]:
    """The layers of one name: one, or of windows one a target."""
    return [layer for layer in layers_of(feed) if layer.table.rpartition("/")[2] == name]


def raw_edges(feed: Feed) -> Edges:
    """Raw's rows over a month's borders that its neighbours read: whoever appends to raw tells the lake of them."""
    return edges_of([_bronze(feed)], f"{feed.name}/raw")


def stale_months(feed: Feed, lake: "LakeReader", now: datetime) -> dict[str, list[str]]:
    """The months of which any layer was made from other content than is above it now, by part, oldest first.

    A step that is over at the feed's `now` counts as new rows of silver, even if no reading came since. Below bronze a
    layer that does not exist yet has no such month.
    """
    import duckdb

    stale: dict[str, set[str]] = {}
    with duckdb.connect() as con:
        for layer in layers_of(feed):
            # Raw may begin with a channel, which nobody waits for.
            if layer.table == f"{feed.name}/bronze" or lake.exists(layer.table):
                for part, months in layer.changes(con, lake, now).items():
                    stale.setdefault(part, set()).update(months)
    return {part: sorted(months) for part, months in stale.items()}


def _bronze(feed: Feed) -> Layer:
    """Bronze, and the quarantine beside it."""
    raw, good, bad = (f"{feed.name}/{layer}" for layer in ("raw", "bronze", "quarantine"))

    def observe(con: "DuckDBPyConnection", lake: "LakeReader", months: Sequence[str], now: datetime) -> Facts | None:
        from aerocast.tables import faults, quality

        if not lake.exists(raw):
            return None
        believed = faults.read(con, lake, f"{feed.name}/faults")
        later = quality.ahead(con, lake, feed, months, now)
        touching = {month: faults.touching(believed, month, quality.reach(feed)) for month in months}
        parts = {
            ROWS: {month: [f"{count} ahead"] for month, count in later.items()},
            FAULTS: {month: [str(fault) for fault in own] for month, own in touching.items()},
        }
        return Facts((now, believed), parts)

    def build(
        con: "DuckDBPyConnection", rows: "DuckDBPyRelation", months: Sequence[str], value: Any
    ) -> Mapping[str, "Rows"]:
        from aerocast.tables import quality

        cleaned = quality.clean(con, feed, rows, months, *value)
        # Quarantine first: a kill in between leaves bronze out of date, so both are made again.
        return {bad: cleaned.quarantine, good: cleaned.bronze}

    from aerocast.tables import quality

    reach = quality.reach(feed)
    # Who brought a reading, and that its value is doubted, changes nothing below.
    apart = ("segment", "flags")
    return Layer(good, raw, MODULES["bronze"], _rules(feed), build, reach, reach, observe, (FAULTS,), apart)


def _rules(feed: Feed) -> dict[str, Any]:
    """What of the declaration decides what becomes of a reading; how a column is called in a CSV, say, does not."""
    judged = {"name", "field", "aliases", "former", "missing", "source_unit", "unit", "range", "max_step", "circular"}
    read = {"missing", "withdrawn", "station_field", "time_field", "timezone"}
    return {
        "columns": [column.model_dump(mode="json", include=judged) for column in feed.columns],
        "stations": [[station.id, *station.aliases] for station in feed.stations],
        "source": feed.source.model_dump(mode="json", include=read),
        **feed.model_dump(mode="json", include={"cadence", "start", "end"}),
    }


def _silver(feed: Feed) -> Layer:
    from aerocast.tables import silver

    def observe(con: "DuckDBPyConnection", lake: "LakeReader", months: Sequence[str], now: datetime) -> Facts | None:
        from aerocast.tables import wholeness

        span = wholeness.span_of(lake, feed)
        if span is None:
            return None
        progress = wholeness.progress(con, lake, feed, span[1])
        extent = wholeness.extent(feed, span, progress, now)
        return Facts((extent, progress), {ROWS: {month: _ends(extent, month) for month in months}})

    def build(
        con: "DuckDBPyConnection", rows: "DuckDBPyRelation", months: Sequence[str], value: Any
    ) -> Mapping[str, "Rows"]:
        return {f"{feed.name}/silver": silver.build(con, feed, rows, months, value[0])}

    source, reach = f"{feed.name}/bronze", silver.reach(feed)
    return Layer(f"{feed.name}/silver", source, MODULES["silver"], _grid(feed), build, reach, observe=observe)


def _ends(extent: Any, month: str) -> list[str]:
    """Where the grid begins and ends within a month."""
    first, end = month_span(month)
    ends = [f"{station} {after}" for station, after in extent.ends.items() if after < end]
    return [str(max(first, extent.first)), *(ends or [str(end)])]


def _series(feed: Feed) -> dict[str, Any]:
    """What of the declaration shapes a layer's series; what is credible, or a column's name in a CSV, does not."""
    angles = {column.name for column in feed.columns if column.circular} | {each.direction for each in feed.vectors}
    return {
        "columns": [
            [column.name, column.circular, column.unit if column.name in angles else ""] for column in feed.columns
        ],
        **feed.model_dump(mode="json", include={"vectors"}),
    }


def _grid(feed: Feed) -> dict[str, Any]:
    """What of the declaration shapes the grid; of a range, only the power of two that sums are counted in parts of."""
    from aerocast.tables.silver import bound, names

    angles = {column.name for column in feed.columns if column.circular}
    own = feed.model_dump(mode="json", include={"cadence", "gap_policy"})
    own["bounds"] = [bound(feed, name) for name in names(feed) if name not in angles]
    return {**_series(feed), "stations": feed.station_ids, **own}


def _sliding(feed: Feed) -> Layer:
    from aerocast.tables import sliding

    def observe(_: "DuckDBPyConnection", lake: "LakeReader", months: Sequence[str], __: datetime) -> Facts | None:
        span = lake.span(f"{feed.name}/bronze")
        if span is None:
            return None
        return Facts(span[1], {ROWS: {month: [str(sliding.last_end(feed, month, span[1]))] for month in months}})

    def build(
        con: "DuckDBPyConnection", rows: "DuckDBPyRelation", months: Sequence[str], value: Any
    ) -> Mapping[str, "Rows"]:
        return {f"{feed.name}/sliding": sliding.build(con, feed, rows, months, value)}

    declaration = {"series": _series(feed), **feed.model_dump(mode="json", include={"sliding"})}
    source, reach = f"{feed.name}/bronze", sliding.reach(feed)
    return Layer(
        f"{feed.name}/sliding", source, MODULES["sliding"], declaration, build, after=reach, observe=observe
    )  # fmt: skip


def _windows(feed: Feed, target: str) -> Layer:
    import msgspec

    from aerocast.features.windows import WindowSpec
    from aerocast.tables import silver, training

    spec, table = WindowSpec.of(feed, target), f"{feed.name}/{target}/windows"

    def build(
        con: "DuckDBPyConnection", rows: "DuckDBPyRelation", months: Sequence[str], _: Any
    ) -> Mapping[str, "Rows"]:
        return {table: training.table(spec, silver.grids(con, feed, rows), months)}

    before, after = training.reach(spec)
    declaration = {"spec": msgspec.to_builtins(spec)}
    source = f"{feed.name}/silver"
    return Layer(table, source, MODULES["windows"], declaration, build, before, after, chunk=training.PIECE)
