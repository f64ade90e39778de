"""Tokens by which the lake recognises a delivery, so that it is added exactly once.

A token's records are committed with the rows (`aerocast.lake.ledger`): a delivery that comes again finds them.
"""

from typing import NamedTuple, Protocol

from aerocast.lake import fingerprints
from aerocast.lake.ledger import Ledger


class Token(Protocol):
    """Recognises a delivery, so that it is added exactly once."""

    def is_delivered(self, ledger: Ledger) -> bool:
        """Whether the table has it already."""
        ...

    def records(self, commit: int) -> dict[str, int]:
        """What is recorded with its rows, given the number of the commit."""
        ...


class Once(NamedTuple):
    """A segment that is delivered once, as far as the table remembers (`aerocast.lake.memory`)."""

    segment: str

    def is_delivered(self, ledger: Ledger) -> bool:
        return ledger.has_segment(self.segment)

    def records(self, commit: int) -> dict[str, int]:
        return {self.segment: commit}


class Slot(NamedTuple):
    """A slot that holds one segment at a time, such as a month of a file: earlier content that returns counts again."""

    slot: str
    segment: str

    def is_delivered(self, ledger: Ledger) -> bool:
        return ledger.records.get(self.slot) == fingerprints.fingerprint(self.segment)

    def records(self, commit: int) -> dict[str, int]:
        return {self.slot: fingerprints.fingerprint(self.segment)}


class Stream(NamedTuple):
    """Deliveries in order: those up to the newest recorded position are delivered."""

    name: str
    position: int

    def is_delivered(self, ledger: Ledger) -> bool:
        newest = ledger.position(self.name)
        return newest is not None and self.position <= newest

    def records(self, commit: int) -> dict[str, int]:
        return {self.name: self.position}
