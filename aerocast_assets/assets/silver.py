"""silver: every station's readings on the feed's regular grid, with the age of each filled value."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash, digest
from aerocast.months import month_span
from aerocast.words import duration
from aerocast_assets.assets.describe import count_rows, status
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import forward, key, months, pool, table
from aerocast_assets.partitions import computed, out_of_date
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.grid import Progress
    from aerocast.lake import Lake
    from aerocast.silver import Extent
    from aerocast.storage.home import Home

CODE = code_version("aerocast.wholeness")


def inputs(feed: Feed, lake: "Lake", partitions: Sequence[str], extent: "Extent") -> dict[str, list[str]]:
    """What rows each month is made of: marks of bronze's as far as a fill reaches, and where the grid itself ends."""
    from aerocast import marks
    from aerocast.silver import reach

    held = marks.around(lake, table(feed, "bronze"), partitions, before=reach(feed))
    for month in partitions:
        first, end = month_span(month)
        held[month].append(str(max(first, extent.first)))
        held[month] += [f"{station} {after}" for station, after in extent.ends.items() if after < end] or [str(end)]
    return held


def series(feed: Feed) -> dict[str, Any]:
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
    from aerocast.silver import bound, names

    angles = {column.name for column in feed.columns if column.circular}
    own = feed.model_dump(mode="json", include={"cadence", "gap_policy"})
    own["bounds"] = [bound(feed, name) for name in names(feed) if name not in angles]
    return {**series(feed), "stations": feed.station_ids, **own}


def silver(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/silver`; its newest rows are also published as the tail that the server reads."""

    @dg.asset(
        key=key(feed, "silver"),
        deps=[key(feed, "bronze")],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=pool(feed),
        group_name=feed.name,
        kinds={"deltalake", "duckdb"},
        code_version=CODE,
        description=f"Regular grid (every {duration(feed.cadence)}), mean, std, min, max, count; gaps filled causally, "
        "with ages.",
        automation_condition=forward(feed),
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import clock, wholeness
        from aerocast import silver as layer
        from aerocast.lake import Lake
        from aerocast.marks import Edges, made_from

        lake, partitions = Lake(platform.root), sorted(context.partition_keys)
        source, name = table(feed, "bronze"), table(feed, "silver")
        span, now = wholeness.span_of(lake, feed), clock.now(platform.root, feed.name, feed.end)
        if span is None:
            raise dg.Failure(f"{source} holds no rows: every reading is in quarantine", allow_retries=False)
        parts = {"grid": _grid(feed), "code": CODE, "salt": platform.hash_salt}
        # Windows look back before a month's start, and to the longest horizon after its end.
        edges = Edges(feed.horizons[-1] * feed.cadence, (feed.window.look_back - 1) * feed.cadence)
        with platform.sql() as con:
            known = wholeness.progress(con, lake, feed, span[1])
            extent = wholeness.extent(feed, span, known, now)
            held = inputs(feed, lake, partitions, extent)
            hashes = {month: config_hash(**parts, bronze=held[month]) for month in partitions}
            stale = out_of_date(lake, source, name, hashes, force=config.force)
            for piece in lake.chunks(source, stale):
                rows = layer.build(con, feed, lake.relation(con, source, layer.months_read(feed, piece)), piece, extent)
                made, origins = ({month: hashes[month] for month in piece}, {m: made_from(held[m]) for m in piece})
                lake.replace(name, rows, piece, made, origins, edges=edges)
            _publish(con, lake, platform.root, feed, known)
        context.log.info(computed(stale, partitions))
        return dg.MaterializeResult(
            metadata={
                **status(stale),
                "months_computed": len(stale),
                **count_rows(context, lake, [name], partitions, stale),
                "newest": str(span[1]),
                "whole_until": str(max(extent.ends.values())),
            },
            data_version=data_version(context, contents(lake, name, partitions, platform.hash_salt)),
        )

    return asset


def _publish(
    con: "DuckDBPyConnection", lake: "Lake", root: "Home", feed: Feed, known: "Mapping[str, Progress]"
) -> None:
    """The tail that the server reads, if it is not what silver holds now.

    Whether a month was stale says nothing: a run that was killed after its rows were committed leaves an old tail.
    """
    from aerocast import tail
    from aerocast.silver import grids
    from aerocast.storage.home import store_of

    name, place, rows = table(feed, "silver"), tail.name(feed.name), feed.window.look_back
    newest = lake.months(name)[-2:]
    progress = {
        station: [str(each.step), str(each.reading), digest(each.readings, each.usual)]
        for station, each in known.items()
    }
    origin = config_hash(content=lake.content(name, newest), rows=rows, progress=progress)
    if store_of(root).origin(place) != origin:
        made = grids(con, feed, lake.relation(con, name, newest), last=rows)
        tail.write(root, feed.name, {each: replace(grid, progress=known.get(each)) for each, grid in made.items()})
        store_of(root).note_origin(place, origin)
