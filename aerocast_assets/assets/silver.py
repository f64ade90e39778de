"""silver: every station's readings on the feed's regular grid, with the age of each filled value."""

from typing import TYPE_CHECKING

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast.months import month_span
from aerocast_assets.assets.describe import sample, status
from aerocast_assets.keys import forward, key, months, table
from aerocast_assets.partitions import computed, out_of_date, with_neighbours
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.lake import Lake
    from aerocast.silver import Span

CODE = ("silver",)


def _hashes(feed: Feed, lake: "Lake", bronze: str, partitions: list[str], span: "Span") -> dict[str, str]:
    """What each month is computed from: declaration, code, the months of bronze around it, and the grid's own ends."""
    from aerocast.silver import months_read

    fields = {"columns", "vectors", "stations", "cadence", "gap_policy"}
    parts = {"feed": feed.model_dump(mode="json", include=fields), "code": code_version(*CODE)}
    around = {month: months_read(feed, [month]) for month in partitions}
    marks = lake.marks(bronze, sorted({near for months in around.values() for near in months}))
    hashes = {}
    for month in partitions:
        first, end = month_span(month)
        edges = [str(max(first, span[0])), str(min(end, span[1]))]
        hashes[month] = config_hash(**parts, span=edges, bronze=[marks.get(near, "") for near in around[month]])
    return hashes


def silver(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/silver`; its newest rows are also published as the tail that the server reads."""

    @dg.asset(
        key=key(feed, "silver"),
        deps=[dg.AssetDep(key(feed, "bronze"), partition_mapping=with_neighbours(after=0))],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=feed.name,
        kinds={"deltalake", "duckdb"},
        code_version=code_version(*CODE),
        description=f"Regular grid ({feed.cadence}), mean, std, min, max, count; gaps filled causally, with ages.",
        automation_condition=forward(feed),
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import durable, tail
        from aerocast import silver as layer
        from aerocast.lake import Lake

        lake, partitions = Lake(platform.root), sorted(context.partition_keys)
        source, name = table(feed, "bronze"), table(feed, "silver")
        span = lake.span(source)
        if span is None:
            raise dg.Failure(f"{source} holds no rows: every reading is in quarantine", allow_retries=False)
        hashes = _hashes(feed, lake, source, partitions, span)
        stale = out_of_date(lake, name, hashes, force=config.force)
        with platform.sql() as con:
            for piece in lake.chunks(source, stale):
                rows = layer.build(con, feed, lake.relation(con, source, layer.months_read(feed, piece)), piece, span)
                lake.replace(name, rows, piece, {month: hashes[month] for month in piece})
            newest = lake.months(name)[-2:]
            origin = config_hash(**lake.marks(name, newest), rows=feed.window.look_back)
            # Not `stale`: a run that was killed after the rows were committed has no stale month, but an old tail.
            if durable.made_from(tail.place(platform.root, feed.name)) != origin:
                grids = layer.grids(con, feed, lake.relation(con, name, newest), last=feed.window.look_back)
                durable.note_origin(tail.write(platform.root, feed.name, grids), origin)
        counts = lake.rows(name)
        for month in partitions:
            context.add_asset_metadata({"dagster/row_count": counts.get(month, 0)}, partition_key=month)
        context.log.info(computed(stale, partitions))
        return dg.MaterializeResult(
            metadata={
                **status(stale),
                "months_computed": len(stale),
                "rows": sum(counts.get(month, 0) for month in partitions),
                "newest": str(span[1]),
                "delta_version": lake.version(name),
                "preview": sample(lake, name),
            },
            data_version=dg.DataVersion(config_hash(months=hashes)),
        )

    return asset
