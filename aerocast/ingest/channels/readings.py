"""Converts readings as clients send them to raw's schema: names by the declaration, every value as text.

What is malformed is refused by the definition. What is well-formed but wrong (a future time, a station nobody knows, a
value that is no number or out of range) goes into raw: bronze judges it, and quarantine keeps it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.months import month_of
from aerocast.common.sql import literal
from aerocast.common.times import LATEST
from aerocast.contracts.declared import publication_of
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import arrow
from aerocast.ingest.channels.definition import Definition
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_file import Piece
from aerocast.ingest.deliveries.layout import LaidOut, Layout
from aerocast.ingest.instants import Instants, instants_of
from aerocast.tables.raw import placeable, raw_schema

__all__ = ["definition_of", "laid_out", "one_batch", "to_raw"]


def definition_of(feed: Feed, *, file_station: bool = False) -> Definition:
    """How readings of the feed are read, in every channel; `file_station`: a file's name says their station."""
    publication = publication_of(feed)
    return Definition(msgspec.structs.replace(publication, is_station_optional=True) if file_station else publication)


def to_raw(
    feed: Feed,
    rows: pa.Table | Piece,
    source: str,
    segment: str,
    now: datetime,
    deliveries: Sequence[int] = (),
    instants: Instants | None = None,
    layout: Layout | None = None,
) -> pa.Table:
    """The rows in raw's schema and in their order; `source` and `segment` are kept with each.

    `layout` is that of a delivery that is read piece by piece.

    Named and typed as `definition` says; measured columns are in their `source_unit`, and one that is
    not there is missing in every row. `deliveries`: how many rows each delivery has, where the rows are of several; a
    repeated hour of a wall clock is told apart within one, or by `instants` that know the delivery's other rows. A row
    whose time cannot be read, or lies before the feed's start or after `now`'s month, goes to `now`'s month.

    Raises:
        ReadingError: no station or time column, or one of a type that holds no such thing.
    """
    piece = rows if isinstance(rows, Piece) else Piece(rows)
    layout = layout or Layout(feed)
    definition = definition_of(feed, file_station=layout.has_station)
    laid, origin = laid_out(definition, layout, piece)
    clocks = laid["station"]  # whose wall clock a time is read from: a station's, and of each delivery again
    if deliveries:
        number = pa.array([str(at) for at, count in enumerate(deliveries) for _ in range(count)], pa.string())
        number = number if origin is None else number.take(origin)
        clocks = pc.binary_join_element_wise(pc.fill_null(clocks, ""), number, "/")
    times, months = _times_and_months(feed, laid["time_text"], clocks, now, instants)
    whole = {name: laid[name] for name in laid.column_names}
    whole |= {name: _repeat(text, len(laid)) for name, text in {"source": source, "segment": segment}.items()}
    whole |= {"time": times, "month": months, "line": pa.array(range(len(laid)), pa.int64())}
    schema, nothing = raw_schema(feed), _repeat(None, len(laid))
    return pa.table([whole.get(name, nothing) for name in schema.names], schema=schema)


def laid_out(definition: Definition, layout: Layout, piece: Piece) -> LaidOut:
    """The piece's rows as those of raw, without their instants. Raises ReadingError as `to_raw`."""
    texts, _ = arrow.as_texts(definition, piece.table)
    columns = Columns(definition.station[0], (definition.time[0],), definition.measured)
    return layout.rows(piece._replace(table=texts), columns)


def one_batch(tables: Sequence[pa.Table], segment: str) -> pa.Table:
    """Rows of raw as one batch: they bear its segment, and `line` counts through them."""
    table = pa.concat_tables(tables)
    for name, column in {
        "segment": _repeat(segment, len(table)),
        "line": pa.array(range(len(table)), pa.int64()),
    }.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def _repeat(text: str | None, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)


def _times_and_months(
    feed: Feed, texts: pa.ChunkedArray, clocks: pa.ChunkedArray, now: datetime, instants: Instants | None
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The instant of each text (null if it is none), and the month that its row goes to."""
    low, high = (literal(f"{edge:%Y-%m-%d}") for edge in placeable(feed, now))
    last = feed.end - timedelta(microseconds=1) if feed.end else LATEST
    stray = literal(month_of(min(max(now, feed.start), last)))
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        times = (instants or instants_of(con, feed)).of(texts, clocks)
        con.register("placed", pa.table({"time": times}))
        months = con.sql(
            f"SELECT CASE WHEN time >= {low} AND time < {high} THEN strftime(time, '%Y-%m') ELSE {stray} END AS month"
            " FROM placed"
        ).to_arrow_table()["month"]
    return times, months
