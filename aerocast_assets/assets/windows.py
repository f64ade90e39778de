"""windows: what models are trained on, as a table for us and as the windowed CSV for people."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.feed import Feed
from aerocast.lineage import code_version, config_hash
from aerocast.storage.home import Home
from aerocast_assets.assets.describe import count_rows, status
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import forward, key, months, pool, table
from aerocast_assets.partitions import computed, out_of_date
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.lake import Lake
    from aerocast.windows import Grid, WindowSpec

CODE = code_version("aerocast.training", "aerocast.silver")


def csv_path(root: Home, feed: Feed, target: str) -> Path:
    """Where people find the windowed CSV of a target."""
    return root / "exports" / feed.name / target / "windows.csv"


def inputs(feed: Feed, lake: "Lake", target: str, partitions: Sequence[str]) -> dict[str, list[str]]:
    """Marks of the rows that each month is made of: silver's, from the look-back to the longest horizon."""
    from aerocast import marks, training
    from aerocast.windows import WindowSpec

    return marks.around(lake, table(feed, "silver"), partitions, *training.reach(WindowSpec.of(feed, target)))


def windows(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/windows`: for each target a table `<feed>/<target>/windows` and its CSV."""

    @dg.asset(
        key=key(feed, "windows"),
        deps=[key(feed, "silver")],
        partitions_def=months(feed),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=pool(feed),
        group_name=feed.name,
        kinds={"deltalake", "csv"},
        code_version=CODE,
        description="Every origin's features and outcomes, and the windowed CSV. No feature is later than its origin.",
        automation_condition=forward(feed),
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.lake import Lake

        partitions = sorted(context.partition_keys)
        metadata: dict[str, Any] = {}
        held: dict[str, dict[str, str]] = {month: {} for month in partitions}
        made: set[str] = set()
        for target in feed.targets:
            with platform.sql() as con:
                stale, content, found = _build(con, feed, target, partitions, platform, force=config.force)
            metadata |= {name if len(feed.targets) == 1 else f"{target}_{name}": value for name, value in found.items()}
            for month in partitions:
                held[month][target] = content[month]
            made.update(stale)
            context.log.info(f"{target}: {computed(stale, partitions)}")
        work = sum(metadata[name] for name in metadata if name.endswith("months_computed"))
        names = [table(feed, target, "windows") for target in feed.targets]
        return dg.MaterializeResult(
            metadata=status(work) | metadata | count_rows(context, Lake(platform.root), names, partitions, made),
            data_version=data_version(context, {month: config_hash(**each)[:16] for month, each in held.items()}),
        )

    return asset


def _build(
    con: Any, feed: Feed, target: str, partitions: list[str], platform: Platform, *, force: bool
) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """Months computed, what every month holds, and what to show."""
    from aerocast import marks, training
    from aerocast.lake import Lake
    from aerocast.silver import grids
    from aerocast.storage.home import store_of
    from aerocast.windows import WindowSpec, feature_names

    lake, spec = Lake(platform.root), WindowSpec.of(feed, target)
    silver, name = table(feed, "silver"), table(feed, target, "windows")
    parts = {"spec": msgspec.to_builtins(spec), "code": CODE, "salt": platform.hash_salt}
    held = inputs(feed, lake, target, partitions)
    hashes = {month: config_hash(**parts, silver=held[month]) for month in partitions}
    stale = out_of_date(lake, silver, name, hashes, force=force)
    for piece in lake.chunks(silver, stale, training.PIECE):
        series = grids(con, feed, lake.relation(con, silver, training.months_read(spec, piece)))
        made = {month: hashes[month] for month in piece}
        origins = {month: marks.made_from(held[month]) for month in piece}
        lake.replace(name, training.table(spec, series, piece), piece, made, origins, edges=marks.Edges())
    path = csv_path(platform.root, feed, target)
    origin = config_hash(**parts, silver=lake.content(silver, lake.months(silver)))
    # Not `stale`: a run that was killed after the rows were committed has no stale month, but an old file.
    store = store_of(path.parent)
    if store.origin(path.name) != origin:
        training.write_csv(path, spec, _exported(con, feed, spec, lake))
        store.note_origin(path.name, origin)
    shown = {"months_computed": len(stale), "features": len(feature_names(spec)), "csv": dg.MetadataValue.path(path)}
    return stale, contents(lake, name, partitions, platform.hash_salt), shown


def _exported(con: Any, feed: Feed, spec: "WindowSpec", lake: "Lake") -> Iterator["Grid"]:
    """Silver for the windowed CSV, some months of all stations at a time."""
    from aerocast import training
    from aerocast.silver import grids

    silver = table(feed, "silver")
    for piece in lake.chunks(silver, lake.months(silver), training.PIECE):
        series = grids(con, feed, lake.relation(con, silver, training.months_read(spec, piece)))
        yield from (training.csv_grid(spec, grid, piece) for grid in series.values())
