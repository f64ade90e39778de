"""The sensors that let new data flow forward: they look at assets' automation conditions."""

from collections.abc import Iterator, Sequence

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.automation.switch import described, switch

LOOK = 30  # seconds
ABOUT = "Rebuilds what newer data, a changed source or changed code has made stale."


def forward_flow(feeds: Sequence[Feed]) -> dg.AutomationConditionSensorDefinition:
    """`forward_flow`, over everything but the feeds that are off."""
    off = [feed.name for feed in feeds if switch(feed)]
    everything = dg.AssetSelection.all(include_sources=True)
    return dg.AutomationConditionSensorDefinition(
        "forward_flow",
        target=everything - dg.AssetSelection.groups(*off, include_sources=True) if off else everything,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=LOOK,
        description=ABOUT,
    )


def own_flow(feed: Feed) -> Iterator[dg.AutomationConditionSensorDefinition]:
    """`<feed>_flow`, of a feed that is off: a person can start it."""
    if switch(feed):
        yield dg.AutomationConditionSensorDefinition(
            f"{feed.name}_flow",
            target=dg.AssetSelection.groups(feed.name, include_sources=True),
            default_status=dg.DefaultSensorStatus.STOPPED,
            minimum_interval_seconds=LOOK,
            description=described(feed, ABOUT),
        )
