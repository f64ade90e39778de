"""Names that assets, checks and automation share: keys, partitions, groups and conditions."""

import warnings
from datetime import UTC, datetime, timedelta

import dagster as dg

from aerocast.common.months import month_of, month_span
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import SEQUENCE

# The pinned version's beta parameters are used knowingly; one line each a feed would bury what people should read.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

FORMAT = "%Y-%m"
TRAINING = "training"  # pool of all that trains: one run at a time leaves room for those that keep feeds alive
RETRAIN_OF = "aerocast/retrain"  # tag of every run of a retrain job: `<feed>/<target>`
LIVE_TAG = "aerocast/live"  # why a live run was asked for

# What is missing when a condition is first seen counts too, so that an empty home fills by itself; a failed attempt is
# not repeated until something above it changes.
_Condition = dg.AutomationCondition
_MISSING = _Condition.newly_missing().since(_Condition.newly_requested() | _Condition.newly_updated())
# Never beside a run of the layer above, and never past a blocking check that failed (which eager() alone ignores).
_READY = (
    ~_Condition.any_deps_missing()
    & ~_Condition.any_deps_in_progress()
    & ~_Condition.in_progress()
    & _Condition.all_deps_blocking_checks_passed()
)
# Newer data flows forward by itself into every month (eager() knows only the newest).
FORWARD = (_MISSING | _Condition.any_deps_updated().since_last_handled()) & _READY
# What waits for enough rows is looked at each hour until there are, and follows what is newer from then on.
_NEWER = _Condition.any_deps_updated().since_last_handled()
_HANDLED = _Condition.newly_requested() | _Condition.newly_updated() | _Condition.initial_evaluation()
_HOUR_PASSED = _Condition.cron_tick_passed("41 * * * *").since(_HANDLED)
WHEN_ENOUGH = (_MISSING | _NEWER & (~_Condition.missing() | _HOUR_PASSED)) & _READY
# Models are made once by themselves; after that a retrain is a decision (sensor, schedule or person). As long as there
# is none, newer rows are a reason to try again, at most each hour.
ONCE = (_MISSING | _Condition.missing() & _NEWER & _HOUR_PASSED) & _READY
# A source is looked at when it never was, and then each hour.
HOURLY = _MISSING | _Condition.on_cron("5 * * * *")
# Raw follows its source one look later: a look that is only under way says nothing yet.
FOLLOW = FORWARD & ~_Condition.any_deps_match(_Condition.missing())


def forward(feed: Feed) -> "dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey] | None":
    """How a layer of the feed follows the one above; a polled feed's layers run together, by its live sensor alone."""
    return None if feed.poll else FORWARD


def follow(feed: Feed) -> "dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey] | None":
    """How raw follows its source."""
    return None if feed.poll else FOLLOW


def key(feed: Feed, *parts: str) -> dg.AssetKey:
    """`noaa/raw`, `noaa/temperature/gru`."""
    return dg.AssetKey([feed.name, *parts])


def tables(feed: Feed) -> tuple[str, ...]:
    """The feed's layers of monthly tables, in the order in which readings run through them."""
    return ("raw", "bronze", *(("sliding",) if feed.sliding else ()), "silver", "windows")


def models(feed: Feed) -> tuple[str, ...]:
    """What is trained for a target: the declared candidates, and beside them what answers short sequences."""
    return (*feed.candidates, SEQUENCE)


def pool(feed: Feed) -> str:
    """The pool of what writes the feed's tables: one run at a time."""
    return f"{feed.name}_tables"


def job_name(feed: Feed) -> str:
    """The job over the feed's whole graph."""
    return f"{feed.name}_refresh"


def retrain_job_name(feed: Feed, target: str) -> str:
    """The job that retrains a target's candidates, chooses the better and forecasts with it."""
    return f"{feed.name}_{target}_retrain"


def rollback_job_name(feed: Feed, target: str) -> str:
    """The job by which a person chooses the release that serves."""
    return f"{feed.name}_{target}_rollback"


def experiment_job_name(feed: Feed, name: str) -> str:
    """The job of an experiment, `backtest` or `tuning`, over the feed's targets."""
    return f"{feed.name}_{name}"


def live_job_name(feed: Feed) -> str:
    """The job that takes up new readings and logged forecasts, up to the evaluation."""
    return f"{feed.name}_live"


def months(feed: Feed) -> dg.MonthlyPartitionsDefinition:
    """The feed's months, `2013-01` and on; an open feed includes the month that is still running."""
    end = month_span(month_of(feed.end - timedelta(microseconds=1)))[1] if feed.end else None
    start = datetime(feed.start.year, feed.start.month, 1, tzinfo=UTC)
    return dg.MonthlyPartitionsDefinition(start_date=start, end_date=end, fmt=FORMAT, end_offset=0 if end else 1)


def table(feed: Feed, *parts: str) -> str:
    """A table's name in the lake: the asset key's text."""
    return key(feed, *parts).to_user_string()
