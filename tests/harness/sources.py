"""Polls a feed's source into a lake, as raw's asset does."""

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels.intake import IntakeReport, take_source
from aerocast.lake import Lake


class Poller:
    """One feed, its lake, and what its source remembers; `notes` are those of the last poll."""

    def __init__(self, feed: Feed, folder: Path, lake: str = "lake") -> None:
        self.feed, self.lake, self.work, self.notes = feed, Lake(folder / lake), folder / "work", list[str]()

    def poll(self, now: datetime, months: list[str] | None = None) -> int:
        """How many rows of raw are new. Raises AeroCastError if the source could not be read to its end."""
        self.notes, report = [], IntakeReport()
        after: dict[str, datetime] = {row["month"]: row["time"] for row in self.rows() if row["time"]}
        request = ReadRequest(months, now, after, self.work, self.notes)
        take_source(self.lake, self.feed, self.feed.source.read(self.feed, request), report)
        if report.failures:
            raise AeroCastError(next(iter(report.failures.values())))
        return report.rows.total()

    def rows(self) -> list[dict[str, Any]]:
        """Raw in order of time."""
        name = f"{self.feed.name}/raw"
        if not self.lake.exists(name):
            return []
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            return self.lake.relation(con, name).to_arrow_table().sort_by("time").to_pylist()
