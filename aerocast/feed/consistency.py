"""Checks rules that span several fields of a feed's declaration; each yields all its mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aerocast.common.declaration import Mistake

if TYPE_CHECKING:
    from aerocast.feed.declaration import Column, Feed

DERIVED = ("age", "mean", "std", "min", "max", "count")  # of each series, in silver
OWN = frozenset({"station", "time", "segment", "flags", "month", "delivery"})  # columns of every table


def column(column: Column) -> Iterator[Mistake]:
    """Mistakes within one column whose single fields are valid."""
    from aerocast.common.units import dimension

    if not column.range[0] < column.range[1]:
        yield Mistake(("range",), f"{list(column.range)} must be [low, high] with low < high")
    if dimension(column.source_unit) != dimension(column.unit):
        text = f"{column.source_unit!r} does not convert to unit {column.unit!r}"
        yield Mistake(("source_unit",), text)
    instants = [each.before for each in column.former]
    if instants != sorted(set(instants)):
        yield Mistake(("former",), "must be in ascending order of `before`, without duplicates")
    for at, each in enumerate(column.former):
        if each.source_unit and dimension(each.source_unit) != dimension(column.unit):
            text = f"{each.source_unit!r} does not convert to unit {column.unit!r}"
            yield Mistake(("former", at, "source_unit"), text)


def feed(feed: Feed) -> Iterator[Mistake]:
    """Mistakes between the fields of a feed that are valid on their own."""
    yield from _duplicates(feed)
    yield from _columns(feed)
    yield from _references(feed)
    yield from _spans(feed)


def _duplicates(feed: Feed) -> Iterator[Mistake]:
    names: dict[Any, list[Any]] = {
        ("columns",): [column.name for column in feed.columns],
        ("columns", "label"): [column.short for column in feed.columns],
        ("columns", "aliases"): [name for column in feed.columns for name in dict.fromkeys(column.aliases)],
        ("stations",): [name for station in feed.stations for name in (station.id, *station.aliases)],
        ("targets",): list(feed.targets),
        ("horizons",): list(feed.horizons),
    }
    for place, values in names.items():
        if twice := sorted({str(value) for value in values if values.count(value) > 1}):
            yield Mistake(place, f"{', '.join(twice)} named twice")


def _columns(feed: Feed) -> Iterator[Mistake]:
    names = [column.name for column in feed.columns]
    for at, column in enumerate(feed.columns):
        others = {other.field for other in feed.columns if other is not column}
        if shared := sorted(others & set(column.aliases)):
            yield Mistake(("columns", at, "aliases"), f"{shared[0]!r} is the field of another column")
        if column.name in OWN:
            yield Mistake(
                ("columns", at, "name"), f"{column.name!r} is a column that every table has; choose another name"
            )
    series = [*names, *(f"{vector.name}_{part}" for vector in feed.vectors for part in "uv")]
    derived = {f"{name}_{suffix}": name for name in series for suffix in DERIVED}
    for clash in sorted(derived.keys() & {*series}):
        yield Mistake(
            ("columns",), f"{clash!r} is a column that silver derives from {derived[clash]!r}; choose another name"
        )


def _references(feed: Feed) -> Iterator[Mistake]:
    names = [column.name for column in feed.columns]
    references: dict[Any, tuple[str, ...]] = {("targets",): feed.targets, ("window", "columns"): feed.window.columns}
    references |= {("vectors", at): (vector.speed, vector.direction) for at, vector in enumerate(feed.vectors)}
    for place, values in references.items():
        for value in values:
            if value not in names:
                yield Mistake(place, f"{value!r} is not a column; allowed: {', '.join(names)}")
    if missing := [each for each in feed.targets if each in names and each not in feed.window.columns]:
        yield Mistake(("window", "columns"), f"must contain every target; {', '.join(missing)} is missing")


def _spans(feed: Feed) -> Iterator[Mistake]:
    look_back = feed.window.look_back
    if look_back < max(feed.window.steps, feed.season):
        text = f"{look_back} must cover window.steps ({feed.window.steps}) and season ({feed.season})"
        yield Mistake(("window", "look_back"), text)
    yield from feed.source.mistakes(feed)
    if feed.end and feed.end <= feed.start:
        yield Mistake(("end",), f"{feed.end} must be later than start {feed.start}")
