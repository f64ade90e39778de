"""Readings as clients send them -> raw's schema: names by the declaration, every value as text, nothing judged.

What is malformed is refused here, with field, value and rule. What is well-formed but wrong (a future time, a station
nobody knows, a value out of range) goes into raw: bronze judges it, and quarantine keeps it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.declared import door_names
from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast.months import month_of, month_span
from aerocast.sources.base import iso_time, raw_names, raw_schema
from aerocast.sql import literal

_SHOWN, _LISTED = 60, 300
_YEARS = (-62_135_596_800, 253_402_300_800)  # seconds since 1970 of the years 1 and 10000
_DATED = "time >= '0001-01-01' AND time < '9999-12-31'"  # an offset can lead beyond what Python and Delta can say
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


class Malformed(AeroCastError):
    """Readings that no judge could read: `field` holds `value`, and the `rule` says what is allowed."""

    def __init__(self, field: str, value: object, rule: str, where: str = "") -> None:
        self.field, self.value, self.rule = field, shortened(value), rule
        super().__init__(f"{where + ': ' if where else ''}{field} is {self.value}; allowed: {rule}")


def to_raw(feed: Feed, rows: pa.Table, source: str, segment: str, now: datetime) -> pa.Table:
    """The rows in raw's schema and in their order; `source` and `segment` are kept with each.

    A station and a time are named as the feed's source names them, or `station` and `time`; measured columns by their
    `field`, in their `source_unit`; one that is not there is missing in every row. Times without an offset are UTC. A
    row whose time cannot be read, or lies before the feed's start or after `now`'s month, goes to `now`'s month.

    Raises:
        AeroCastError: no station or time column, an unknown column, or one of a type that holds no such thing.
    """
    station, time = _place(feed, rows.column_names)
    names = raw_names(feed)
    texts = {"station": _text(rows.column(station), station), "time_text": _time_text(rows.column(time), time)}
    nothing = pa.nulls(len(rows), pa.string())
    for field, name in names.items():
        texts[name] = _text(rows.column(field), field) if field in rows.column_names else nothing
    instants, months = _placed(feed, texts["time_text"], now)
    same = pa.array([0] * len(rows), pa.int8())
    constant = {name: pa.array([text], pa.string()).take(same) for name, text in _constants(source, segment).items()}
    whole = texts | constant | {"time": instants, "month": months, "line": pa.array(range(len(rows)), pa.int64())}
    schema = raw_schema(feed)
    return pa.table([whole[name] for name in schema.names], schema=schema)


def check(feed: Feed, schema: pa.Schema) -> tuple[str, str]:
    """What these columns call station and time. Raises AeroCastError where `to_raw` would."""
    station, time = _place(feed, schema.names)
    for name in schema.names:
        nothing = pa.chunked_array([], schema.field(name).type)
        _time_text(nothing, name) if name == time else _text(nothing, name)
    return station, time


def as_batch(tables: Sequence[pa.Table], segment: str) -> pa.Table:
    """Rows of raw as one batch: they bear its segment, and `line` counts through them."""
    table = pa.concat_tables(tables)
    values = {
        "segment": pa.array([segment], pa.string()).take(pa.array([0] * len(table), pa.int8())),
        "line": pa.array(range(len(table)), pa.int64()),
    }
    for name, column in values.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def parse_json(body: bytes) -> pa.Table:
    """One reading, or an array of them; all values as `from_records` takes them. Raises AeroCastError if it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("body", body[:_SHOWN], f"JSON ({error})") from error
    return from_records(found if isinstance(found, list) else [found])


def parse_json_lines(body: bytes, first: int = 1) -> pa.Table:
    """One reading a line; `first` is the number of the first one. Raises AeroCastError that names the line."""
    lines = body.splitlines()
    records = []
    for number, line in enumerate(lines, first):
        try:
            if line.strip():
                records.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"line {number}", line[:_SHOWN], f"a JSON object a line ({error})") from error
    return from_records(records, first, "line")


def parse_arrow(body: bytes) -> pa.Table:
    """An Arrow IPC stream. Raises AeroCastError if it is none."""
    try:
        with pa.ipc.open_stream(body) as stream:
            return stream.read_all()
    except (pa.ArrowException, OSError) as error:
        raise Malformed("body", body[:_SHOWN], f"an Arrow IPC stream ({_first_line(error)})") from error


def from_records(records: Sequence[Any], first: int = 0, called: str = "reading") -> pa.Table:
    """Flat mappings as a table; `first` numbers them for messages.

    Raises:
        AeroCastError: one is no mapping, or holds a list, a mapping or a truth value.
    """
    names: dict[str, None] = {}
    for number, record in enumerate(records, first):
        if not isinstance(record, Mapping):
            raise Malformed(f"{called} {number}", record, "an object")
        names.update(dict.fromkeys(record))
    columns = {name: [record.get(name) for record in records] for name in names}
    return pa.table({name: _column(values, name, first, called) for name, values in columns.items()})


