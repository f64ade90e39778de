"""What the UI says of assets besides what they do: owners, tags, columns, freshness, and where their code is."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import CodeType

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import model
from aerocast.tables.modules import MODULES
from aerocast_assets.columns import column_metadata
from aerocast_assets.keys import models, tables

LEAST = timedelta(minutes=1)  # the shortest window that Dagster takes
RETRAIN = timedelta(days=1)  # how long a champion may outlive its age until the routine retrain has replaced it
OWNERS = ["team:aerocast"]  # of what feeds share
LAYERS = Path(__file__).parent / "assets"
Label = Callable[[dg.AssetSpec], dg.AssetSpec]


def labelled(feed: Feed, assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """A feed's assets with owners, tags, columns, freshness policy and links to their code.

    A component adds the link to its declaration itself.
    """
    label = partial(_of_feed, feed)
    return [_linked(asset, label, _own_file(feed, asset.key.path[-1])) for asset in assets]


def shared(*assets: dg.AssetsDefinition) -> list[dg.AssetsDefinition]:
    """Assets that belong to no feed, with owners, the tag of their layer and a link to their code."""
    return [_linked(asset, of_layer) for asset in assets]


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
        metadata={**spec.metadata, **column_metadata(feed, layer, *targets)},
        freshness_policy=dg.FreshnessPolicy.time_window(max(LEAST, limit)) if limit else None,
    )


def _limit(feed: Feed, layer: str) -> timedelta | None:
    """How old the newest materialisation may be while the feed lives; None: any age."""
    if layer in (*tables(feed), "evaluation", "forecasts"):
        return feed.freshness + feed.readings_wait
    return feed.retraining.max_age + RETRAIN if layer == "champion" else None


def _own_file(feed: Feed, layer: str) -> str | None:
    """What an asset has of its own, where the function that Dagster calls is that of several."""
    if layer in MODULES:
        return str(LAYERS / f"{layer}.py")
    return sys.modules[model(layer).__module__].__file__ if layer in models(feed) else None


def _linked(asset: dg.AssetsDefinition, label: Label, *files: str | None) -> dg.AssetsDefinition:
    """The labelled asset with links to files and to its function.

    As `dg.with_source_code_references`, which reads the source to find a line that the function knows.
    """
    function = asset.op.compute_fn
    code: CodeType = getattr(function, "decorated_fn", function).__code__  # type: ignore[union-attr]  # one or the other
    links = [dg.LocalFileCodeReference(file_path=file) for file in files if file]
    links += [dg.LocalFileCodeReference(file_path=code.co_filename, line_number=code.co_firstlineno)]
    metadata = {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=links)}
    return asset.map_asset_specs(lambda spec: label(spec).merge_attributes(metadata=metadata))
