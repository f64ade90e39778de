"""raw: readings as delivered, appended exactly once; and the source they come from, observed for changes."""

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast_assets.assets.describe import sample, status
from aerocast_assets.keys import HOURLY, follow, key, table
from aerocast_assets.keys import months as partitions
from aerocast_assets.partitions import deliveries, newest
from aerocast_assets.resources import Platform


def source(feed: Feed) -> dg.SourceAsset:
    """`<feed>/source`: its data version is a fingerprint of what the source holds now."""

    @dg.observable_source_asset(
        key=key(feed, "source"),
        group_name=feed.name,
        description=f"Where the readings of {feed.name} come from: {feed.source.label}",
        automation_condition=HOURLY,
    )
    def observe(platform: Platform) -> dg.DataVersion:
        from aerocast import clock
        from aerocast.sources import fingerprint

        return dg.DataVersion(fingerprint(feed.source, feed, clock.now(platform.root, feed.name, feed.end)))

    return observe


def raw(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/raw`: a delivery that is already there is not written again."""

    @dg.asset(
        key=key(feed, "raw"),
        deps=[key(feed, "source")],
        partitions_def=partitions(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=feed.name,
        kinds={"deltalake"},
        code_version=code_version(f"sources/{feed.source.kind}", "sources/base"),
        description="Readings as delivered, with station, UTC time, source and segment id. Append-only, exactly once.",
        automation_condition=follow(feed),
    )
    def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import clock
        from aerocast.lake import Lake
        from aerocast.sources import read

        lake, name, months = Lake(platform.root), table(feed, "raw"), sorted(context.partition_keys)
        now = clock.now(platform.root, feed.name, feed.end)
        with platform.sql() as con:
            after = newest(con, lake, name, months) if feed.source.live else None
            new = appended = 0
            for delivery in read(feed.source, feed, months, now, after):
                fresh = lake.append(name, delivery.table, *delivery.once)
                new, appended = new + fresh * len(delivery.table), appended + fresh
            commits = deliveries(con, lake, name, months)
        held = {month: rows for month, rows in lake.rows(name).items() if month in months}
        for month, count in held.items():
            context.add_asset_metadata({"dagster/row_count": count}, partition_key=month)
        rows, segments = sum(held.values()), sum(map(len, commits.values()))
        context.log.info(f"{rows} readings in {segments} segments, {appended} segments new ({new} readings)")
        return dg.MaterializeResult(
            metadata={
                **status(appended),
                "rows": rows,
                "rows_new": new,
                "segments": segments,
                "segments_new": appended,
                "now": now.isoformat(timespec="seconds"),
                "delta_version": lake.version(name),
                "preview": sample(lake, name),
            },
            data_version=dg.DataVersion(config_hash(segments=commits)),
        )

    return asset