def _column(values: list[Any], name: str, first: int, called: str) -> pa.Array:
    """Numbers or texts in Arrow's own type where all are alike, else as text one by one."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str} or kinds == {float}:
        return pa.array(values, pa.float64() if kinds == {float} else pa.string())
    for number, value in enumerate(values, first):
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise Malformed(name, value, "a number, a text or null", f"{called} {number}")
    return pa.array([value if value is None else str(value) for value in values], pa.string())


def _constants(source: str, segment: str) -> dict[str, str | None]:
    return {"source": source, "segment": segment, "flags": None}


def _place(feed: Feed, names: Sequence[str]) -> tuple[str, str]:
    """What the station's and the time's columns are called; checks that all others are declared."""
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise Malformed("column", twice[0], "each column once", f"feed {feed.name}")
    plain = door_names(feed)
    found = []
    for declared, usual in zip((feed.source.station_field, feed.source.time_field), plain, strict=True):
        wanted = list(dict.fromkeys((declared, usual)))
        here = [name for name in wanted if name in names]
        if not here:
            rule = f"{' or '.join(wanted)} must be among the columns"
            raise Malformed("columns", _listed(names), rule, f"feed {feed.name}")
        found.append(here[0])
    unknown = [name for name in names if name not in {*found, *raw_names(feed)}]
    if unknown:
        raise Malformed("column", unknown[0], _listed([*found, *raw_names(feed)]), f"feed {feed.name}")
    return found[0], found[1]


def _text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Texts as they are, numbers as the shortest text that reads back as the same number; NaN is missing."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _text(column.cast(kind.value_type), name)
    if pa.types.is_string(kind):
        return column
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return column.cast(pa.string())
    if not any(matches(kind) for matches in _NUMBERS):
        raise Malformed(name, str(kind), "a column of numbers or texts")
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        return (column.cast(pa.float32()) if kind == pa.float16() else column).cast(pa.string())
    return column.cast(pa.string())


def _time_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Texts as they are, Arrow's times as ISO 8601 in UTC."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _time_text(column.cast(kind.value_type), name)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif not pa.types.is_timestamp(kind):
        if any(matches(kind) for matches in _NUMBERS):
            raise Malformed(name, str(kind), "a column of timestamps, or of texts in ISO 8601")
        return _text(column, name)
    return _written(column)


def _written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants as ISO 8601 in UTC; one outside the years 1 to 9999 as its number, which nobody reads as a time."""
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    count = column.cast(pa.int64())
    low, high = (max(-(2**63), min(2**63 - 1, second * ticks)) for second in _YEARS)
    inside = pc.and_(pc.greater_equal(count, low), pc.less(count, high))
    instants = pc.if_else(inside, column, pa.scalar(None, column.type)).cast(pa.timestamp("us", "UTC"), safe=False)
    texts = pc.strftime(instants, format="%Y-%m-%dT%H:%M:%SZ")
    return texts if pc.all(inside, min_count=0).as_py() else pc.if_else(inside, texts, count.cast(pa.string()))


def _placed(feed: Feed, texts: pa.ChunkedArray, now: datetime) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The instant of each text (null if it is none), and the month that its row goes to."""
    last = feed.end - timedelta(microseconds=1) if feed.end else datetime.max.replace(tzinfo=UTC)
    present = min(max(now, feed.start), last)
    ahead = present + min(feed.cadence, last - present)
    low, high = month_span(month_of(feed.start))[0], month_span(month_of(ahead))[1]
    inside = " AND ".join(f"time {sign} {literal(f'{bound:%Y-%m-%d}')}" for sign, bound in ((">=", low), ("<", high)))
    stray = literal(month_of(present))
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("texts", pa.table({"t": texts}))
        placed = con.sql(
            f"SELECT CASE WHEN {_DATED} THEN time END AS time,"
            f" CASE WHEN {inside} THEN strftime(time, '%Y-%m') ELSE {stray} END AS month"
            f" FROM (SELECT {iso_time('t')} AS time FROM texts)"
        ).to_arrow_table()
    return placed["time"].cast(pa.timestamp("us", "UTC")), placed["month"]


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _LISTED else text[:_LISTED] + "..."


def shortened(value: object) -> str:
    """A value for a message: as it was sent, without what is too long to read."""
    text = (
        value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else repr(value)
    )
    return (
        repr(text if len(text) <= _LISTED else text[:_LISTED] + "...")
        if isinstance(value, str | bytes)
        else text[:_LISTED]
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
