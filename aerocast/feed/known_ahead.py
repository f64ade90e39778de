"""Columns that are known ahead of time: a forecast from elsewhere becomes one column for each lead, at its issue.

`temperature_ahead24` is what was issued in a step about 24 steps later. So a vintage is a reading of the time at which
it was issued, tables need no second time, and nothing that was issued later can be seen at an origin. There is a column
for every lead that some horizon needs, from a vintage as old as the gap policy bridges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aerocast.common.declaration import Mistake

if TYPE_CHECKING:
    from aerocast.feed.column import Column
    from aerocast.feed.declaration import Feed

LEAD = "{lead}"


def expand(declaration: Any) -> Any:
    """The declaration with a column for each lead; as it is where it is not valid enough for that."""
    try:
        columns = [each for _, each in _expanded(declaration)]
    except (TypeError, ValueError, KeyError, AttributeError):
        return declaration
    return {**declaration, "columns": columns}


def at_declared_columns(declaration: Any, wrong: Sequence[Mistake]) -> list[Mistake]:
    """The mistakes of an expanded declaration, each once and at the column that was declared."""
    try:
        origin = [at for at, _ in _expanded(declaration)]
        names = {column["name"]: at for at, column in enumerate(declaration["columns"])}
    except (TypeError, ValueError, KeyError, AttributeError):
        return list(wrong)

    def place(mistake: Mistake) -> Mistake:
        match mistake.place:
            case ("columns", int(at), *rest) if at < len(origin):
                return Mistake(("columns", origin[at], *rest), mistake.text)
            case ("columns", str(name), *rest) if name in names:
                return Mistake(("columns", names[name], *rest), mistake.text)
        return mistake

    return list(dict.fromkeys(map(place, wrong)))


def _expanded(declaration: Any) -> Iterator[tuple[int, Any]]:
    """The columns with one for each lead, and the place of the declared one that each comes from."""
    horizons, oldest = [*declaration["horizons"]], int(declaration["gap_policy"]["max_steps"])
    leads = sorted({int(horizon) + age for horizon in horizons for age in range(oldest + 1)})
    for at, column in enumerate(declaration["columns"]):
        yield from ((at, each) for each in _columns(column, leads))


def _columns(column: Any, leads: list[int]) -> list[Any]:
    if not isinstance(column, Mapping) or column.get("known_ahead") is not True or "lead" in column:
        return [column]
    if column.get("assume_perfect") is True:
        return [column]
    same = {**column, "label": None, "quantity": "last", "gap": "last", "max_missing": column.get("max_missing", 1.0)}
    return [
        {
            **same,
            "name": f"{column['name']}_ahead{lead}",
            "field": _field(column["field"], lead),
            "aliases": [_field(alias, lead) for alias in column.get("aliases") or ()],
            "lead": lead,
        }
        for lead in leads
    ]


def _field(field: str, lead: int) -> str:
    """The source's name for a lead; where it is not in the name, the layout gives it (`source.issued_field`)."""
    return field.replace(LEAD, str(lead)) if LEAD in field else f"{field}+{lead}"


def series(feed: Feed) -> dict[str, list[Column]]:
    """The columns of each forecast, by its declared name, in the order of their leads."""
    own: dict[str, list[Column]] = {}
    for column in feed.columns:
        if column.lead is not None:
            own.setdefault(column.series, []).append(column)
    return own


def issued_fields(feed: Feed) -> Iterator[tuple[Column, str, str]]:
    """Column, its field and the source's name, of what is sent with the time of its issue beside."""
    for column in feed.columns:
        for field in column.fields if feed.source.issued_field and column.lead is not None else ():
            if field.endswith(f"+{column.lead}"):
                yield column, field, field.removesuffix(f"+{column.lead}")


def mistakes(feed: Feed) -> Iterator[Mistake]:
    """Mistakes of columns known ahead that concern the rest of the feed."""
    source, fields = feed.source, {column.field: column.name for column in feed.columns if column.lead is None}
    if source.issued_field:
        yield from _issue_mistakes(feed)
    for name, columns in series(feed).items():
        place, (first, *_) = ("columns", name), columns
        is_plain = first.field.endswith(f"+{first.lead}")
        base = first.field.removesuffix(f"+{first.lead}")
        if is_plain and base in fields:
            text = f"field {base!r} is measured as {fields[base]}: what was measured is no forecast of it"
            yield Mistake((*place, "field"), f"{text}; to learn from it all the same, declare `assume_perfect: true`")
        elif is_plain and not source.issued_field:
            yield Mistake(
                (*place, "known_ahead"),
                "must know when a value was issued: declare `source.issued_field`, or write {lead}, its steps ahead,"
                " in `field`; or `assume_perfect: true` to learn from what was measured",
            )
        if first.circular:
            yield Mistake((*place, "circular"), "true is not allowed for what is known ahead; send its components")
    for column in feed.columns:
        if column.assume_perfect and not column.known_ahead:
            yield Mistake(("columns", column.name, "assume_perfect"), "true needs `known_ahead: true`")


def _issue_mistakes(feed: Feed) -> Iterator[Mistake]:
    source, place = feed.source, ("source", "issued_field")
    text = f"{source.issued_field!r} is not allowed with "
    if source.wide or source.quantity_field:
        yield Mistake(
            place, f"{text}`{'wide' if source.wide else 'quantity_field'}`: a row has a field for each column"
        )
    if source.time_marks != "start":
        yield Mistake(place, f"{text}`time_marks: {source.time_marks}`: an issue is an instant")
    if not any(True for _ in issued_fields(feed)):
        yield Mistake(place, f"{source.issued_field!r} needs a column with `known_ahead: true`")
    if not feed.cadence % timedelta(days=1) and len({*feed.zones.values()}) > 1:
        yield Mistake(place, f"{text}days of several time zones ({', '.join(sorted({*feed.zones.values()}))})")
