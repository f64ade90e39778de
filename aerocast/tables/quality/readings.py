"""Reads rows of raw as typed readings, with the rule that one breaks as a whole and the values that pass theirs."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from aerocast.common import times
from aerocast.common.months import month_span
from aerocast.common.sql import literal, timestamp, timestamptz
from aerocast.contracts.drift_state import Fault
from aerocast.feed.declaration import Feed
from aerocast.tables.quality import value_rules
from aerocast.tables.quality.value_rules import BLANKS
from aerocast.tables.raw import MALFORMED, WITHDRAWAL

READING_RULES = ("malformed", "unparseable", "unknown_station", "future", "early", "sensor_fault")


def typed(
    feed: Feed, source: str, months: Sequence[str], now: datetime, faults: Sequence[Fault], have: Collection[str]
) -> str:
    """A select of the rows of raw in `source`: key in raw, station, time, a double for each column, `rule`, `bad`.

    The columns are `v0`, `v1` ... in the order of the declaration, because their names may be any.
    `rule` is the first that the reading breaks as a whole (or `withdrawal`), `bad` whether one of its values breaks a
    rule; such a value is null. `have` are raw's columns.
    """
    columns = range(len(feed.columns))
    borders = ", ".join(f"({literal(month)}, {', '.join(map(timestamp, month_span(month)))})" for month in months)
    numbers = ", ".join(f"{value_rules.value(feed, i)} AS v{i}" for i in columns)
    bad = " OR ".join(value_rules.fails(feed, i, f"v{i}") for i in columns)
    names = ", ".join(f"v{i}" for i in columns)
    return f"""
        SELECT month, station, time, delivery, line, segment, flags, {names}, {_rule(feed, now, faults)} AS rule,
            {bad} AS bad
        FROM (SELECT *, {numbers} FROM (SELECT *, {value_rules.canonical(feed)} FROM (
            SELECT r.month, {station(feed)} AS station, make_timestamp(epoch_us(r.time)) AS time, r.delivery, r.line,
                r.segment, {value_rules.flags(feed, have)} AS flags, {value_rules.texts(feed, have)}, b.low, b.high
            FROM {source} r JOIN (VALUES {borders}) b(month, low, high) ON r.month = b.month)))"""


def station(feed: Feed) -> str:
    """The declared id of a row's station, which may be an alias in raw."""
    plain = f"trim(r.station, {BLANKS})"
    aliases = [(alias, each.id) for each in feed.stations for alias in each.aliases]
    cases = " ".join(f"WHEN {literal(alias.strip(times.BLANKS))} THEN {literal(own)}" for alias, own in aliases)
    return f"CASE {plain} {cases} ELSE {plain} END" if aliases else plain


def latest(feed: Feed, now: datetime) -> datetime:
    """The newest credible time: one step after the feed's clock."""
    return feed.clock(now) + feed.cadence


def is_faulty(faults: Sequence[Fault], column: str) -> str:
    """Whether a sensor fault covers a typed row's value of this column."""
    return " OR ".join(covers(fault) for fault in faults if fault.column == column) or "false"


def faults_of_stations(feed: Feed, faults: Sequence[Fault]) -> list[Fault]:
    """The faults that concern all columns of a station, such as a wrong clock."""
    names = {column.name for column in feed.columns}
    return [fault for fault in faults if fault.column not in names]


def covers(fault: Fault, row: str = "") -> str:
    """Whether a typed row lies in the fault's span."""
    until = f" AND {row}time < {timestamp(fault.end)}" if fault.end else ""
    return f"({row}station = {literal(fault.station)} AND {row}time >= {timestamp(fault.start)}{until})"


def _rule(feed: Feed, now: datetime, faults: Sequence[Fault]) -> str:
    is_faulty = " OR ".join(covers(fault) for fault in faults_of_stations(feed, faults)) or "false"
    return f"""CASE
            WHEN flags IS NOT NULL AND flags = {literal(WITHDRAWAL)} THEN 'withdrawal'
            WHEN flags IS NOT NULL AND starts_with(flags, {literal(MALFORMED)}) THEN 'malformed'
            WHEN time IS NULL THEN 'unparseable'
            WHEN station IS NULL OR station NOT IN ({", ".join(map(literal, feed.station_ids))}) THEN 'unknown_station'
            WHEN time > {timestamp(latest(feed, now))} OR time >= high THEN 'future'
            WHEN time < {timestamp(feed.start)} OR time < low THEN 'early'
            WHEN {is_faulty} THEN 'sensor_fault' END"""


def is_near(spans: list[tuple[datetime, datetime]], reach: timedelta) -> str:
    """Whether a row of raw lies within `reach` of one of these spans."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if merged and start - reach <= merged[-1][1] + reach:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return " OR ".join(
        f"(r.time >= {timestamptz(start - reach)} AND r.time < {timestamptz(end + reach)})" for start, end in merged
    )
