"""sliding: overlapping windows of readings, for what looks closer than the forecasting grid."""

from typing import Any

import dagster as dg

from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.layers import Refreshed, layer_asset
from aerocast_assets.keys import table


def sliding_layer(feed: Feed) -> list[dg.AssetsDefinition]:
    """`<feed>/sliding`, for a feed that declares such windows."""
    return [sliding(feed)] if feed.sliding else []


def sliding(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/sliding`; a late reading rebuilds only the months whose windows contain it."""
    plan = f"{duration(feed.sliding.size)} every {duration(feed.sliding.every)}" if feed.sliding else ""

    def show(_: dg.AssetExecutionContext, work: Refreshed) -> dict[str, Any]:
        from aerocast.tables.sliding import final_until

        # Without a reading there is nothing to make, and nothing wrong either.
        facts = work.facts.get(table(feed, "sliding"))
        newest, final = (facts.value, final_until(feed, facts.value)) if facts else ("no reading yet", "no reading yet")
        return {"newest": str(newest), "final_until": str(final)}

    description = f"Overlapping windows of readings ({plan}): mean, std, min, max and count of each."
    return layer_asset(feed, "sliding", "bronze", description=description, kinds={"deltalake", "duckdb"}, show=show)
