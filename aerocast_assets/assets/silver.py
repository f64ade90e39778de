"""silver: every station's readings on the feed's regular grid, with the age of each filled value."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import config_hash, digest
from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.layers import Refreshed, layer_asset
from aerocast_assets.keys import table

if TYPE_CHECKING:
    from aerocast.features.grid import Progress


def silver(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/silver`; its newest rows are also published as the tail that the server reads."""
    source, name = table(feed, "bronze"), table(feed, "silver")

    def ready(_: dg.AssetExecutionContext, work: Refreshed) -> bool:
        from aerocast.tables import wholeness

        if wholeness.span_of(work.lake, feed) is None:
            raise dg.Failure(f"{source} has no rows: every reading is in quarantine", allow_retries=False)
        return True

    def show(_: dg.AssetExecutionContext, work: Refreshed) -> dict[str, Any]:
        extent, progress = work.facts[name].value
        _publish(work, feed, progress)
        span = work.lake.span(source)
        return {"newest": str(span and span[1]), "whole_until": str(max(extent.ends.values()))}

    description = (
        f"Regular grid (every {duration(feed.cadence)}), mean, std, min, max, count; gaps filled causally, with ages."
    )
    kinds = {"deltalake", "duckdb"}
    return layer_asset(feed, "silver", "bronze", description=description, kinds=kinds, show=show, ready=ready)


def _publish(work: Refreshed, feed: Feed, progress: "Mapping[str, Progress]") -> None:
    """The tail that the server reads, if it is not what silver holds now.

    Whether a month was stale says nothing: a run that was killed after its rows were committed leaves an old tail.
    """
    from aerocast.common.months import months_around
    from aerocast.contracts import tail
    from aerocast.features.outages import rows_needed
    from aerocast.storage.home import store_of
    from aerocast.tables.silver import grids

    lake, root = work.lake, work.platform.root
    name, place = table(feed, "silver"), tail.document_name(feed.name)
    rows = rows_needed(feed.window.look_back, feed.season_steps[0], int(feed.cadence.total_seconds()))
    months = lake.months(name)
    back = months_around(months[-1:], rows * feed.cadence, timedelta(0))
    newest = [month for month in months if month >= min([*months[-2:], *back], default="")]
    habits = {
        station: [str(each.step), str(each.reading), digest(each.readings, each.usual)]
        for station, each in progress.items()
    }
    origin = config_hash(content=lake.ledger(name).content(newest), rows=rows, progress=habits)
    if store_of(root).origin(place) != origin:
        newest_grids = grids(work.con, feed, lake.relation(work.con, name, newest), last=rows)
        published = {each: replace(grid, progress=progress.get(each)) for each, grid in newest_grids.items()}
        tail.write_grids(root, feed.name, published)
        store_of(root).note_origin(place, origin)
