"""bronze and quarantine: readings in canonical units that passed every rule, and those that did not, with why."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.sql import quoted
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview
from aerocast_assets.assets.layers import Refreshed, layer_asset
from aerocast_assets.keys import table

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 20
PREVIEWED = ("station", "time", "column", "value", "rule", "reason")


def bronze(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/bronze`; `<feed>/quarantine` is written beside it, in the same step."""
    raw, bad = table(feed, "raw"), table(feed, "quarantine")

    def ready(context: dg.AssetExecutionContext, work: Refreshed) -> bool:
        from aerocast.tables import quality

        if not work.lake.exists(raw):
            context.log.warning(f"{raw} has no readings yet: everything downstream waits for the first")
            return False
        if quality.upgrade_columns(work.con, work.lake, feed):
            context.log.warning(f"{bad} is from an earlier version: every month is judged again, value by value")
        return True

    def show(_: dg.AssetExecutionContext, work: Refreshed) -> dict[str, Any]:
        from aerocast.contracts import clock
        from aerocast.reporting import quarantine

        root = work.platform.root
        quarantine.publish(work.con, work.lake, root, feed, clock.now(root, feed.name, feed.end))
        return _rejected(work.lake.relation(work.con, bad, work.partitions))

    description = "One row per station and time, canonical units. What fails a rule is null, and in quarantine."
    kinds = {"deltalake", "duckdb"}
    return layer_asset(feed, "bronze", "raw", description=description, kinds=kinds, show=show, ready=ready)


def _rejected(rows: "duckdb.DuckDBPyRelation") -> dict[str, Any]:
    """What to show of the quarantine: how many readings and values, by which rule, and the first of them."""
    readings, values = rows.aggregate('count(*) - count("column"), count("column")').fetchall()[0]
    examples = rows.select(", ".join(map(quoted, PREVIEWED))).order("time").limit(EXAMPLES).fetchall()
    return {
        "quarantined_readings": readings,
        "quarantined_values": values,
        "quarantined_by_rule": dict(rows.aggregate("rule, count(*)", "rule").fetchall()),
        "quarantine": preview([dict(zip(PREVIEWED, row, strict=True)) for row in examples]),
    }
