"""What the UI says of assets besides what they do: owners, tags, columns, freshness, and where their code is."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import dagster as dg

from aerocast.feed.model import Feed
from aerocast.feed.model_kind import model
from aerocast.tables.modules import MODULES
from aerocast_assets.columns import column_metadata
from aerocast_assets.keys import models, tables

LEAST = timedelta(minutes=1)  # the shortest window that Dagster takes
RETRAIN = timedelta(days=1)  # how long a champion may outlive its age until the routine retrain has replaced it
OWNERS = ["team:aerocast"]  # of what feeds share
LAYERS = Path(__file__).parent / "assets"


def labelled(feed: Feed, assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """A feed's assets with owners, tags, columns, freshness policy and links to their code.

    A component adds the link to its declaration itself.
    """
    return _mapped(assets, partial(_of_feed, feed))


def shared(*assets: dg.AssetsDefinition) -> list[dg.AssetsDefinition]:
    """Assets that belong to no feed, with owners, the tag of their layer and a link to their code."""
    return _mapped(assets, of_layer)


def of_layer(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the platform's owners and the tag of its layer."""
    return spec.replace_attributes(owners=OWNERS, tags={**spec.tags, "aerocast/layer": spec.key.path[-1]})


def _of_feed(feed: Feed, spec: dg.AssetSpec) -> dg.AssetSpec:
    _, *targets, layer = spec.key.path
    own = {"aerocast/feed": feed.name, "aerocast/layer": layer, **({"aerocast/target": targets[0]} if targets else {})}
    limit = None if feed.end else _limit(feed, layer)
    return spec.replace_attributes(
        owners=list(feed.owners),
        tags={**spec.tags, **feed.tags, **own},
        metadata={**spec.metadata, **column_metadata(feed, layer, *targets), **_code(feed, layer)},
        freshness_policy=dg.FreshnessPolicy.time_window(max(LEAST, limit)) if limit else None,
    )


def _limit(feed: Feed, layer: str) -> timedelta | None:
    """How old the newest materialisation may be while the feed lives; None: any age."""
    if layer in (*tables(feed), "evaluation", "forecasts"):
        return feed.freshness + feed.readings_wait
    return feed.retraining.max_age + RETRAIN if layer == "champion" else None


def _code(feed: Feed, layer: str) -> dict[str, object]:
    """A link to what an asset has of its own, where the function that Dagster calls is that of several."""
    if layer in MODULES:
        file: str | None = str(LAYERS / f"{layer}.py")
    else:
        file = sys.modules[model(layer).__module__].__file__ if layer in models(feed) else None
    links = [dg.LocalFileCodeReference(file_path=file)] if file else []
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=links)}


def _mapped(
    assets: Sequence[dg.AssetsDefinition], label: Callable[[dg.AssetSpec], dg.AssetSpec]
) -> list[dg.AssetsDefinition]:
    return [
        each
        for each in dg.with_source_code_references([asset.map_asset_specs(label) for asset in assets])
        if isinstance(each, dg.AssetsDefinition)
    ]
