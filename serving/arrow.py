"""Arrow streams as bodies: the one module of the server that imports pyarrow, and only when the first such body comes.

Whoever never sends one pays neither its 60 MB nor its start (docs/decisions/014).
"""

from __future__ import annotations

from typing import Any

from serving.problems import problem
from serving.readings import (
    LONGEST_STATION,
    MOST_READINGS,
    STATION_RULE,
    TIME_RULE,
    Reader,
    checked_count,
    is_time,
    malformed,
)

FORM = "Arrow IPC stream"
EARLIEST, LATEST = -62_135_596_800, 253_402_300_800  # seconds since 1970 of the years 1 and 10000


def count(reader: Reader, body: bytes) -> int:
    """How many readings the stream holds. Raises a problem, as of `Reader.count`."""
    try:
        import pyarrow as pa
    except ImportError:
        detail = "This server is installed without pyarrow, and takes no Arrow streams; send JSON."
        raise problem("unsupported-media-type", detail, status=415, field="Content-Type", rule="JSON") from None
    rows = 0
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            _check_schema(reader, stream.schema)
            for batch in stream:
                if rows + batch.num_rows <= MOST_READINGS:
                    batch.validate(full=True)  # else offsets that a client has made up would be followed
                    _check_rows(reader, batch, rows)
                rows = min(rows + batch.num_rows, 1 << 62)
    except (pa.ArrowException, OSError, EOFError, OverflowError, ValueError) as error:
        raise malformed(body, FORM, (str(error).strip() or "it is cut off").splitlines()[0][:200]) from None
    return checked_count(rows)


def _check_schema(reader: Reader, schema: Any) -> None:
    station, time = reader.declared.station, reader.declared.time
    for name in schema.names:
        if name not in reader.names:
            raise reader.unknown(None, name)
        if schema.names.count(name) > 1:
            raise reader.refused(None, name, rule="one column of that name")
    for name in (station, time):
        if name not in schema.names:
            raise reader.missing(None, name)
    for field in schema:
        rule = _wrong_type(field.type, field.name, station, time)
        if rule:
            raise reader.refused(None, field.name, str(field.type), rule)


def _wrong_type(kind: Any, name: str, station: str, time: str) -> str | None:
    """The rule that a column's type breaks, if it breaks one."""
    from pyarrow import types

    plain = kind.value_type if types.is_dictionary(kind) else kind
    text = types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    if name == station:
        return None if text else "a column of texts"
    if name == time:
        stamped = types.is_timestamp(kind) and kind.tz is not None
        return None if text or stamped else "a column of timestamps with a time zone, or of texts in ISO 8601"
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)
    return None if number else "a column of numbers"


def _check_rows(reader: Reader, batch: Any, before: int) -> None:
    """Every row says where and when."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stations = batch.column(batch.schema.get_field_index(reader.declared.station)).cast(pa.string())
    length = pc.fill_null(pc.utf8_length(stations), 0)
    if bad := pc.indices_nonzero(pc.or_(pc.less(length, 1), pc.greater(length, LONGEST_STATION))).to_pylist():
        raise reader.refused(before + bad[0], reader.declared.station, stations[bad[0]].as_py(), STATION_RULE)
    times = batch.column(batch.schema.get_field_index(reader.declared.time))
    if pa.types.is_timestamp(times.type):
        seconds = times.to_numpy(zero_copy_only=False).astype("datetime64[s]").astype("int64")
        outside = ((seconds < EARLIEST) | (seconds >= LATEST)).nonzero()[0].tolist()  # what is missing is far below
        if outside:
            raise reader.refused(before + outside[0], reader.declared.time, None, TIME_RULE)
        return
    for index, time in enumerate(times.to_pylist(), before):
        if time is None or not is_time(time):
            raise reader.refused(index, reader.declared.time, time, TIME_RULE)
