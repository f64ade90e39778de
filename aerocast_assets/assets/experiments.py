"""experiments: what people start to learn about a declaration, a backtest and a tuning of each target.

One step makes those of a feed: Dagster takes as long to define a step as to define all that it makes.
"""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.assets import backtest, tuning
from aerocast_assets.assets.step import step
from aerocast_assets.batch import one_by_one
from aerocast_assets.keys import TRAINING, key
from aerocast_assets.resources import Platform, Refresh

_EXPERIMENTS = (backtest, tuning)


def step_name(feed: Feed) -> str:
    """The step of a feed's experiments; run config is by this name."""
    return f"{feed.name}__experiments"


def experiments(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/<target>/backtest` and `<feed>/<target>/tuning` of each target."""
    pairs = [(each, target) for target in feed.targets for each in _EXPERIMENTS]
    files = tuple(str(each.__file__) for each, _ in pairs)

    @step(*(each.spec(feed, target) for each, target in pairs), name=step_name(feed), pool=TRAINING, files=files)
    def asset(
        context: dg.AssetExecutionContext, config: Refresh, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None]]:
        selection = {
            f"{target} {each.NAME}": partial(each.materialize, context, config, platform, feed, target)
            for each, target in pairs
            if key(feed, target, each.NAME) in context.selected_asset_keys
        }
        yield from one_by_one(selection, context.log)

    return asset
