"""Turns tables of readings in any declared layout into rows of raw: a station, a time and a text for each field.

Which columns of a table are read is said by `Columns`; what layouts there are, by `aerocast.feed.layout`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.times import BLANKS, MICROSECOND, to_microseconds, utc
from aerocast.feed import known_ahead, layout
from aerocast.feed.declaration import Feed
from aerocast.ingest.deliveries import vintages
from aerocast.ingest.deliveries.columns import Columns
from aerocast.ingest.deliveries.csv_file import Piece
from aerocast.ingest.deliveries.csv_lines import CsvFault
from aerocast.tables.raw import raw_names

_MOST_IGNORED, _EXCERPT = 20, 60


class LaidOut(NamedTuple):
    """Rows with `station`, `time_text`, `flags` and raw's columns of the fields that are there.

    `origin` is the place of each in the piece that it comes from; None: the rows are those of the piece.
    """

    table: pa.Table
    origin: pa.Array | None = None


class Layout:
    """How tables of readings of one delivery are read; `station` is that of the delivery's name, if it has one.

    It counts the rows, for where they have no times; `ignored` are quantities that are not declared, some of them.
    """

    def __init__(self, feed: Feed, station: str | None = None) -> None:
        self._count, self.ignored = 0, set[str]()
        self._feed, self._source, self._names = feed, feed.source, raw_names(feed)
        self._station = station or layout.only_station(feed)
        self._sent, self._statuses = list(layout.sent_fields(feed)), list(layout.sent_statuses(feed))

    @property
    def notes(self) -> list[str]:
        """One sentence without a subject on what is ignored so far; nothing if nothing is."""
        names = ", ".join(sorted(self.ignored))
        return [f"quantities that are not declared are ignored: {names}"[:600]] if names else []

    @property
    def has_station(self) -> bool:
        """Whether a row need not say its station."""
        return self._station is not None

    def rows(self, piece: Piece, columns: Columns) -> LaidOut:
        """Raw's rows of a piece whose columns are texts."""
        table = piece.table
        keys = {"station": self._stations(piece, columns), "time_text": self._time_texts(table, columns)}
        keys["flags"] = pa.nulls(len(table), pa.string()) if piece.flags is None else piece.flags
        if piece.texts is not None:
            keys["time_text"] = pc.coalesce(keys["time_text"], piece.texts)
        if self._source.wide:
            return self._from_wide(piece, pa.table(keys), columns)
        if self._source.quantity_field:
            return self._from_long(piece, pa.table(keys))
        own = pa.table(keys | {self._names[name]: table[name] for name in columns.measured if name in self._names})
        if self._source.issued_field and self._source.issued_field in table.column_names:
            return LaidOut(*vintages.split(self._feed, own.select([*keys]), own.drop_columns([*keys]), table))
        return LaidOut(own)

    def _time_texts(self, table: pa.Table, columns: Columns) -> pa.ChunkedArray | pa.Array:
        first, count = self._source.first_time, self._count
        self._count += len(table)
        if first is not None:
            steps = np.arange(count, self._count) * (self._feed.cadence // MICROSECOND) + to_microseconds(utc(first))
            own = pc.strftime(pa.array(steps).cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%SZ")
            return pc.coalesce(table[columns.time[0]], own) if columns.time else own
        if len(columns.time) == 1:
            return table[columns.time[0]]
        return pc.binary_join_element_wise(
            *(pc.utf8_trim(table[name], characters=BLANKS) for name in columns.time), " "
        )

    def _stations(self, piece: Piece, columns: Columns) -> pa.ChunkedArray | pa.Array:
        """As the row says, else as the delivery's name does; null for a broken line."""
        count = len(piece.table)
        own = pa.nulls(count, pa.string()) if columns.station is None else piece.table[columns.station]
        if self._station is None:
            return own
        all_same = pa.repeat(pa.scalar(self._station, pa.string()), count)
        if piece.flags is not None:
            all_same = pc.if_else(pc.is_null(piece.flags), all_same, pa.scalar(None, pa.string()))
        return pc.coalesce(own, all_same)

    def _from_long(self, piece: Piece, keys: pa.Table) -> LaidOut:
        """A row a value: the fields that it is not of are null; what is of no declared quantity is left out."""
        source, table = self._source, piece.table
        quantity = pc.utf8_trim(table[source.quantity_field], characters=BLANKS)
        fields = [field for column in self._feed.columns for field in column.fields]
        is_declared = pc.is_in(quantity, pa.array(fields, pa.string()))
        if piece.flags is not None:
            is_declared = pc.or_(is_declared, pc.is_valid(piece.flags))
        values, nothing = table[source.value_field], pa.scalar(None, pa.string())
        whole = keys
        for field in dict.fromkeys(fields):
            is_own = pc.fill_null(pc.equal(quantity, field), False)
            whole = whole.append_column(self._names[field], pc.if_else(is_own, values, nothing))
        for status in self._statuses:
            if status.name in table.column_names:
                whole = whole.append_column(self._names[status.field], table[status.name])
        origin = pc.indices_nonzero(pc.fill_null(is_declared, False))
        if len(origin) < len(table) and len(self.ignored) < _MOST_IGNORED:
            others = pc.unique(quantity.filter(pc.invert(is_declared))).drop_null()
            self.ignored |= {name[:_EXCERPT] for name in others.to_pylist()[:_MOST_IGNORED]}
        return LaidOut(whole.take(origin), origin)

    def _from_wide(self, piece: Piece, keys: pa.Table, columns: Columns) -> LaidOut:
        """A row for each station of a row that has any value; a broken line stays one row."""
        table, count = piece.table, len(piece.table)
        fields_of: dict[str, dict[str, str]] = {}
        statuses = {each.field for each in self._statuses}
        for name, _, station, field in (*self._sent, *self._statuses):
            if name in columns.measured:
                fields_of.setdefault(station, {})[field] = name
        measured = list(dict.fromkeys(field for fields in fields_of.values() for field in fields))
        nothing, parts = pa.nulls(count, pa.string()), []
        for number, (station, fields) in enumerate(fields_of.items()):
            own = {field: table[fields[field]] if field in fields else nothing for field in measured}
            values = [column for field, column in own.items() if field not in statuses]
            has_value = _any(pc.not_equal(pc.utf8_trim(column, characters=BLANKS), "") for column in values)
            if piece.flags is not None:
                is_first = pa.repeat(pa.scalar(number == 0), count)
                has_value = pc.or_(has_value, pc.and_(pc.is_valid(piece.flags), is_first))
            part = keys.set_column(0, "station", pa.repeat(pa.scalar(station, pa.string()), count))
            if piece.flags is not None:
                sound = pc.if_else(pc.is_null(piece.flags), part["station"], pa.scalar(None, pa.string()))
                part = part.set_column(0, "station", sound)
            for field, column in own.items():
                part = part.append_column(self._names[field], column)
            origin = pc.indices_nonzero(has_value)
            parts.append(part.take(origin).append_column(_ORIGIN, origin))
        whole = pa.concat_tables(parts)
        # As in the file: row by row, and in each the stations as they are declared.
        order = np.argsort(whole[_ORIGIN].to_numpy(), kind="stable")
        whole = whole.take(pa.array(order))
        return LaidOut(whole.drop_columns(_ORIGIN), whole[_ORIGIN].combine_chunks())


_ORIGIN = "aerocast origin"  # beside fields of any name


def station_of_file(feed: Feed, path: str) -> str | None:
    """The station that a file's path names by the declared pattern; None without a pattern.

    Raises:
        CsvFault: the pattern finds none.
    """
    pattern = feed.source.station_pattern
    if pattern is None:
        return None
    match = re.search(pattern, path)
    if match is None or not match["station"]:
        rule = f"a path in which source.station_pattern {pattern!r} finds the station"
        raise CsvFault(f"does not fit: its path {path!r} must be {rule[2:]}", "name", path, rule)
    return match["station"]


def choose_columns(feed: Feed, names: Sequence[str], *, file_station: bool, every: bool = True) -> Columns:
    """The columns of a file, which must have all that is declared, under one of the names; not `every`: any of it.

    Raises:
        CsvFault: a field is missing.
    """
    source, sent = feed.source, list(layout.sent_fields(feed))
    station = source.station_field if source.station_field in names else None
    times = source.time_fields if source.first_time is None else ()
    needs: list[Sequence[str]] = [(name,) for name in times]
    if source.wide:
        needs.append([each.name for each in sent])
    elif source.quantity_field:
        needs += [(source.quantity_field,), (source.value_field or "",)]
    elif not every:
        needs.append([each.name for each in sent])
    else:
        bases = {field: base for _, field, base in known_ahead.issued_fields(feed)}
        needs += dict.fromkeys(tuple(bases.get(field, field) for field in column.fields) for column in feed.columns)
        needs += [(source.issued_field,)] if source.issued_field else []
        needs += filter(None, (layout.status_names(feed, column) for column in feed.columns))
    if source.station_field is not None and not source.wide and not file_station:
        needs.insert(0, (source.station_field,))
    for alternatives in needs:
        if not {*alternatives} & {*names}:
            names_text = " or ".join(map(repr, alternatives))
            sentence = f"does not fit: field {names_text} is missing in the header ({', '.join(names)})"[:600]
            raise CsvFault(sentence, "columns", ", ".join(names), f"{names_text} must be among the columns")
    measured = (*(each.name for each in sent), *layout.remark_fields(feed))
    return Columns(station, times, tuple(name for name in dict.fromkeys(measured) if name in names))


def _any(conditions: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Whether one of the conditions holds; null does not."""
    result = None
    for each in conditions:
        plain = pc.fill_null(each, False)
        result = plain if result is None else pc.or_(result, plain)
    assert result is not None
    return result
