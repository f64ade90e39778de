"""Fills gaps of the regular grid by each column's gap policy, at most as far as the feed's allows.

Every fill carries its age in steps, and uses nothing later than its step: what is to be interpolated has its last value
here, and `aerocast.features.gaps` makes the line, for each forecast from what was measured by then.
"""

from datetime import timedelta

from aerocast.common.sql import quoted
from aerocast.feed.declaration import Feed
from aerocast.tables.quantities import value_name

_AGE_LIMIT = 32_767  # ages are int16


def max_steps(feed: Feed) -> int:
    """The oldest age that a filled value may have, in steps."""
    return min(feed.gap_policy.max_steps, _AGE_LIMIT)


def lookback(feed: Feed) -> timedelta:
    """How far before a month's start a fill may find its value."""
    return max_steps(feed) * feed.cadence


def last_measured(feed: Feed, name: str) -> str:
    """SQL over a window `w` of steps: the series' newest value until a step, and its age there."""
    value = quoted(value_name(feed, name))
    return (
        f"last_value({value} IGNORE NULLS) OVER w AS {quoted(f'{name}_last')},"
        f" step - last_value(CASE WHEN {value} IS NOT NULL THEN step END IGNORE NULLS) OVER w"
        f" AS {quoted(f'{name}_since')}"
    )


def value_and_age(feed: Feed, name: str) -> str:
    """SQL over the columns of `last_measured` and `<name>_count`: the filled value and its age, null beyond the policy.

    A step with some of its readings is not zero.
    """
    since, method, value = quoted(f"{name}_since"), feed.gap_of(name), quoted(f"{name}_last")
    condition = f"{since} <= {0 if method == 'none' else max_steps(feed)}"
    if method == "zero":
        value = f"CASE WHEN {since} = 0 THEN {value} ELSE 0.0 END"
        condition += f" AND ({since} = 0 OR coalesce({quoted(f'{name}_count')}, 0) = 0)"
    allowed = f"CASE WHEN {condition} THEN"
    return (
        f"{allowed} {value} END AS {quoted(name)}, CAST({allowed} {since} END AS SMALLINT) AS {quoted(f'{name}_age')}"
    )
