"""Defines what every channel gives, and how it learns that a batch is in the table."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa

from aerocast.feed.declaration import Feed


class Batch(NamedTuple):
    """Readings of a feed, in raw's schema, as one commit takes them: all or none.

    Without a `position` the `segment` names the batch forever. A channel that counts what it gives has the `position`
    after the batch instead, and `segment` is then the channel's own name: what lies at or before the position that the
    table knows is there already.
    """

    segment: str
    table: pa.Table
    position: int | None = None


class Channel(Protocol):
    """One way into raw, of one feed. A kill may come between any two lines of its caller.

    `rejections` names what was put aside since the channel was created, one sentence each; `notes` says what was
    ignored or looks odd, each sentence once in the last `take`.
    """

    name: str
    rejections: list[str]
    notes: list[str]

    def backlog(self) -> int:
        """How much there is to take, in the channel's own unit; cheap, for a sensor's tick.

        Raises:
            AeroCastError: the channel cannot be read.
        """
        ...

    def take(self, feed: Feed) -> Iterator[Batch]:
        """The batches that are there, oldest first. A damaged delivery is put aside with its reason instead.

        Raises:
            AeroCastError: the channel cannot be read.
        """
        ...

    def confirm(self, batch: Batch) -> None:
        """Confirms that the batch is in the table (now, or since an earlier run that was killed)."""
        ...
