"""bronze and quarantine: readings in canonical units that passed every rule, and those that did not, with why."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast_assets.assets.describe import preview, sample, status
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import forward, key, months, table
from aerocast_assets.partitions import computed, out_of_date
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.drift.state import Fault
    from aerocast.lake import Lake

CODE = ("quality", "units", "faults")
# Who brought a reading, and that its value is doubted, changes nothing below.
APART = ("segment", "flags")
EXAMPLES = 20
SHOWN = ("station", "time", "rule", "reason")


def inputs(feed: Feed, lake: "Lake", partitions: Sequence[str]) -> dict[str, list[str]]:
    """Marks of the rows that each month is made of: raw's, as far as the rules read it."""
    from aerocast import marks
    from aerocast.quality import reach

    return marks.around(lake, table(feed, "raw"), partitions, reach(feed), reach(feed))


def _hashes(
    feed: Feed, salt: str, raw: Mapping[str, list[str]], broken: "Sequence[Fault]", partitions: Sequence[str]
) -> dict[str, str]:
    """What each month is computed from: what the rules use, code, raw as far as they read it, the faults that touch."""
    from aerocast import faults
    from aerocast.quality import reach

    parts = {"rules": _rules(feed), "code": code_version(*CODE), "salt": salt}
    return {
        month: config_hash(**parts, raw=raw[month], faults=faults.touching(broken, month, reach(feed)))
        for month in partitions
    }


def _rules(feed: Feed) -> dict[str, Any]:
    """What of the declaration decides what becomes of a reading; how a column is called in a CSV, say, does not."""
    judged = {"name", "field", "source_unit", "unit", "range", "max_step", "circular"}
    return {
        "columns": [column.model_dump(mode="json", include=judged) for column in feed.columns],
        "stations": feed.station_ids,
        "source": feed.source.model_dump(mode="json", include={"missing", "station_field", "time_field"}),
        **feed.model_dump(mode="json", include={"cadence", "start", "end"}),
    }


def bronze(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/bronze`; `<feed>/quarantine` is written beside it, in the same step."""

    @dg.asset(
        key=key(feed, "bronze"),
        deps=[key(feed, "raw")],
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
        from aerocast.marks import NOTHING, Edges, made_from
        from aerocast.quality import clean, months_read, reach
        from aerocast.silver import reach as filled

        lake, partitions = Lake(platform.root), sorted(context.partition_keys)
        now = clock.now(platform.root, feed.name, feed.end)
        raw, good, bad = (table(feed, layer) for layer in ("raw", "bronze", "quarantine"))
        with platform.sql() as con:
            broken = faults.read(con, lake, table(feed, "faults"))
            # Looked up before the rows are read: what comes in between is found the next time.
            held = inputs(feed, lake, partitions)
            hashes = _hashes(feed, platform.hash_salt, held, broken, partitions)
            stale = out_of_date(lake, raw, good, hashes, force=config.force)
            # Sliding windows look into the month after theirs, silver's fills into the one before.
            ahead = feed.sliding.size - feed.sliding.every if feed.sliding else NOTHING
            for piece in lake.chunks(raw, stale):
                read = lake.relation(con, raw, months_read(feed, piece))
                cleaned = clean(con, feed, read, piece, now, broken)
                # Quarantine first: a kill in between leaves bronze out of date, so both are made again.
                lake.replace(bad, cleaned.quarantine, piece)
                made, origins = ({month: hashes[month] for month in piece}, {m: made_from(held[m]) for m in piece})
                edges = Edges(ahead, filled(feed))
                lake.replace(good, cleaned.bronze, piece, made, origins, edges=edges, apart=APART)
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
            data_version=data_version(context, contents(lake, good, partitions, platform.hash_salt)),
        )

    return asset
