"""Measured readings out of silver, in the order of time: what a live client would have seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.common.sql import quoted
from aerocast.common.times import EPOCH
from aerocast.lake import Lake
from aerocast.storage.home import Home

BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One station's step: the values of the columns asked for, None where nothing was measured."""

    station: str
    time: datetime
    values: tuple[float | None, ...]


class Readings:
    """Silver of one feed."""

    def __init__(self, home: Home, feed: str) -> None:
        self._lake, self._name = Lake(home), f"{feed}/silver"

    def version(self) -> int | None:
        """Changes with the table; None while there is none. Raises AeroCastError when it cannot be read."""
        return self._lake.version(self._name)

    def rows(self, columns: Sequence[str], since: datetime) -> Iterator[Row]:
        """All steps from `since` on, by time and station, a month at a time.

        Raises:
            AeroCastError: there is no such table, or it lacks a column.
        """
        for month in self._lake.months(self._name):
            if month >= since.strftime("%Y-%m"):
                yield from self._month(month, columns, since)

    def _month(self, month: str, columns: Sequence[str], since: datetime) -> Iterator[Row]:
        values = ", ".join(f"CASE WHEN {quoted(f'{name}_age')} = 0 THEN {quoted(name)}::DOUBLE END" for name in columns)
        low = (since - EPOCH) // timedelta(microseconds=1)
        try:
            with duckdb.connect() as con:
                self._lake.relation(con, self._name, [month]).create_view("silver")
                rows = con.execute(
                    f"SELECT station, epoch_us(time), {values} FROM silver"
                    f" WHERE epoch_us(time) >= {low} ORDER BY time, station"
                )
                while batch := rows.fetchmany(BATCH):
                    for station, moment, *numbers in batch:
                        yield Row(station, EPOCH + timedelta(microseconds=moment), tuple(numbers))
        except duckdb.Error as error:
            raise AeroCastError(f"table {self._name} cannot be read: {str(error).splitlines()[0]}") from error
