"""bronze and quarantine: readings in canonical units that passed every rule, and those that did not, with why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast.sql import quoted
from aerocast_assets.assets.describe import count_rows, preview, status
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import forward, key, months, pool, table
from aerocast_assets.partitions import computed, out_of_date
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    import duckdb

    from aerocast.drift.state import Fault

CODE = code_version("aerocast.cleaning", "aerocast.faults")
EXAMPLES = 20
SHOWN = ("station", "time", "column", "value", "rule", "reason")


def _hashes(
    feed: Feed,
    salt: str,
    raw: Mapping[str, list[str]],
    broken: "Sequence[Fault]",
    partitions: Sequence[str],
    ahead: Mapping[str, int],
) -> dict[str, str]:
    """What each month is computed from: what the rules use, code, raw as far as they read it, the faults that touch.

    And how many readings of it lie ahead of the clock: when the time of one comes, it is judged again.
    """
    from aerocast import faults
    from aerocast.quality import reach

    parts = {"rules": _rules(feed), "code": CODE, "salt": salt}
    return {
        month: config_hash(
            **parts,
            raw=raw[month],
            faults=faults.touching(broken, month, reach(feed)),
            **({"ahead": ahead[month]} if month in ahead else {}),
        )
        for month in partitions
    }


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


def _rejected(rows: "duckdb.DuckDBPyRelation") -> dict[str, Any]:
    """What to show of the quarantine: how many readings and values, by which rule, and the first of them."""
    readings, values = rows.aggregate('count(*) - count("column"), count("column")').fetchall()[0]
    examples = rows.select(", ".join(map(quoted, SHOWN))).order("time").limit(EXAMPLES).fetchall()
    return {
        "quarantined_readings": readings,
        "quarantined_values": values,
        "quarantined_by_rule": dict(rows.aggregate("rule, count(*)", "rule").fetchall()),
        "quarantine": preview([dict(zip(SHOWN, row, strict=True)) for row in examples]),
    }


def bronze(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/bronze`; `<feed>/quarantine` is written beside it, in the same step."""

    @dg.asset(
        key=key(feed, "bronze"),
        deps=[key(feed, "raw")],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=pool(feed),
        group_name=feed.name,
        kinds={"deltalake", "duckdb"},
        code_version=CODE,
        description="One row per station and time, canonical units. What fails a rule is null, and in quarantine.",
        automation_condition=forward(feed),
        output_required=False,
    )
    def asset(
        context: dg.AssetExecutionContext, config: Refresh, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None]]:
        from aerocast import cleaning, clock, faults
        from aerocast.lake import Lake
        from aerocast.quality import reach

        lake, partitions = Lake(platform.root), sorted(context.partition_keys)
        now = clock.now(platform.root, feed.name, feed.end)
        raw, good, bad = (table(feed, layer) for layer in ("raw", "bronze", "quarantine"))
        if not lake.exists(raw):
            context.log.warning(f"{raw} holds no reading yet: everything below waits for the first")
            return
        with platform.sql() as con:
            if cleaning.adopt(con, lake, feed):
                context.log.warning(f"{bad} is of an earlier version: every month is judged anew, value by value")
            broken = faults.read(con, lake, table(feed, "faults"))
            # Looked up before the rows are read: what comes in between is found the next time.
            held = cleaning.inputs(feed, lake, partitions)
            ahead = cleaning.ahead(con, lake, feed, partitions, now)
            hashes = _hashes(feed, platform.hash_salt, held, broken, partitions, ahead)
            stale = out_of_date(lake, raw, good, hashes, force=config.force)
            cleaning.remake(con, lake, feed, {month: hashes[month] for month in stale}, held, now, broken)
            faults.note_applied(platform.root, feed.name, partitions, faults.digests(broken, now, reach(feed)))
            judged = _rejected(lake.relation(con, bad, partitions))
        context.log.info(computed(stale, partitions))
        yield dg.MaterializeResult(
            metadata={
                **status(stale),
                "months_computed": len(stale),
                **judged,
                **count_rows(context, lake, [good], partitions, stale),
            },
            data_version=data_version(context, contents(lake, good, partitions, platform.hash_salt)),
        )

    return asset
