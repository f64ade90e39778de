"""bronze and quarantine: readings in canonical units that passed every rule, and those that did not, with why."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast_assets.assets.describe import preview, sample, status
from aerocast_assets.keys import forward, key, months, table
from aerocast_assets.partitions import computed, deliveries, out_of_date, with_neighbours
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.drift.state import Fault

CODE = ("quality", "units", "faults")
EXAMPLES = 20
SHOWN = ("station", "time", "rule", "reason")


def _hashes(
    feed: Feed,
    salt: str,
    commits: Mapping[str, list[str]],
    broken: "Sequence[Fault]",
    partitions: Sequence[str],
) -> dict[str, str]:
    """What each month is computed from: declaration, code, raw of the months around it, the faults that touch it."""
    from aerocast import faults
    from aerocast.quality import months_read, reach

    declared = feed.model_dump(mode="json", include={"source", "columns", "stations", "cadence", "start", "end"})
    parts = {"feed": declared, "code": code_version(*CODE), "salt": salt}
    return {
        month: config_hash(
            **parts,
            raw=[commits.get(near, []) for near in months_read(feed, [month])],
            faults=faults.touching(broken, month, reach(feed)),
        )
        for month in partitions
    }


def bronze(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/bronze`; `<feed>/quarantine` is written beside it, in the same step."""

    @dg.asset(
        key=key(feed, "bronze"),
        deps=[dg.AssetDep(key(feed, "raw"), partition_mapping=with_neighbours())],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=feed.name,
        kinds={"deltalake", "duckdb"},
        code_version=code_version(*CODE),
        description="One row per station and time, canonical units. What fails a rule is quarantined with its reason.",
        automation_condition=forward(feed),
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast import clock, faults
        from aerocast.lake import Lake
        from aerocast.quality import clean, months_read, reach

        lake, partitions = Lake(platform.root), sorted(context.partition_keys)
        now = clock.now(platform.root, feed.name, feed.end)
        raw, good, bad = (table(feed, layer) for layer in ("raw", "bronze", "quarantine"))
        with platform.sql() as con:
            commits, broken = deliveries(con, lake, raw), faults.read(con, lake, table(feed, "faults"))
            hashes = _hashes(feed, platform.hash_salt, commits, broken, partitions)
            stale = out_of_date(lake, good, hashes, force=config.force)
            for piece in lake.chunks(raw, stale):
                read = lake.relation(con, raw, months_read(feed, piece))
                cleaned = clean(con, feed, read, piece, now, broken)
                # Quarantine first: a kill in between leaves bronze out of date, so both are made again.
                lake.replace(bad, cleaned.quarantine, piece)
                lake.replace(good, cleaned.bronze, piece, {month: hashes[month] for month in piece})
            faults.note_applied(platform.root, feed.name, partitions, faults.digests(broken, now, reach(feed)))
            rejected = lake.relation(con, bad, partitions)
            reasons = dict(rejected.aggregate("rule, count(*)", "rule").fetchall())
            examples = rejected.select("station, time, rule, reason").order("time").limit(EXAMPLES).fetchall()
        rows, quarantined = lake.rows(good), lake.rows(bad)
        for month in partitions:
            context.add_asset_metadata({"dagster/row_count": rows.get(month, 0)}, partition_key=month)
        context.log.info(computed(stale, partitions))
        return dg.MaterializeResult(
            metadata={
                **status(stale),
                "months_computed": len(stale),
                "rows": sum(rows.get(month, 0) for month in partitions),
                "quarantined": sum(quarantined.get(month, 0) for month in partitions),
                "quarantined_by_rule": reasons,
                "quarantine": preview([dict(zip(SHOWN, row, strict=True)) for row in examples]),
                "delta_version": lake.version(good),
                "preview": sample(lake, good),
            },
            data_version=dg.DataVersion(config_hash(months=hashes)),
        )

    return asset
