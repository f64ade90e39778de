"""What every door hands over, and what it is told once that is in the table."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa

from aerocast.feed.model import Feed


class Batch(NamedTuple):
    """Readings of a feed, in raw's schema, as one commit takes them: all or none.

    Without a `position` the `segment` names the batch forever. A door that counts what it hands over gives the
    `position` after the batch instead, and `segment` is then the door's own name: what lies at or before the position
    that the table knows is there already.
    """

    segment: str
    table: pa.Table
    position: int | None = None


class Door(Protocol):
    """One way into raw, of one feed. A kill may come between any two lines of whoever uses it.

    `rejected` names what was put aside since the door was made, one sentence each; `notes` says what was ignored or
    looks odd, each sentence once in the last `take`.
    """

    name: str
    rejected: list[str]
    notes: list[str]

    def waiting(self) -> int:
        """How much there is to take, in the door's own unit; cheap, for a sensor's tick.

        Raises:
            AeroCastError: the door cannot be looked at.
        """
        ...

    def take(self, feed: Feed) -> Iterator[Batch]:
        """What is there, oldest first. A damaged delivery is put aside with its reason, and is no batch.

        Raises:
            AeroCastError: the door cannot be read.
        """
        ...

    def done(self, batch: Batch) -> None:
        """The batch is in the table (now, or since an earlier run that was killed): the door may forget it."""
        ...
