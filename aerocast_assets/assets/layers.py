"""Assets over monthly tables: bronze, silver, sliding and windows are layers (`aerocast.tables`), with a page each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.words import count
from aerocast.feed.declaration import Feed
from aerocast.tables.modules import MODULES
from aerocast_assets.assets.describe import count_rows, status
from aerocast_assets.assets.step import step
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import forward, key, months, pool
from aerocast_assets.labels import feed_spec
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.lake import Lake
    from aerocast.tables.staleness import Facts, Layer


@dataclass
class Refreshed:
    """One run of an asset over its months: the facts that each layer was made with, and the months that were stale."""

    con: "DuckDBPyConnection"
    lake: "Lake"
    platform: Platform
    partitions: list[str]
    layers: "Sequence[Layer]"
    facts: "dict[str, Facts]" = field(default_factory=dict)
    stale: dict[str, list[str]] = field(default_factory=dict)

    def content(self) -> dict[str, str]:
        """What each month holds, of all layers, as a short text."""
        salt = self.platform.hash_salt
        texts = {layer.table: contents(self.lake, layer.table, self.partitions, salt) for layer in self.layers}
        if len(texts) == 1:
            return next(iter(texts.values()))
        months = {month: {table: own[month] for table, own in texts.items()} for month in self.partitions}
        return {month: config_hash(**own)[:16] for month, own in months.items()}


Show = Callable[[dg.AssetExecutionContext, Refreshed], Mapping[str, Any]]
Ready = Callable[[dg.AssetExecutionContext, Refreshed], bool]
Later = Callable[[dg.AssetExecutionContext, Refreshed], Mapping[str, str]]


def layer_asset(
    feed: Feed,
    name: str,
    upstream: str,
    *,
    description: str,
    kinds: set[str],
    show: Show,
    ready: Ready | None = None,
    later: Later | None = None,
) -> dg.AssetsDefinition:
    """`<feed>/<name>`: makes the stale months of its layers.

    `show` publishes what follows from them, and describes it. While `ready` says no, nothing is materialised. Of the
    tables that `later` names the month beside it waits if it alone is stale.
    """

    spec = feed_spec(
        feed,
        name,
        deps=[key(feed, upstream)],
        partitions_def=months(feed),
        kinds=kinds,
        code_version=code_version(*MODULES[name]),
        description=description,
        automation_condition=forward(feed),
        skippable=True,
    )

    @step(spec, pool=pool(feed), files=(str(Path(__file__).with_name(f"{name}.py")),))
    def asset(
        context: dg.AssetExecutionContext, config: Refresh, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None]]:
        from aerocast.contracts import clock
        from aerocast.tables.layers import layers_called

        now = clock.now(platform.root, feed.name, feed.end)
        with platform.sql() as con:
            work = Refreshed(con, platform.lake, platform, sorted(context.partition_keys), layers_called(feed, name))
            if ready and not ready(context, work):
                return
            _refresh(context, work, now, later(context, work) if later else {}, force=config.force)
            own = show(context, work)
        stale = {month for each in work.stale.values() for month in each}
        yield dg.MaterializeResult(
            metadata={
                **status(stale),
                "months_computed": sum(map(len, work.stale.values())),
                **own,
                **count_rows(context, work.lake, [layer.table for layer in work.layers], work.partitions, stale),
            },
            data_version=data_version(context, work.content()),
        )

    return asset


def _refresh(
    context: dg.AssetExecutionContext, work: Refreshed, now: datetime, later: Mapping[str, str], *, force: bool
) -> None:
    """Makes the stale months of every layer, and says which."""
    lake, salt = work.lake, work.platform.hash_salt
    for layer in work.layers:
        facts, waiting, stale = layer.observe(work.con, lake, work.partitions, now), later.get(layer.table), list[str]()
        if facts is not None:
            work.facts[layer.table] = facts
            stale = layer.refresh(work.con, lake, work.partitions, facts, salt, force=force, later=waiting)
        work.stale[layer.table] = stale
        hourly = f"; {waiting} is made once an hour" if waiting in work.partitions and waiting not in stale else ""
        context.log.info(f"{layer.table}: {computed(stale, work.partitions)}{hourly}")


def computed(stale: Sequence[str], partitions: Sequence[str]) -> str:
    """What people read: how much of a step's work there was."""
    if not stale:
        return f"unchanged: {count(len(partitions), 'month')} up to date"
    return f"computed {len(stale)} of {len(partitions)} months, {len(partitions) - len(stale)} unchanged"
