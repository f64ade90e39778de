"""Deliveries as every source gives them: one month each, in raw's schema, as the text that was received."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_of, month_span
from aerocast.common.times import LATEST
from aerocast.feed.declaration import Feed
from aerocast.feed.layout import status_names

if TYPE_CHECKING:
    import pyarrow as pa

# Raw's own columns; a source's field of such a name is stored with an underscore behind it.
BEFORE = ("station", "time", "time_text", "source", "segment", "flags")
AFTER = ("line", "month", "delivery")
# What the intake itself says of a row in `flags`. A withdrawal is no reading: what the same source said before it of
# this station and time is gone. A malformed line has no station and no time; its text is its `time_text`.
WITHDRAWAL, MALFORMED = "withdrawal", "malformed="


class Delivery(NamedTuple):
    """Readings of one month as delivered; `segment` is the content's hash.

    One that `is_unchanged` is in the table as it is, and brings no rows. The `slot` of a file's month holds one content
    at a time: a changed file replaces, not adds. What a live source delivers is taken row by row instead, as far as it
    is news (see `aerocast.ingest.channels.intake`).
    """

    month: str
    segment: str
    slot: str
    table: pa.Table
    is_unchanged: bool = False


def raw_names(feed: Feed) -> dict[str, str]:
    """Column of raw for each source field that the feed declares, aliases included, in the declaration's order.

    Behind the fields of values come those of their status.

    Raises:
        AeroCastError: two fields differ only in case, which no SQL engine tells apart.
    """
    names: dict[str, str] = {}
    values = [field for column in feed.columns for field in column.fields]
    for field in (*values, *(name for column in feed.columns for name in status_names(feed, column))):
        reserved = field.casefold() in (*BEFORE, *AFTER)
        names[field] = f"{field}_" if reserved else field
    folded = [name.casefold() for name in names.values()]
    for field, name in names.items():
        if folded.count(name.casefold()) > 1:
            raise AeroCastError(f"feed {feed.name}: columns.field {field!r} is like another one but for case")
    return names


def raw_schema(feed: Feed) -> pa.Schema:
    """Raw without `delivery`, which the lake adds: the order of the commits. `line` is the row's place in its segment.

    A row's order among all that was ever delivered is (`delivery`, `line`). `flags` is what its sender says of single
    values, `column=CODE` with a space between two (`windspeed=Q`): X rejected, Q questioned; null for nothing. The
    intake's own words in it are `withdrawal`, and `malformed=` with the line's number and what is wrong with it.
    """
    import pyarrow as pa

    names = [*BEFORE, *raw_names(feed).values(), "line", "month"]
    types = {"time": pa.timestamp("us", "UTC"), "line": pa.int64()}
    return pa.schema([(name, types.get(name, pa.string())) for name in names])


def placeable(feed: Feed, now: datetime) -> tuple[datetime, datetime]:
    """The first instant, and the one after the last, whose months take readings at the feed's `now`.

    A reading of another time, or of none that can be read, lies in a month that it came with.
    """
    last = feed.end - timedelta(microseconds=1) if feed.end else LATEST
    present = min(max(now, feed.start), last)
    ahead = present + min(feed.cadence, last - present)
    return month_span(month_of(feed.start))[0], month_span(month_of(ahead))[1]


def delivery(
    feed: Feed, month: str, segment: str, times: Sequence[datetime | None], texts: Mapping[str, Any]
) -> Delivery:
    """A month's rows in their order: their instants, and their texts by raw's column; all other texts are null."""
    same = {"source": feed.source.label, "segment": segment, "month": month}
    import pyarrow as pa

    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    columns |= {name: pa.repeat(pa.scalar(value), len(times)) for name, value in same.items()}
    columns |= {"time": pa.array(times, pa.timestamp("us", "UTC")), "line": pa.array(range(len(times)), pa.int64())}
    schema, nothing = raw_schema(feed), pa.nulls(len(times), pa.string())
    table = pa.table([columns.get(name, nothing) for name in schema.names], schema=schema)
    return Delivery(month, segment, f"{feed.source.label} {month}", table)


def segment_of(table: pa.Table) -> str:
    """SHA-256 of the texts and nulls in a table's string columns, the same however Arrow has chunked them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        lengths, texts = hashlib.sha256(), hashlib.sha256()
        for chunk in column.chunks:
            whole = chunk.cast(pa.large_string())
            lengths.update(pc.binary_length(whole).fill_null(-1).cast(pa.int64()).to_numpy().tobytes())
            texts.update(_texts(whole.fill_null("")))
        total.update(name.encode() + lengths.digest() + texts.digest())
    return total.hexdigest()


def _texts(array: pa.LargeStringArray) -> memoryview:
    """The bytes of all texts of an array, one after the other."""
    _, offsets, data = array.buffers()
    ends = memoryview(offsets).cast("q")[array.offset : array.offset + len(array) + 1]
    return memoryview(data or b"")[ends[0] : ends[-1]] if len(array) else memoryview(b"")
