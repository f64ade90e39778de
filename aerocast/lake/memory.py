"""What a table remembers of its deliveries: of each channel the newest `MEMORY`, however many there were.

A delivery that is taken once is a Delta application transaction by its name, with the number of its commit. It must be
known for as long as it can come again. What counts its deliveries (posts over HTTP, a polled service) has one position
a stream instead, and a file's month the content that it holds now. Of the others these can come again:

- a file of the inbox until it is moved to `done/`: one after the other, so the newest of each process that takes;
- a segment of the prediction log until it is deleted: those of one round, which is smaller than `MEMORY`;
- a claim until its broker commits it, that is the newest; and all that the broker keeps, once it has forgotten its
  consumer. So a claim that is not beyond the newest position of its partition is looked for in the rows as well;
- an examination of drift that is forced again, which is the newest.

Delta has no commit that deletes a transaction, but lets those expire whose `lastUpdated` is older than
`delta.setTransactionRetentionDuration`: an old one is committed again as of 1970, and the next checkpoint drops it.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable, Transaction

MEMORY = 1000  # deliveries of a channel
EXPIRY = "delta.setTransactionRetentionDuration"
EXPIRED = 0  # `lastUpdated` of what is forgotten; nothing else has one
# The group is the delivery: a file comes in parts. By name, so that what an older home knows is recognised, too.
CHANNELS = tuple(
    map(re.compile, (r"(inbox/[0-9a-f]{64})/\d+", r"(claim/.+)", r"(\d{19}-[0-9a-f]{8})", r"([0-9a-f]{64})"))
)
_AT_ONCE = 100_000  # in one commit, of an older home, which has one for every delivery ever


def expirations(table: "DeltaTable", known: Mapping[str, int]) -> "list[Transaction]":
    """The transactions that let go what is beyond each channel's memory; `known` are all of the table.

    Those of one number count as one: an older home's are all remembered until there are enough new ones.
    """
    from deltalake import Transaction

    if table.metadata().configuration.get(EXPIRY) is None:  # else it would be remembered all the same
        return []
    old: list[str] = []
    for channel in CHANNELS:
        deliveries = {name: found[1] for name in known if (found := channel.fullmatch(name))}
        newest: dict[str, int] = {}
        for name, delivery in deliveries.items():
            newest[delivery] = max(known[name], newest.get(delivery, 0))
        if len(newest) > MEMORY:
            least = sorted(newest.values())[-MEMORY]
            old += [name for name, delivery in deliveries.items() if newest[delivery] < least]
    return [Transaction(name, known[name], EXPIRED) for name in old[:_AT_ONCE]]
