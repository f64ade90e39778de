"""windows: what models are trained on, as a table for us and as the windowed CSV for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.common.lineage import code_version, config_hash
from aerocast.feed.declaration import Feed
from aerocast.storage.home import store_of
from aerocast.tables.modules import MODULES
from aerocast_assets.assets.layers import Refreshed, layer_asset
from aerocast_assets.keys import LIVE_TAG, table

if TYPE_CHECKING:
    from aerocast.features.grid import Grid, WindowSpec


def windows(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/windows`: for each target a table `<feed>/<target>/windows` and its CSV."""

    def show(context: dg.AssetExecutionContext, work: Refreshed) -> dict[str, Any]:
        live = LIVE_TAG in context.run.tags
        metadata: dict[str, Any] = {}
        for target in feed.targets:
            computed = len(work.stale[table(feed, target, "windows")])
            own = {"months_computed": computed, **_export(work, feed, target, live)}
            prefix = "" if len(feed.targets) == 1 else f"{target}_"
            metadata |= {f"{prefix}{name}": value for name, value in own.items()}
        return metadata

    def later(context: dg.AssetExecutionContext, work: Refreshed) -> dict[str, str]:
        from aerocast.tables import training

        return training.later(work.platform.root, feed, work.lake) if LIVE_TAG in context.run.tags else {}

    description = "Every origin's features and outcomes, and the windowed CSV. No feature is later than its origin."
    kinds = {"deltalake", "csv"}
    return layer_asset(feed, "windows", "silver", description=description, kinds=kinds, show=show, later=later)


def _export(work: Refreshed, feed: Feed, target: str, live: bool) -> dict[str, Any]:
    """Brings the windowed CSV up to date, in live runs at most each hour; what to show of it."""
    from aerocast.contracts import clock
    from aerocast.features.features import feature_names
    from aerocast.features.grid import WindowSpec
    from aerocast.tables import training

    spec, silver, lake = WindowSpec.of(feed, target), table(feed, "silver"), work.lake
    path, parts = training.csv_path(work.platform.root, feed, target), {"spec": msgspec.to_builtins(spec)}
    parts |= {"code": code_version(*MODULES["windows"]), "salt": work.platform.hash_salt}
    origin = config_hash(**parts, silver=lake.ledger(silver).content(lake.months(silver)))
    # Not by stale months: a run that was killed after the rows were committed has none, but an old file.
    store = store_of(path.parent)
    due = not live or clock.is_due(work.platform.root, feed.name, path)
    if due and store.origin(path.name) != origin:
        training.write_csv(path, spec, _exported(work, feed, spec))
        store.note_origin(path.name, origin)
    return {"features": len(feature_names(spec)), "csv": dg.MetadataValue.path(path)}


def _exported(work: Refreshed, feed: Feed, spec: "WindowSpec") -> "Iterator[Grid]":
    """Silver for the windowed CSV, some months of all stations at a time."""
    from aerocast.tables import training
    from aerocast.tables.silver import grids

    silver = table(feed, "silver")
    for piece in work.lake.chunks(silver, work.lake.months(silver), training.PIECE):
        series = grids(work.con, feed, work.lake.relation(work.con, silver, training.source_months(spec, piece)))
        yield from (training.csv_grid(spec, grid, piece) for grid in series.values())
