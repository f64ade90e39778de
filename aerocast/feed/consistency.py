"""Checks rules that span several fields of a feed's declaration; each yields all its mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Any

from aerocast.common.declaration import Mistake
from aerocast.common.times import iso_duration
from aerocast.feed import known_ahead, request_form
from aerocast.feed.policies import BLOCK_MARGIN, able_block

if TYPE_CHECKING:
    from aerocast.feed.column import Column
    from aerocast.feed.declaration import Feed

DERIVED = ("age", "mean", "std", "min", "max", "count")  # of each series, in silver
OWN = frozenset({"station", "time", "segment", "flags", "month", "delivery"})  # columns of every table


def column(column: Column) -> Iterator[Mistake]:
    """Mistakes within one column whose single fields are valid."""
    if not column.range[0] < column.range[1]:
        yield Mistake(("range",), f"{list(column.range)} must be [low, high] with low < high")
    if column.circular and column.quantity in ("sum", "min", "max", "counter"):
        yield Mistake(("quantity",), f"{column.quantity!r} is not allowed for an angle (circular: true)")
    if column.circular and column.gap in ("zero", "interpolate"):
        yield Mistake(("gap",), f"{column.gap!r} is not allowed for an angle (circular: true)")
    if column.quantity == "counter" and column.min_readings is not None:
        yield Mistake(("min_readings",), f"{column.min_readings} is not allowed for a counter: its last reading counts")
    yield from _conversions(column)
    if column.factor == 0 or not all(map(isfinite, (column.factor, column.offset))):
        yield Mistake(("factor",), f"{column.factor} must not be 0, and it and offset {column.offset} finite")
    for text, number in column.texts.items():
        if not isfinite(number):
            yield Mistake(("texts", text), f"{number} must be a finite number")
        if text.strip().lower() in {each.strip().lower() for each in column.missing}:
            yield Mistake(("texts", text), f"{text!r} is in `missing`, too")
    instants = [each.before for each in column.former]
    if instants != sorted(set(instants)):
        yield Mistake(("former",), "must be in ascending order of `before`, without duplicates")


def _conversions(column: Column) -> Iterator[Mistake]:
    from aerocast.common.units import obstacle_to

    if column.gas and column.molar_mass:
        yield Mistake(("molar_mass",), f"{column.molar_mass:g} must not be declared beside gas {column.gas}")
    sources: dict[Any, str] = {("source_unit",): column.source_unit}
    sources |= {
        ("former", at, "source_unit"): each.source_unit for at, each in enumerate(column.former) if each.source_unit
    }
    for place, unit in sources.items():
        if obstacle := obstacle_to(unit, column.unit, column.density):
            yield Mistake(place, f"{unit!r} {obstacle}")


def feed(feed: Feed) -> Iterator[Mistake]:
    """Mistakes between the fields of a feed that are valid on their own."""
    yield from _duplicates(feed)
    yield from _columns(feed)
    yield from _references(feed)
    yield from _experiments(feed)
    yield from _spans(feed)
    yield from _open_stations(feed)
    yield from known_ahead.mistakes(feed)


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
    derived |= {f"{column.name}_value": column.name for column in feed.columns if not column.is_averaged}
    for clash in sorted(derived.keys() & {*series}):
        yield Mistake(
            ("columns",), f"{clash!r} is a column that silver derives from {derived[clash]!r}; choose another name"
        )


def _references(feed: Feed) -> Iterator[Mistake]:
    names = [column.name for column in feed.columns]
    ahead = known_ahead.series(feed)
    references: dict[Any, tuple[str, ...]] = {("targets",): feed.targets, ("window", "columns"): feed.window.columns}
    references |= {("vectors", at): (vector.speed, vector.direction) for at, vector in enumerate(feed.vectors)}
    for place, values in references.items():
        for value in values:
            if value in ahead:
                yield Mistake(place, f"{value!r} is known ahead: it is an input of its own, and no other column's kind")
            elif value not in names:
                yield Mistake(place, f"{value!r} is not a column; allowed: {', '.join(names)}")
    if missing := [each for each in feed.targets if each in names and each not in feed.window.columns]:
        yield Mistake(("window", "columns"), f"must contain every target; {', '.join(missing)} is missing")


def _experiments(feed: Feed) -> Iterator[Mistake]:
    for place, kinds in (("backtest", feed.backtest.kinds), ("tuning", feed.tuning.kinds)):
        for kind in kinds or ():
            if kind not in feed.candidates:
                text = f"{kind!r} is not a candidate; allowed: {', '.join(feed.candidates)}"
                yield Mistake((place, "kinds"), text)
            elif place == "tuning" and kind not in feed.tuned_kinds:
                yield Mistake((place, "kinds"), f"{kind!r} has nothing to tune")


def _open_stations(feed: Feed) -> Iterator[Mistake]:
    from aerocast.feed.layout import only_station

    if feed.open_stations and only_station(feed) and not feed.source.station_pattern:
        text = f"{feed.open_stations} is not allowed where readings name no station (source.station_field is null)"
        yield Mistake(("open_stations",), text)


def _spans(feed: Feed) -> Iterator[Mistake]:
    look_back = feed.window.look_back
    yield from _seasons(feed)
    if look_back < max(feed.window.steps, *feed.season_steps):
        longest = max(feed.season_steps)
        text = f"{look_back} must cover window.steps ({feed.window.steps}) and the longest season ({longest} steps)"
        yield Mistake(("window", "look_back"), text)
    if look_back < (past := feed.window.profile * feed.season_steps[0]):
        text = f"{feed.window.profile} seasons are {past} steps, more than window.look_back ({look_back})"
        yield Mistake(("window", "profile"), text)
    yield from _block(feed)
    yield from feed.source.mistakes(feed)
    yield from request_form.mistakes(feed)
    if feed.end and feed.end <= feed.start:
        yield Mistake(("end",), f"{feed.end} must be later than start {feed.start}")


def _block(feed: Feed) -> Iterator[Mistake]:
    """The last rows of a block, as many as the longest horizon, have labels in the next one and are purged."""
    reach = feed.horizons[-1] * feed.cadence
    if feed.split.block < BLOCK_MARGIN * reach:
        able = iso_duration(able_block(reach, feed.cadence))
        text = (
            f"{iso_duration(feed.split.block)} is too short for forecasts {iso_duration(reach)} ahead, whose labels are"
        )
        yield Mistake(("split", "block"), f"{text} purged at the end of each block; {able} would do")


def _seasons(feed: Feed) -> Iterator[Mistake]:
    names, cadence = [iso_duration(season) for season in feed.seasons], iso_duration(feed.cadence)
    for at, season in enumerate(feed.seasons):
        if season < feed.cadence or season % feed.cadence:
            yield Mistake(("seasons", at), f"{names[at]} must be a multiple of the cadence {cadence}")
    if list(feed.seasons) != sorted(set(feed.seasons)):
        yield Mistake(("seasons",), f"[{', '.join(names)}] must rise, without duplicates")
