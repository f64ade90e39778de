"""Which months have to be made again because the rows that they are made of are others now: by content, layer by layer.

What a changed declaration or code would compute otherwise is not asked here: that is a backfill, and a person's choice.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from aerocast.feed import Feed
from aerocast_assets.assets import silver, sliding, windows
from aerocast_assets.keys import table

if TYPE_CHECKING:
    from aerocast.lake import Lake

Inputs = tuple[str, dict[str, list[str]]]


def behind(feed: Feed, lake: "Lake", now: datetime) -> list[str]:
    """The months of which a layer was made from other rows than the layer above holds now, oldest first.

    A step that is over at the feed's `now` counts as new rows of silver, even if no reading came since. Below bronze a
    layer that there is not yet has no such month; one that retention has taken out is left alone.
    """
    from aerocast import marks

    found: set[str] = set()
    for made, inputs in _layers(feed, lake, now):
        found |= set(marks.behind(lake, made, inputs)) - lake.gone(made)
    return sorted(found)


def _layers(feed: Feed, lake: "Lake", now: datetime) -> Iterator[Inputs]:
    """Each layer's table, and the marks of what each month that it can have would be made of now."""
    import duckdb

    from aerocast import cleaning, wholeness

    raw, good, grid = (table(feed, layer) for layer in ("raw", "bronze", "silver"))
    # Raw may begin with a door, which nobody waits for.
    yield good, cleaning.inputs(feed, lake, _months(lake, raw))
    span = wholeness.span_of(lake, feed)
    if span and feed.sliding and lake.exists(made := table(feed, "sliding")):
        yield made, sliding.inputs(feed, lake, _months(lake, good), span[1])
    if span and lake.exists(grid):
        with duckdb.connect() as con:
            extent = wholeness.extent_of(con, lake, feed, now)
        assert extent  # there is a span
        yield grid, silver.inputs(feed, lake, _months(lake, good), extent)
    for target in feed.targets:
        if lake.exists(made := table(feed, target, "windows")):
            yield made, windows.inputs(feed, lake, target, _months(lake, grid))


def _months(lake: "Lake", source: str) -> list[str]:
    gone = lake.gone(source)
    return [month for month in lake.months(source) if month not in gone]
