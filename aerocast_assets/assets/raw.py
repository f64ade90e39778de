"""raw: readings as delivered, appended exactly once; and the source they come from, observed for changes."""

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast_assets.assets.describe import sample, status
from aerocast_assets.keys import FOLLOW, HOURLY, key, months, table
from aerocast_assets.resources import Platform


def source(feed: Feed) -> dg.SourceAsset:
    """`<feed>/source`: its data version is a fingerprint of what the source holds now."""

    @dg.observable_source_asset(
        key=key(feed, "source"),
        group_name=feed.name,
        description=f"Where the readings of {feed.name} come from: {feed.source.package or ''} {feed.source.path}",
        automation_condition=HOURLY,
    )
    def observe() -> dg.DataVersion:
        from aerocast.sources import fingerprint

        return dg.DataVersion(fingerprint(feed.source))

    return observe


def raw(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/raw`: a delivery that is already there is not written again."""

    @dg.asset(
        key=key(feed, "raw"),
        deps=[key(feed, "source")],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=feed.name,
        kinds={"deltalake"},
        code_version=code_version("sources/csv", "sources/base"),
        description="Readings as delivered, with station, UTC time, source and segment id. Append-only, exactly once.",
        automation_condition=FOLLOW,
    )
    def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.lake import Lake
        from aerocast.sources import read

        lake, name = Lake(platform.root), table(feed, "raw")
        rows = new = appended = 0
        segments = []
        for delivery in read(feed.source, feed, context.partition_keys):
            fresh = lake.append(name, delivery.table, delivery.segment, delivery.slot)
            rows, new, appended = rows + len(delivery.table), new + fresh * len(delivery.table), appended + fresh
            segments.append(delivery.segment)
            context.add_asset_metadata({"dagster/row_count": len(delivery.table)}, partition_key=delivery.month)
        context.log.info(f"{rows} readings in {len(segments)} segments, {appended} segments new ({new} readings)")
        return dg.MaterializeResult(
            metadata={
                **status(appended),
                "rows": rows,
                "rows_new": new,
                "segments": len(segments),
                "segments_new": appended,
                "delta_version": lake.version(name),
                "preview": sample(lake, name),
            },
            data_version=dg.DataVersion(config_hash(segments=segments)),
        )

    return asset
