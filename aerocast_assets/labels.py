"""What the UI says of a feed's assets besides what they do: who owns them, their columns, how fresh, where written."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

import dagster as dg

from aerocast.feed.model import Column, Feed
from aerocast_assets.keys import tables

LEAST = timedelta(minutes=1)  # Dagster looks no oftener
STEP = ("mean", "std", "min", "max", "count")


def labelled(feed: Feed, assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets with owners, tags, column schema, freshness policy and a link to the code.

    A component adds the link to its declaration itself.
    """
    linked = dg.with_source_code_references(assets)
    return [each.map_asset_specs(partial(_labelled, feed)) for each in linked if isinstance(each, dg.AssetsDefinition)]


def tags(feed: Feed, layer: str, target: str = "") -> dict[str, str]:
    """By which assets can be looked for."""
    return {"aerocast/feed": feed.name, "aerocast/layer": layer, **({"aerocast/target": target} if target else {})}


def _labelled(feed: Feed, spec: dg.AssetSpec) -> dg.AssetSpec:
    _, *targets, layer = spec.key.path
    metadata = dict(spec.metadata)
    if columns := [*_columns(feed, layer)]:
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    live = feed.end is None and layer in (*tables(feed), "evaluation", "forecasts")
    policy = dg.FreshnessPolicy.time_window(max(LEAST, feed.freshness + feed.readings_wait)) if live else None
    return spec.replace_attributes(
        owners=list(feed.owners),
        tags={**spec.tags, **tags(feed, layer, *targets)},
        metadata=metadata,
        freshness_policy=policy,
    )


def _columns(feed: Feed, layer: str) -> Iterator[dg.TableColumn]:
    """The columns of a layer that people read; none of one whose columns are features or figures."""
    if layer not in ("raw", "bronze", "silver", "sliding"):
        return
    yield dg.TableColumn("station", constraints=dg.TableColumnConstraints(other=[", ".join(feed.station_ids)]))
    times = {"raw": "as delivered, UTC", "bronze": "of the reading, UTC", "silver": "the step's beginning, UTC"}
    yield dg.TableColumn("time", "timestamp", times.get(layer, "the window's end, UTC"))
    for column in feed.columns:
        yield from _measured(column, layer)
    for vector in feed.vectors if layer in ("silver", "sliding") else ():
        unit = feed.column(vector.speed).unit
        for axis, where in (("u", "east"), ("v", "north")):
            yield dg.TableColumn(f"{vector.name}_{axis}", "double", f"{vector.name} to the {where}, {unit}")


def _measured(column: Column, layer: str) -> Iterator[dg.TableColumn]:
    low, high = column.range
    within = dg.TableColumnConstraints(other=[f"{low:g} to {high:g} {column.unit}"])
    if layer == "raw":
        yield dg.TableColumn(column.field, "string", f"{column.name} as the source sends it, {column.source_unit}")
    elif layer == "bronze":
        yield dg.TableColumn(column.name, "double", f"{column.name}, {column.unit}; null if not believed", within)
    else:
        if layer == "silver":
            yield dg.TableColumn(column.name, "double", f"mean of the step, or the last value, {column.unit}", within)
            yield dg.TableColumn(f"{column.name}_age", "smallint", "steps since it was measured")
        for figure in STEP:
            yield dg.TableColumn(f"{column.name}_{figure}", "double", f"{figure} of the readings, {column.unit}")
