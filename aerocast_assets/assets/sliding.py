"""sliding: overlapping windows of readings, for what looks closer than the forecasting grid."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast.words import duration
from aerocast_assets.assets.describe import count_rows, status
from aerocast_assets.assets.silver import series
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import forward, key, months, pool, table
from aerocast_assets.partitions import computed, out_of_date
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.lake import Lake

CODE = code_version("aerocast.sliding")


def sliding_layer(feed: Feed) -> list[dg.AssetsDefinition]:
    """`<feed>/sliding`, for a feed that declares such windows."""
    return [sliding(feed)] if feed.sliding else []


def inputs(feed: Feed, lake: "Lake", partitions: Sequence[str], newest: datetime) -> dict[str, list[str]]:
    """What rows each month is made of: marks of bronze's, a little way into the next month, and where it is final."""
    from aerocast import marks
    from aerocast.sliding import last_end, reach

    held = marks.around(lake, table(feed, "bronze"), partitions, after=reach(feed))
    for month in partitions:
        held[month].append(str(last_end(feed, month, newest)))
    return held


def sliding(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/sliding`; a late reading makes the months anew whose windows hold it, and no other."""
    plan = f"{duration(feed.sliding.size)} every {duration(feed.sliding.every)}" if feed.sliding else ""

    @dg.asset(
        key=key(feed, "sliding"),
        deps=[key(feed, "bronze")],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=pool(feed),
        group_name=feed.name,
        kinds={"deltalake", "duckdb"},
        code_version=CODE,
        description=f"Overlapping windows of readings ({plan}): mean, std, min, max and count of each.",
        automation_condition=forward(feed),
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import sliding as layer
        from aerocast.lake import Lake
        from aerocast.marks import Edges, made_from
        from aerocast.times import EARLIEST

        lake, partitions = Lake(platform.root), sorted(context.partition_keys)
        source, name = table(feed, "bronze"), table(feed, "sliding")
        span = lake.span(source)
        newest = span[1] if span else EARLIEST
        held = inputs(feed, lake, partitions, newest) if span else {}
        parts = {"series": series(feed), **feed.model_dump(mode="json", include={"sliding"})}
        parts |= {"code": CODE, "salt": platform.hash_salt}
        hashes = {month: config_hash(**parts, bronze=held[month]) for month in held}
        # Without a reading there is nothing to make, and nothing wrong either.
        stale = out_of_date(lake, source, name, hashes, force=config.force)
        with platform.sql() as con:
            for piece in lake.chunks(source, stale):
                rows = layer.build(con, feed, lake.relation(con, source, layer.months_read(feed, piece)), piece, newest)
                made, origins = ({month: hashes[month] for month in piece}, {m: made_from(held[m]) for m in piece})
                lake.replace(name, rows, piece, made, origins, edges=Edges())
        context.log.info(computed(stale, partitions))
        return dg.MaterializeResult(
            metadata={
                **status(stale),
                "months_computed": len(stale),
                **count_rows(context, lake, [name], partitions, stale),
                "newest": str(newest) if span else "no reading yet",
                "final_until": str(layer.final_until(feed, newest)) if span else "no reading yet",
            },
            data_version=data_version(context, contents(lake, name, partitions, platform.hash_salt)),
        )

    return asset
