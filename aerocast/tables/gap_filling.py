"""Fills gaps of the regular grid with the last measured value, at most as far as the feed's gap policy allows.

Every fill carries its age in steps, and uses nothing later than its step.
"""

from datetime import timedelta

from aerocast.common.sql import quoted
from aerocast.feed.declaration import Feed

_AGE_LIMIT = 32_767  # ages are int16


def max_steps(feed: Feed) -> int:
    """The oldest age that a filled value may have, in steps."""
    return min(feed.gap_policy.max_steps, _AGE_LIMIT)


def lookback(feed: Feed) -> timedelta:
    """How far before a month's start a fill may find its value."""
    return max_steps(feed) * feed.cadence


def last_measured(name: str) -> str:
    """SQL over a window `w` of steps: the series' newest mean until a step, and its age there."""
    mean = quoted(f"{name}_mean")
    return (
        f"last_value({mean} IGNORE NULLS) OVER w AS {quoted(f'{name}_last')},"
        f" step - last_value(CASE WHEN {mean} IS NOT NULL THEN step END IGNORE NULLS) OVER w"
        f" AS {quoted(f'{name}_since')}"
    )


def value_and_age(feed: Feed, name: str) -> str:
    """SQL over the columns of `last_measured`: the filled value and its age, null where the policy ends."""
    since = quoted(f"{name}_since")
    allowed = f"CASE WHEN {since} <= {max_steps(feed)} THEN"
    return (
        f"{allowed} {quoted(f'{name}_last')} END AS {quoted(name)},"
        f" CAST({allowed} {since} END AS SMALLINT) AS {quoted(f'{name}_age')}"
    )
