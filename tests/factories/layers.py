"""Raw, bronze, quarantine and silver of a feed, without Dagster."""

from datetime import datetime

import duckdb

from aerocast.common.lineage import config_hash
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.lake import Lake, Slot
from aerocast.lake.fingerprints import NO_EDGES
from aerocast.tables import faults, quality, silver


def make_layers(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, now: datetime) -> None:
    """As the assets make them of the source, with the faults that are believed at `now`."""
    name = feed.name
    for delivery in feed.source.read(feed, ReadRequest(None, now)):
        lake.append(f"{name}/raw", delivery.table, Slot(delivery.slot, delivery.segment))
    months, known = lake.months(f"{name}/raw"), faults.read_faults(con, lake, f"{name}/faults")
    cleaned = quality.clean(con, feed, lake.relation(con, f"{name}/raw"), months, now, known)
    marks = {
        month: config_hash(made=str(lake.version(f"{name}/raw")), faults=faults.relevant_faults(known, month))
        for month in months
    }
    lake.replace(f"{name}/quarantine", cleaned.quarantine, months, edges=NO_EDGES)
    lake.replace(f"{name}/bronze", cleaned.bronze, months, marks)
    span = lake.span(f"{name}/bronze")
    assert span
    extent = silver.Extent.of_recording(feed, *span)
    built = silver.build(con, feed, lake.relation(con, f"{name}/bronze"), months, extent)
    lake.replace(f"{name}/silver", built, months, marks, edges=NO_EDGES)
