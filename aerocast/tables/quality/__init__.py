"""Raw -> bronze and quarantine: readings are judged as wholes, their values one by one, and the books balance.

Belongs here: the rules, which of several deliveries of a value counts, the sentences that say why a value is in
quarantine, and the count that proves that nothing is lost. Does not belong here: how raw came to be
(`aerocast.ingest.channels`), where tables lie (`aerocast.lake`), what is stale (`aerocast.tables`).

A reading goes to quarantine as a whole only for what concerns all of it: `malformed` (a line that could not be read),
`unparseable` (its time), `unknown_station`, `future`, `early`. Of all others bronze keeps the row. A value goes alone:
`unparseable`, `rejected` (by its sender), `range`, `sensor_fault`, `step`; bronze then holds null and a flag. Of
several values for one (station, time, column) the last delivered one that passes the rules counts; what is absent or
missing says nothing and overwrites nothing.
"""

from aerocast.tables.quality.ahead import ahead
from aerocast.tables.quality.books import EMPTY, Audit, audit
from aerocast.tables.quality.cleaning import Cleaned, clean, months_read, reach
from aerocast.tables.quality.quarantine import adopt
from aerocast.tables.quality.readings import READING_RULES, latest
from aerocast.tables.quality.shares import QuarantineShare, high, shares, together
from aerocast.tables.quality.values import VALUE_RULES

__all__ = [
    "EMPTY",
    "READING_RULES",
    "VALUE_RULES",
    "Audit",
    "Cleaned",
    "QuarantineShare",
    "adopt",
    "ahead",
    "audit",
    "clean",
    "high",
    "latest",
    "months_read",
    "reach",
    "shares",
    "together",
]
