"""Names that assets, checks and automation share: keys, partitions, groups and conditions."""

import warnings
from datetime import UTC, datetime

import dagster as dg

from aerocast.feed import Feed

# The pinned version's beta parameters are used knowingly; one line each a feed would bury what people should read.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

FORMAT = "%Y-%m"

# Newer data flows forward by itself, but never past a blocking check that failed (which eager() alone ignores),
# and into every month, not only the newest.
FORWARD = (
    dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
# Models are made once by themselves; after that a retrain is a decision (sensor, schedule or person).
ONCE = dg.AutomationCondition.on_missing() & dg.AutomationCondition.all_deps_blocking_checks_passed()
HOURLY = dg.AutomationCondition.on_cron("5 * * * *")


def key(feed: Feed, *parts: str) -> dg.AssetKey:
    """`noaa/raw`, `noaa/temperature/gru`."""
    return dg.AssetKey([feed.name, *parts])


def months(feed: Feed) -> dg.MonthlyPartitionsDefinition:
    """The feed's months, `2013-01` and on; an open feed includes the month that is still running."""
    end = datetime(feed.end.year + feed.end.month // 12, feed.end.month % 12 + 1, 1, tzinfo=UTC) if feed.end else None
    start = datetime(feed.start.year, feed.start.month, 1, tzinfo=UTC)
    return dg.MonthlyPartitionsDefinition(start_date=start, end_date=end, fmt=FORMAT, end_offset=0 if end else 1)


def table(feed: Feed, *parts: str) -> str:
    """A table's name in the lake: the asset key's text."""
    return key(feed, *parts).to_user_string()
