"""Where a source's rows keep station, time, quantity and value: what follows from a declaration's layout fields.

*Plain*: a row has a station, a time and a field for each column. *Wide*: a field for each station (and column). *Long*:
a row has one value, and the name of its quantity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from aerocast.common.declaration import Mistake
from aerocast.feed import known_ahead

if TYPE_CHECKING:
    from aerocast.feed.column import Column
    from aerocast.feed.declaration import Feed

STATION, FIELD = "{station}", "{field}"


class SentField(NamedTuple):
    """A field that the source sends, the column that it holds values of, and (wide) the station and column's field."""

    name: str
    column: Column
    station: str = ""
    field: str = ""


def sent_fields(feed: Feed) -> Iterator[SentField]:
    """The fields that hold values, in the declaration's order."""
    source = feed.source
    if source.wide:
        pairs = ((column, field) for column in feed.columns for field in column.fields)
        yield from _wide_fields(feed, pairs)
    elif source.quantity_field:
        yield SentField(source.value_field or "", feed.columns[0])
    else:
        names = {field: base for _, field, base in known_ahead.issued_fields(feed)}
        own = ((names.get(field, field), column, field) for column in feed.columns for field in column.fields)
        yield from {name: SentField(name, column, "", field) for name, column, field in own}.values()


def sent_statuses(feed: Feed) -> Iterator[SentField]:
    """The fields that hold the status of values, each once."""
    pairs = {name: column for column in reversed(feed.columns) for name in status_names(feed, column)}
    if feed.source.wide:
        yield from _wide_fields(feed, ((column, name) for name, column in pairs.items()))
    else:
        yield from (SentField(name, column, "", name) for name, column in pairs.items())


def _wide_fields(feed: Feed, pairs: Iterable[tuple[Column, str]]) -> Iterator[SentField]:
    wide, each_field = feed.source.wide or "", list(pairs)
    for station in feed.stations:
        for name in (station.id, *station.aliases):
            for column, field in each_field:
                yield SentField(wide.replace(STATION, name).replace(FIELD, field), column, name, field)


def status_names(feed: Feed, column: Column) -> list[str]:
    """The names of the fields that say the status of a column's values; none without a declared status."""
    status = feed.source.status
    if status is None:
        return []
    if column.status_field is not None:
        return [column.status_field]
    return list(dict.fromkeys(status.field.replace(FIELD, field) for field in column.fields))


def remark_fields(feed: Feed) -> list[str]:
    """The fields that say something about values: which quantity one is of, when it was issued, its status."""
    quantity = [feed.source.quantity_field] if feed.source.quantity_field else []
    issued = [feed.source.issued_field] if feed.source.issued_field else []
    return list(dict.fromkeys([*quantity, *issued, *(each.name for each in sent_statuses(feed))]))


def only_station(feed: Feed) -> str | None:
    """The station of readings that do not say theirs; None if they must."""
    source = feed.source
    is_silent = source.station_field is None and not source.wide
    return feed.stations[0].id if is_silent and len(feed.stations) == 1 else None


def mistakes(feed: Feed) -> Iterator[Mistake]:
    """Mistakes between the layout's fields and the rest of the feed."""
    source = feed.source
    if source.wide:
        if STATION not in source.wide:
            yield Mistake(("wide",), f"{source.wide!r} must contain {STATION}")
        elif FIELD not in source.wide and len(feed.columns) > 1:
            yield Mistake(("wide",), f"{source.wide!r} must contain {FIELD}, for there are {len(feed.columns)} columns")
        if source.station_field not in (None, type(source).model_fields["station_field"].default):
            yield Mistake(
                ("station_field",), f"{source.station_field!r} is not allowed with `wide`: fields say the station"
            )
        if source.quantity_field:
            yield Mistake(("quantity_field",), "is not allowed with `wide`: a row has a field for each station")
        if source.status and FIELD not in source.wide:
            yield Mistake(("status",), f"needs {FIELD} in `wide`, by which a station's status has a name")
        names = [each.name for each in (*sent_fields(feed), *sent_statuses(feed))]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield Mistake(("wide",), f"{source.wide!r} gives {twice[0]!r} to two stations or columns")
    elif source.station_field is None and not source.station_pattern and len(feed.stations) > 1:
        ways = "`station_field`, `station_pattern` or `wide`"
        yield Mistake(("station_field",), f"null needs a single station, not {len(feed.stations)}; declare {ways}")
    if bool(source.quantity_field) != bool(source.value_field):
        name = "value_field" if source.quantity_field else "quantity_field"
        yield Mistake((name,), "is missing: `quantity_field` and `value_field` go together")
    if source.status is None and (own := [column.name for column in feed.columns if column.status_field]):
        yield Mistake(("status",), f"is missing: column {own[0]} has a status_field, and no words are declared")
    measured = {field for column in feed.columns for field in column.fields}
    for name in dict.fromkeys(name for column in feed.columns for name in status_names(feed, column)):
        if name in measured or name == source.value_field:
            yield Mistake(("status", "field"), f"{name!r} is a field of values")
    if source.station_pattern:
        yield from _pattern_mistakes(source.station_pattern)
    if source.time_period is not None and source.time_marks == "start":
        yield Mistake(("time_period",), "has no meaning where `time_marks` is start: a reading begins at its time")
    for name in ("repeated_hour", "skipped_hour") if source.timezone is None else ():
        if getattr(source, name) != type(source).model_fields[name].default:
            yield Mistake((name,), "has no meaning without `timezone`: times have offsets, or are refused")
    if not 0 < len(set(source.time_fields)) == len(source.time_fields):
        yield Mistake(("time_field",), f"{list(source.time_fields)} must have at least one name, and each once")


def _pattern_mistakes(pattern: str) -> Iterator[Mistake]:
    try:
        if "station" in re.compile(pattern).groupindex:
            return
        text = "must have a group (?P<station>...)"
    except re.error as error:
        text = f"is no regular expression: {error}"
    yield Mistake(("station_pattern",), f"{pattern!r} {text}")
