"""Names the columns of a table of readings. The server imports this module: the standard library only."""

from typing import NamedTuple


class Columns(NamedTuple):
    """What a table of readings calls station (if it has one) and time, which fields it has, and what is ignored in it.

    A time of several columns is their texts, joined by a blank.
    """

    station: str | None
    time: tuple[str, ...]
    measured: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """What is read of the table, each name once."""
        return list(dict.fromkeys([*filter(None, [self.station]), *self.time, *self.measured]))
