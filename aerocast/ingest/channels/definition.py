"""Defines what a delivered reading is, whichever way it comes in: its names, its values, its times.

A reading calls its station and its time as the feed's source does or just `station` and `time`, and its measured fields
by any name that the feed declares; a declared name with dots (`readings.temp`) is looked up inside nested objects.
Other fields are ignored, and named once. A value is a number or a text, null or absent for nothing: whether a text is a
number is decided by bronze. What is malformed is refused here with field, value and rule.
The server imports this module: msgspec and the standard library only.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from aerocast.common.times import BLANKS
from aerocast.contracts.declared import Declared
from aerocast.ingest.channels.reading_error import TEXT_LIMIT, ReadingError
from aerocast.ingest.deliveries.columns import Columns

LONGEST_STATION = LONGEST_TEXT = 200
LARGEST_READING = 64 << 10  # bytes in JSON
MOST_IGNORED, _EXCERPT = 20, 60
STATION_RULE = f"a text of 1 to {LONGEST_STATION} characters, or a number"
EXAMPLE = "such as 2024-06-01T12:00:00Z"

Value = int | float | str | None
_UNFIT = re.compile(r'["\\\x00-\x1f]')  # in names that msgspec does not give to a field
_PLAIN = {float, int, type(None), UnsetType}
_INFINITE = {float("inf"), float("-inf")}
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(float_hook=float)  # slower, but 1e999 is a value of a field, and not the end of the body


class ReadingRows(NamedTuple):
    """Readings of one body: `rows` have `station`, `time`, and `f0`, `f1`, ... in the order of `Definition.measured`.

    What is absent is UNSET. `many`: the body is a list. `ignored`: fields that are not declared, a bounded number.
    """

    rows: Sequence[Any]
    many: bool
    ignored: tuple[str, ...]


class Definition:
    """How readings of one feed are read; created once for what the feed declares.

    `station`, `time`: the names for the two, the source's own first; `time_parts`: names that make a time together;
    `measured`: those of the measured fields; `names`: all of them.
    `is_point_grouping`: whether `1.234` as a text is a thousand and more.
    `retirement`: why the feed takes no readings any more, if so.

    Raises:
        AeroCastError: the declared time zone is not known on this machine.
    """

    def __init__(self, declaration: Declared) -> None:
        self.name, self.stations, self.retirement = declaration.name, declaration.stations, declaration.retirement()
        self.station = _unique(declaration.station_field, declaration.station)
        self.is_station_optional, self.is_time_optional = declaration.is_station_optional, declaration.is_time_optional
        self.time_parts = declaration.time_parts
        self.time = _unique(None if self.time_parts else declaration.time_field, declaration.time)
        self.measured = _unique(*(field.field for field in declaration.fields), *declaration.remarks)
        self.times, self.is_point_grouping = declaration.times, declaration.thousands == "."
        self.time_rule = f"a time {self.times.rule}, {EXAMPLE}"
        self._units = {field.field: field.unit for field in declaration.fields}
        self.remarks = frozenset(declaration.remarks)
        self._values = [f"f{n}" for n, name in enumerate(self.measured) if name not in self.remarks]
        self.names = (*self.station, *self.time, *self.time_parts, *self.measured)
        self._nested = tuple(name for name in self.names if "." in name)
        usual = [(declaration.station, declaration.time), (self.station[0], self.time[0])]
        fit = not self.time_parts and not any(map(_UNFIT.search, self.names))
        kinds = [self._kind(station, time) for station, time in dict.fromkeys(usual)] if fit else []
        self._struct = kinds[0] if fit else self._kind("station", "time", is_decoded=False)
        # Most bodies are of one of these exactly, and are checked while they are parsed.
        one_or_more: list[Any] = [kind | list[kind] for kind in kinds]  # type: ignore[valid-type]  # made at run time
        self._whole: list[msgspec.json.Decoder[Any]] = [msgspec.json.Decoder(each) for each in one_or_more]
        self._lines: list[msgspec.json.Decoder[Any]] = [msgspec.json.Decoder(kind) for kind in kinds]

    def _kind(self, station: str, time: str, *, is_decoded: bool = True) -> type[Any]:
        """The type of a reading that has these names and no other; not `named`: one that JSON is not decoded into."""
        text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
        value = int | float | text | None | UnsetType
        fields = [(f"f{number}", value, UNSET) for number in range(len(self.measured))]
        key = int | float | text
        # An optional field cannot stand before one that is not.
        keys = (
            [("station", key | UnsetType, UNSET), ("time", key, UNSET)]
            if self.is_station_optional
            else [("station", key), ("time", key)]
        )
        return msgspec.defstruct(
            "Reading",
            [*keys, *fields],
            rename={"station": station, "time": time} | {f"f{n}": name for n, name in enumerate(self.measured)}
            if is_decoded
            else None,
            forbid_unknown_fields=True,
            gc=False,
        )

    def columns(self, names: Sequence[str]) -> Columns:
        """The columns of a table by this definition. Raises ReadingError where one is missing, or is there twice."""
        station = next((name for name in self.station if name in names), None)
        if station is None and not self.is_station_optional:
            raise self._no_column(names, " or ".join(self.station))
        measured = tuple(name for name in self.measured if name in names)
        columns = Columns(station, self._time_columns(names), measured)
        in_use = {*columns.names}
        twice = [name for name in names if name in in_use and names.count(name) > 1]
        if twice:
            raise ReadingError("column", twice[0], "each column once", f"feed {self.name}")
        ignored = dict.fromkeys(name for name in names if name not in in_use)
        return columns._replace(ignored=short_list(ignored))

    def _time_columns(self, names: Iterable[str]) -> tuple[str, ...]:
        if self.time_parts and {*self.time_parts} <= {*names}:
            return self.time_parts
        for name in self.time:
            if name in names:
                return (name,)
        if self.is_time_optional:
            return ()
        alternatives = [" and ".join(self.time_parts)] if self.time_parts else []
        raise self._no_column(names, " or ".join([*alternatives, *self.time]))

    def _no_column(self, names: Iterable[str], absent: str) -> ReadingError:
        rule = f"{absent} must be among the columns"
        return ReadingError("columns", joined_names(names), rule, f"feed {self.name}", slug="missing-field")

    def json(self, body: bytes) -> ReadingRows:
        """One reading, or an array of them. Raises ReadingError if it is none."""
        for decoder in self._whole:
            try:
                content = decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            many = isinstance(content, list)
            return ReadingRows(content if many else [content], many, ())
        try:  # one after the other: all at once, they take a hundred times their size
            return self._each((("", _decode_json(each, "body", "JSON")) for each in _ARRAY.decode(body)), True)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # not an array, or not JSON
            return self._each([("", _decode_json(body, "body", "JSON"))], False)

    def json_lines(self, body: bytes, first: int = 1) -> ReadingRows:
        """One reading a line; `first` is the number of the first line. Raises ReadingError that names the line."""
        for decoder in self._lines:
            try:
                return ReadingRows(decoder.decode_lines(body), True, ())
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
        # As `decode_lines` splits: a CR alone ends no line.
        lines = ((f"line {number}", line) for number, line in enumerate(body.split(b"\n"), first) if line.strip())
        return self._each(((where, _decode_json(line, where, "a JSON object a line")) for where, line in lines), True)

    def check_readings(self, readings: ReadingRows) -> None:
        """Each reading says where and when, and one of them something else. Raises ReadingError.

        The first is asked of what is posted; a file's readings without either go into quarantine one by one.
        """
        rows, many = readings.rows, readings.many
        if not rows:
            detail = "The body holds no readings."
            raise ReadingError("body", UNSET, "at least one reading", slug="no-readings", detail=detail)
        self.check_keys([row.station for row in rows], [row.time for row in rows], 0 if many else None)
        self.check_measured(readings)

    def check_keys(self, stations: Sequence[object], times: Sequence[object], first: int | None) -> None:
        """Each reading says where and when; `first` is the index of the first, None where there is but one.

        Raises:
            ReadingError: one does not.
        """
        unsaid = {UNSET, None} if self.is_station_optional else set()
        bad_stations = {each for each in {*stations} - unsaid if not is_station(each)}
        bad_times = {each for each in set(times) if not self._is_time(each)}
        for at, (station, time) in enumerate(zip(stations, times, strict=True)) if bad_stations or bad_times else ():
            index = None if first is None else first + at
            if station in bad_stations:
                raise ReadingError(self.station[-1], station, STATION_RULE, index=index)
            if time in bad_times:
                skipped = isinstance(time, str) and self.times.fault_of(time) == "skipped"
                zone = self.times.zone_name
                rule = f"a time that the clocks of {zone} show: they skip this one" if skipped else self.time_rule
                raise ReadingError(self.time[-1], time, rule, index=index)

    def _is_time(self, value: object) -> bool:
        return value is not UNSET and self.times.parse_instant(str(value)) is not None

    def check_columns(self, columns: Columns) -> Columns:
        """As `check_measured`, of a table; returns its columns."""
        if not columns.measured:
            raise self.nothing_measured(columns.ignored)
        return columns

    def check_measured(self, readings: ReadingRows) -> None:
        """Raises ReadingError where no reading of the body has any measured field: nothing would be kept of it."""
        if not self.is_measured(readings):
            raise self.nothing_measured(readings.ignored)

    def is_measured(self, readings: ReadingRows) -> bool:
        """Whether some reading of the body has a measured field, if perhaps with nothing in it."""
        return any(getattr(row, name) is not UNSET for row in readings.rows for name in self._values)

    def nothing_measured(self, others: Iterable[str]) -> ReadingError:
        """The fault of readings without any measured field; `others` are those that they have."""
        rule = f"at least one of {joined_names(self.measured)}"
        there = joined_names(others) or "no field besides station and time"
        detail = f"No reading has a field that {self.name} measures ({joined_names(self.measured)}); there is: {there}."
        return ReadingError("fields", there, rule, slug="no-measured-field", detail=detail)

    def _each(self, records: Iterable[tuple[str, Any]], many: bool) -> ReadingRows:
        """The readings in objects of JSON, each with where it is in a file, if it is told by more than its index."""
        ignored: dict[str, None] = {}
        rows = [
            self._one(record, where, index if many else None, ignored) for index, (where, record) in enumerate(records)
        ]
        return ReadingRows(rows, many, short_list(ignored))

    def _one(self, record: Any, where: str, index: int | None, ignored: dict[str, None]) -> Any:
        """The reading in an object of JSON; adds the names of what it ignores."""
        if not isinstance(record, dict):
            names = joined_names((self.station[-1], self.time[-1], *self.measured))
            rule = f"{'a reading, or an array of readings' if index is None else 'a reading'}: an object with {names}"
            raise ReadingError(where or "body", record, rule, index=index)
        fields = self._flat(record) if self._nested else record
        station, time = _first_name(fields, self.station), _first_name(fields, self.time)
        parts = self.time_parts if all(fields.get(name) is not None for name in self.time_parts) else ()
        keys = [(station or self.is_station_optional, self.station), (time or parts, (*self.time_parts, *self.time))]
        for key, alternatives in keys:
            if not key:
                which = "A reading" if index is None else f"Reading {index}"
                rule, detail = f"{' or '.join(alternatives)} must be given", f"{which} has no {alternatives[-1]}."
                raise ReadingError(
                    alternatives[-1], UNSET, rule, where, index=index, slug="missing-field", detail=detail
                )
        in_use = (station or self.station[0], *(parts or (time or "",)), *self.measured)
        values = [fields.get(name, UNSET) for name in in_use]
        if self.remarks:  # a status may be true or false
            values = [str(each).lower() if isinstance(each, bool) else each for each in values]
        if wrong := next((name for name, value in zip(in_use, values, strict=True) if not _is_plain(value)), None):
            raise ReadingError(wrong, fields[wrong], self._rule(wrong, in_use[0], in_use[1]), where, index=index)
        if len(fields) > len(values) - values.count(UNSET):
            others = (name for name in fields if name not in in_use)
            ignored |= dict.fromkeys(islice(others, MOST_IGNORED)) if len(ignored) < MOST_IGNORED else {}
        if len(parts) > 1:
            values[1 : 1 + len(parts)] = [" ".join(str(fields[name]) for name in parts)]
        return self._struct(*values)

    def _rule(self, name: str, station: str, time: str) -> str:
        if name == station:
            return STATION_RULE
        if name == time:
            return self.time_rule
        return f"a number, a text of at most {LONGEST_TEXT} characters or null (in {self._units.get(name, 'words')})"

    def _flat(self, record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        """Fields of nested objects under dotted names, as far as one is declared."""
        flat: dict[str, Any] = {}
        for key, value in record.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and any(each.startswith(f"{name}.") for each in self._nested):
                flat.update(self._flat(value, f"{name}."))
            else:
                flat[name] = value
        return flat


def _is_plain(value: object) -> bool:
    """Whether it can be a field of a reading."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return type(value) in _PLAIN and value not in _INFINITE


