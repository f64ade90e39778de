"""Forgets old deliveries: a table remembers the newest `MEMORY` of each channel.

A delivery that is added once is a Delta application transaction by its name, with the number of its commit. It must be
remembered for as long as it can come again. Numbered deliveries (posts over HTTP, a polled service) have one position a
stream instead, and a month of a file its present content. Of the others these can come again:

- a file of the inbox until it is moved to `done/`: the newest of each process;
- a segment of the prediction log until it is deleted: those of one round, which is smaller than `MEMORY`;
- a claim until its broker commits it, that is the newest; and every claim that the broker still has, once it has lost
  its consumer. So a claim that is not beyond the newest position of its partition is looked up in the rows as well;
- an examination of drift that is forced again, which is the newest.

Delta cannot delete a transaction, but expires those whose `lastUpdated` is older than
`delta.setTransactionRetentionDuration`: an old one is committed again as of 1970, and the next checkpoint drops it.
"""

import re
from collections.abc import Mapping

from deltalake import DeltaTable, Transaction

MEMORY = 1000  # deliveries in each channel
EXPIRY = "delta.setTransactionRetentionDuration"
EXPIRED = 0  # `lastUpdated` of a forgotten transaction; no other has one
# The group is the delivery: a file comes in parts.
CHANNELS = tuple(
    map(re.compile, (r"(inbox/[0-9a-f]{64})/\d+", r"(claim/.+)", r"(\d{19}-[0-9a-f]{8})", r"([0-9a-f]{64})"))
)


def expirations(table: DeltaTable, records: Mapping[str, int]) -> list[Transaction]:
    """The transactions that expire the deliveries beyond each channel's memory; `records` are all of the table.

    Those of one number count as one.
    """
    if table.metadata().configuration.get(EXPIRY) is None:  # then nothing expires
        return []
    old: list[str] = []
    for channel in CHANNELS:
        deliveries = {name: match[1] for name in records if (match := channel.fullmatch(name))}
        newest: dict[str, int] = {}
        for name, delivery in deliveries.items():
            newest[delivery] = max(records[name], newest.get(delivery, 0))
        if len(newest) > MEMORY:
            least = sorted(newest.values())[-MEMORY]
            old += [name for name, delivery in deliveries.items() if newest[delivery] < least]
    return [Transaction(name, records[name], EXPIRED) for name in old]
