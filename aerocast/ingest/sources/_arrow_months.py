"""Sorts Arrow tables of readings into deliveries by month, for sources that are asked for what is new."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import to_raw
from aerocast.tables.raw import Delivery, segment_of


def deliveries_of(
    feed: Feed, readings: pa.Table, now: datetime, months: Sequence[str] | None
) -> tuple[list[Delivery], datetime | None]:
    """The readings by month, each month with a segment of its own, and the newest instant among them.

    `readings` has the source's columns, numbers, texts or times; `months` are those that are asked for, None for all.

    Raises:
        AeroCastError: a declared column is missing, or is of a type that holds no such thing.
    """
    try:
        table = to_raw(feed, readings, feed.source.label, "", now)
    except ReadingError as error:
        raise AeroCastError(f"source {feed.source.label}: {error}") from error
    return list(_by_month(feed.source.label, table, months)), pc.max(table["time"]).as_py()


def _by_month(label: str, table: pa.Table, months: Sequence[str] | None) -> Iterator[Delivery]:
    texts = [name for name in table.column_names if table.schema.field(name).type == pa.string()]
    for month in sorted(table["month"].unique().to_pylist()):
        if months is not None and month not in months:
            continue
        own = table.filter(pc.field("month") == month)
        segment = segment_of(own.select(texts))
        at = own.column_names.index("segment")
        own = own.set_column(at, "segment", pa.repeat(pa.scalar(segment), len(own)))
        yield Delivery(month, segment, f"{label} {month}", own.cast(table.schema))
