"""Names the columns of a table of readings. The server imports this module: the standard library only."""

from typing import NamedTuple


class Columns(NamedTuple):
    """What a table of readings calls station and time, which measured fields it has, and what is ignored in it."""

    station: str
    time: str
    measured: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """What is read of the table, each name once."""
        return list(dict.fromkeys([self.station, self.time, *self.measured]))
