"""Deliveries from their channel to bronze without Dagster, by the steps of the raw and bronze assets."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels import channels_of
from aerocast.ingest.channels.intake import IntakeReport, admit_stations, place_strays, take_all, take_source
from aerocast.ingest.channels.posted import PostStore
from aerocast.ingest.channels.readings import definition_of
from aerocast.ingest.channels.slots import fingerprints_of_slots
from aerocast.lake import Lake
from aerocast.storage.settings import Settings
from aerocast.tables import quality
from aerocast.tables.layers import layers_called
from serving.readings import check

LATER = datetime(2026, 6, 1, tzinfo=UTC)
Row = dict[str, Any]


def refresh(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, now: datetime, name: str = "bronze") -> list[str]:
    """Rebuild the stale months of the layer as its asset does, and return them."""
    (layer,) = layers_called(feed, name)
    months = lake.months(layer.source)
    facts = layer.observe(con, lake, months, now)
    return layer.refresh(con, lake, months, facts) if facts else []


class Deliveries:
    """A home that takes deliveries of one feed, whose declaration may change at any time."""

    def __init__(self, home: Path, feed: Feed) -> None:
        self.home, self.feed, self.lake = home, feed, Lake(home)

    def drop(self, name: str, data: bytes | Path) -> Path:
        """Put a file into the inbox by renaming it."""
        folder = self.home / "inbox" / self.feed.name
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        part.write_bytes(data.read_bytes() if isinstance(data, Path) else data)
        return part.rename(folder / name)

    def post(self, body: bytes, kind: str = "json", key: str | None = None) -> tuple[str, ...]:
        """Store a posted body as the server does, and return the names of its ignored fields."""
        rows, ignored = check(definition_of(self.feed), kind, body)
        posted = PostStore(self.home, self.feed.name)
        try:
            posted.post(key, body, kind, rows)
        finally:
            posted.close()
        return ignored

    def take(self, now: datetime = LATER) -> IntakeReport:
        """Everything that waits in the channels, and all that the source has."""
        now = self.feed.clock(now)
        taken = take_all(self.lake, self.feed, channels_of(self.home, self.feed, Settings(home=str(self.home))))
        after: dict[str, datetime] = {}
        slots = fingerprints_of_slots(self.lake, self.feed) if self.feed.source.watch == "whole" else None
        request = ReadRequest(None, now, after, self.home / "sources", taken.notes, slots)
        take_source(self.lake, self.feed, self.feed.source.read(self.feed, request), taken)
        place_strays(self.lake, self.feed, now, taken)
        admit_stations(self.lake, self.feed, (), taken)
        return taken

    def clean(self, now: datetime = LATER) -> quality.Audit:
        """Refresh every month of bronze and quarantine, and return the books, which must balance."""
        raw, good, bad = (f"{self.feed.name}/{layer}" for layer in ("raw", "bronze", "quarantine"))
        with duckdb.connect() as con:
            refresh(con, self.lake, self.feed, self.feed.clock(now))
            books = quality.audit(con, self.feed, *(self.lake.relation(con, name) for name in (raw, good, bad)))
        assert books.balanced, books
        return books

    def __call__(self, now: datetime = LATER) -> quality.Audit:
        self.taken = self.take(now)
        return self.clean(now)

    def rows(self, layer: str, order: str = "time, station") -> list[Row]:
        """The rows of a table."""
        with duckdb.connect() as con:
            return self.lake.relation(con, f"{self.feed.name}/{layer}").order(order).to_arrow_table().to_pylist()

    def count(self, layer: str) -> int:
        return sum(self.lake.rows(f"{self.feed.name}/{layer}").values())

    def values(self, *columns: str) -> dict[tuple[str, str], Any]:
        """Bronze by (station, minute): the value of one column, or a tuple of several."""
        return {
            (row["station"], f"{row['time'].astimezone(UTC):%m-%dT%H:%M}"): (
                row[columns[0]] if len(columns) == 1 else tuple(row[column] for column in columns)
            )
            for row in self.rows("bronze")
        }

    def measured(self) -> dict[str, int]:
        """The number of values in bronze by column."""
        rows = self.rows("bronze")
        return {column.name: sum(row[column.name] is not None for row in rows) for column in self.feed.columns}

    def rules(self) -> Mapping[str, int]:
        """The number of rows in quarantine by rule."""
        found: dict[str, int] = {}
        for row in self.rows("quarantine"):
            found[row["rule"]] = found.get(row["rule"], 0) + 1
        return found
