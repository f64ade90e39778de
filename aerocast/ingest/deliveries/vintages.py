"""Splits rows that say when their values were issued: what is known ahead becomes a reading of the time of its issue.

A row of `time` 12:00 that was issued at 06:00 is a reading of 06:00 that has its value in the field of the lead, six
steps. What is measured in the same row stays a reading of 12:00. A lead that no horizon needs is left out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aerocast.common.times import BLANKS
from aerocast.features.local_time import offsets
from aerocast.feed import known_ahead
from aerocast.feed.declaration import Feed
from aerocast.ingest.instants import Instants
from aerocast.tables import steps


def split(feed: Feed, keys: pa.Table, measured: pa.Table, sent: pa.Table) -> tuple[pa.Table, pa.Array]:
    """Rows of raw from rows with `keys` (station, time_text, flags), and the place of each among these.

    `measured` are raw's columns of what is no forecast, `sent` the source's fields of texts, with `issued_field`.
    """
    issued, nothing = sent[feed.source.issued_field], pa.scalar(None, pa.string())
    has_issue = _has_text(issued)
    lead, is_time = _leads(feed, keys, issued)
    ahead: dict[str, pa.ChunkedArray] = {}
    for column, field, base in known_ahead.issued_fields(feed):
        is_own = pa.array(lead == column.lead)
        has_field = base in sent.column_names
        ahead[field] = pc.if_else(is_own, sent[base], nothing) if has_field else pa.nulls(len(keys), pa.string())
    plain = pa.table({**_columns(keys), **_columns(measured), **dict.fromkeys(ahead, pa.nulls(len(keys), pa.string()))})
    # Where the time that is forecast cannot be read, the reading is not credible at the time of its issue, either.
    texts = pc.if_else(pa.array(is_time), issued, keys["time_text"])
    vintage = plain.set_column(plain.column_names.index("time_text"), "time_text", texts)
    for name in measured.column_names:
        vintage = vintage.set_column(vintage.column_names.index(name), name, pa.nulls(len(keys), pa.string()))
    for name, values in ahead.items():
        vintage = vintage.set_column(vintage.column_names.index(name), name, values)
    is_reading = pc.or_(_any_text(measured), pc.or_(pc.invert(has_issue), pc.is_valid(keys["flags"])))
    is_vintage = pc.and_(has_issue, pc.or_(pa.array(np.isnan(lead)), _any_text(pa.table(ahead))))
    parts = [(plain, is_reading), (vintage, is_vintage)]
    origins = [pc.indices_nonzero(pc.fill_null(own, False)) for _, own in parts]
    whole = pa.concat_tables([table.take(origin) for (table, _), origin in zip(parts, origins, strict=True)])
    origin = np.concatenate([each.to_numpy() for each in origins])
    order = np.argsort(origin, kind="stable")
    return whole.take(pa.array(order)), pa.array(origin[order])


def _leads(feed: Feed, keys: pa.Table, issued: pa.ChunkedArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Steps from each row's issue to its time, NaN where one cannot be read; and whether the time can."""
    import duckdb

    numbers = []
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for texts in (keys["time_text"], issued):
            read = Instants(con, feed.source.times).of(_chunked(texts), _chunked(keys["station"]))
            numbers.append(_steps(feed, read.to_numpy().astype("datetime64[us]")))
    valid, issue = numbers
    return valid - issue, np.isfinite(valid)


def _steps(feed: Feed, times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """The number of the step that holds each time; NaN for none."""
    seconds = np.where(np.isnat(times), np.nan, times.astype(np.int64) / 1e6)
    if steps.follow_clock(feed):
        seconds = seconds + offsets(times.astype("datetime64[s]"), next(iter(feed.zones.values())))
    origin, cadence = steps.label(feed, 0).timestamp(), feed.cadence.total_seconds()
    numbers: NDArray[np.float64] = np.floor((seconds - origin) / cadence)
    return numbers


def _has_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.not_equal(pc.utf8_trim(column, characters=BLANKS), ""), False)


def _any_text(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    result = pa.repeat(pa.scalar(False), len(table))
    for column in table.columns:
        result = pc.or_(result, _has_text(column))
    return result


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _chunked(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
