"""Judges raw readings: valid values go to bronze, others to quarantine with a reason, and the books balance.

Belongs here: the rules, which of several deliveries of a value counts, the sentences that explain a quarantine, and the
count that proves that nothing is lost. Does not belong here: how readings come into raw (`aerocast.ingest.channels`),
how tables are stored (`aerocast.lake`), what is stale (`aerocast.tables`).

A reading goes to quarantine as a whole only for what concerns all of it: `malformed` (a line that could not be read),
`unparseable` (its time), `unknown_station`, `future`, `early`. Of all others bronze keeps the row. A value goes alone:
`unparseable`, `rejected` (by its sender), `range`, `sensor_fault`, `step`; bronze then holds null and a flag. Of
several values for one (station, time, column) the last delivered one that passes the rules counts; an absent or missing
value overwrites nothing.
"""

from aerocast.tables.quality.ahead import count_future
from aerocast.tables.quality.books import EMPTY, Audit, audit
from aerocast.tables.quality.cleaning import Cleaned, clean, source_months
from aerocast.tables.quality.quarantine import upgrade_columns
from aerocast.tables.quality.readings import READING_RULES, latest
from aerocast.tables.quality.shares import QuarantineShare, shares, shares_above, total_shares
from aerocast.tables.quality.steps import step_reach
from aerocast.tables.quality.value_rules import VALUE_RULES

__all__ = [
    "EMPTY",
    "READING_RULES",
    "VALUE_RULES",
    "Audit",
    "Cleaned",
    "QuarantineShare",
    "audit",
    "clean",
    "count_future",
    "latest",
    "shares",
    "shares_above",
    "source_months",
    "step_reach",
    "total_shares",
    "upgrade_columns",
]
