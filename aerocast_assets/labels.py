"""What the UI says of assets besides what they do: owners, tags, columns, freshness, and where their code is."""

from datetime import timedelta
from functools import partial
from types import FunctionType as Function
from typing import Any

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.columns import column_metadata
from aerocast_assets.keys import key, tables
from aerocast_assets.origin import origin_metadata

LEAST = timedelta(minutes=1)  # the shortest window that Dagster takes
RETRAIN = timedelta(days=1)  # how long a champion may outlive its age until the routine retrain has replaced it
OWNERS = ["team:aerocast"]  # of what feeds share
Draft = partial[dg.AssetSpec]


def feed_spec(feed: Feed, layer: str, target: str = "", **own: Any) -> Draft:
    """An asset of a feed with its group, owners, tags, columns and freshness policy, and what is its `own`.

    Links to code are missing: `linked` adds them, since an asset that is changed later is copied.
    """
    tags = {"aerocast/feed": feed.name, "aerocast/layer": layer} | ({"aerocast/target": target} if target else {})
    limit = None if feed.end else _limit(feed, layer)
    return partial(
        dg.AssetSpec,
        key(feed, *([target] if target else []), layer),
        group_name=feed.name,
        owners=list(feed.owners),
        tags=feed.tags | tags,
        metadata=column_metadata(feed, layer, target),
        freshness_policy=dg.FreshnessPolicy.time_window(max(LEAST, limit)) if limit else None,
        **own,
    )


def linked(draft: Draft, function: Function, file: str | None = None) -> dg.AssetSpec:
    """The asset with links to the function that makes it and, before that, to a file of its own."""
    return draft(metadata={**draft.keywords["metadata"], **_links(function, file)})


def shared(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """An asset that belongs to no feed, with owners, the tag of its layer and a link to its code."""
    function: Any = asset.op.compute_fn
    links = _links(function.decorated_fn)
    return asset.map_asset_specs(lambda spec: of_layer(spec).merge_attributes(metadata=links))


def of_layer(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the platform's owners and the tag of its layer."""
    return spec.replace_attributes(owners=OWNERS, tags={**spec.tags, "aerocast/layer": spec.key.path[-1]})


def _limit(feed: Feed, layer: str) -> timedelta | None:
    """How old the newest materialisation may be while the feed lives; None: any age."""
    if layer in (*tables(feed), "evaluation", "anomalies", "forecasts"):
        return feed.freshness + feed.readings_wait
    return feed.retraining.max_age + RETRAIN if layer == "champion" else None


def _links(function: Function, file: str | None = None) -> dict[str, Any]:
    """As `dg.with_source_code_references`, which reads the source to find a line that the function knows."""
    code = function.__code__
    links = [dg.LocalFileCodeReference(file_path=file)] if file else []
    links.append(dg.LocalFileCodeReference(file_path=code.co_filename, line_number=code.co_firstlineno))
    return origin_metadata(*links)
