"""The code location of one feed alone, `AEROCAST_FEED`: for a demonstration in a home of its own.

The whole platform's location would fill that home with every other feed, too.
"""

import os

import dagster as dg

from aerocast_assets.defs.platform import shared
from aerocast_assets.feeds import find_feed
from aerocast_assets.graph import feed_definitions


@dg.definitions
def defs() -> dg.Definitions:
    feed = find_feed(os.environ.get("AEROCAST_FEED", "heatwave"))
    return dg.Definitions.merge(feed_definitions(feed), shared([feed]))