def is_station(value: object) -> bool:
    """Whether it says which station a reading is of, if perhaps one that nobody knows."""
    return value is not None and 0 < len(str(value).strip(BLANKS)) <= LONGEST_STATION


def short_list(names: Iterable[str]) -> tuple[str, ...]:
    """Names for an answer or a note: not more than it can carry."""
    return tuple(name if len(name) <= _EXCERPT else f"{name[:_EXCERPT]}..." for name in islice(names, MOST_IGNORED))


def joined_names(names: Iterable[str]) -> str:
    """Names for a message."""
    text = ", ".join(names)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "..."


def _first_name(fields: dict[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        if fields.get(name) is not None:
            return name
    return None


def _decode_json(data: bytes | msgspec.Raw, field: str, rule: str) -> Any:
    """What JSON says. Raises ReadingError that says of which field it was no JSON."""
    if memoryview(data).nbytes > LARGEST_READING:
        raise ReadingError(field, bytes(memoryview(data)[:_EXCERPT]), f"a reading of at most {LARGEST_READING} bytes")
    try:
        try:
            return msgspec.json.decode(data)
        except msgspec.ValidationError:
            return _ANY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"The {field} is not JSON: {error}."
        start = bytes(memoryview(data)[:_EXCERPT])
        raise ReadingError(field, start, f"{rule} ({error})", slug="malformed-json", detail=detail) from None


def _unique(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))
