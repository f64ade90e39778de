"""Looks claims up in raw: the newest by their transactions, older ones by its rows."""

import duckdb

from aerocast.ingest.brokers import Message
from aerocast.lake import Lake


class ClaimLedger:
    """What the feeds' raw tables know of claims, for one run."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._rows: dict[str, duckdb.DuckDBPyConnection] = {}

    def knows(self, name: str, message: Message, segment: str) -> bool:
        """Whether the claim's rows are there."""
        if self.lake.ledger(name).has_segment(segment):
            return True
        stream, number = message_position(message)
        newest = self.lake.ledger(name).position(stream)
        beyond = newest is not None and number is not None and number > newest
        return not beyond and self._in_rows(name, segment)

    def _in_rows(self, name: str, segment: str) -> bool:
        """Looked at once a run: what comes in meanwhile is known by its transaction."""
        if not self.lake.exists(name):
            return False
        if name not in self._rows:
            con = self._rows[name] = duckdb.connect()
            rows = self.lake.relation(con, name).filter("starts_with(segment, 'claim/')")
            rows.select("segment").distinct().to_table("claimed")
        row = self._rows[name].execute("SELECT count(*) FROM claimed WHERE segment = ?", [segment]).fetchone()
        return bool(row and row[0])


def message_position(message: Message) -> tuple[str, int | None]:
    """The stream whose position raw keeps, and the message's position in it; none where a broker does not count."""
    partition, _, number = message.position.rpartition(":")
    return f"place/{message.topic}/{partition}", int(number) if number.isdigit() else None
