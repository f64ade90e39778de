"""What a text of raw says of a column: a number in the column's unit, nothing, or something that breaks a rule.

All of it is SQL over a row of raw, called `r`. Of the column at place i the texts here use `t<i>`, the text, `n<i>`,
its number as sent, and `c<i>`, that number in the canonical unit.
"""

from collections.abc import Collection

from aerocast.common.sql import literal, quoted, timestamp
from aerocast.common.units import conversion
from aerocast.feed.model import Column, Feed
from aerocast.tables.raw import raw_names

VALUE_RULES = ("unparseable", "rejected", "range", "sensor_fault", "step")
REJECTED = "X"  # the sender's own mark of a value that it does not believe
# What people and programs write where nothing was measured; compared without case and blanks.
MISSING_WORDS = (
    *("", "-", "--", "na", "n/a", "#n/a", "nan", "+nan", "-nan", "null", "nil", "none"),
    *("missing", "unknown", "unavailable"),
)
# Meant only where the column's range excludes them; otherwise they are measured.
MISSING_NUMBERS = (-999.0, -9999.0)
# The place of a value that was taken back: no number that passes a range is infinite.
WITHDRAWN = "'-infinity'::DOUBLE"
BLANKS = "' ' || chr(9) || chr(10) || chr(13)"


def texts(feed: Feed, have: Collection[str]) -> str:
    """A select list of `t<i>` and `n<i>` of every column; `have` are raw's columns, which may lack a new field."""
    parts = []
    for i, column in enumerate(feed.columns):
        text = _text(feed, column, have)
        parts += [f"{text} AS t{i}", f"TRY_CAST({text} AS DOUBLE) AS n{i}"]
    return ", ".join(parts)


def canonical(feed: Feed) -> str:
    """A select list of `c<i>` of every column."""
    return ", ".join(f"{_converted(column, f'n{i}')} AS c{i}" for i, column in enumerate(feed.columns))


def value(feed: Feed, i: int) -> str:
    """The number that passes the rules that need neither flags nor neighbours, `WITHDRAWN`, or null."""
    column = feed.columns[i]
    low, high = column.range
    # DuckDB reads 1_000 as a number; no other reader does.
    passes = f"c{i} BETWEEN {low!r} AND {high!r} AND NOT contains(t{i}, '_')"
    if numbers := _listed(_as_numbers((*feed.source.missing, *column.missing))):
        passes += f" AND n{i} NOT IN ({numbers})"
    cases = [f"WHEN {passes} THEN c{i}"]
    if words := _folded(feed.source.withdrawn):
        cases.append(f"WHEN {_plain(f't{i}')} IN ({words}) THEN {WITHDRAWN}")
    return f"CASE {' '.join(cases)} END"


def fails(feed: Feed, i: int, passed: str) -> str:
    """Whether the text says something, and `passed`, its `value`, is null all the same. Never null."""
    # The words are compared only where it matters: a CASE looks at no more rows than it must.
    return f"CASE WHEN t{i} IS NULL OR {passed} IS NOT NULL THEN false ELSE NOT {absent(feed, feed.columns[i], i)} END"


def absent(feed: Feed, column: Column, i: int) -> str:
    """Whether a text that is there means: not measured."""
    return _absent(feed, column, f"t{i}", f"n{i}")


def says_something(feed: Feed, i: int) -> str:
    """Whether the text is a value: there, and none of the words and numbers for missing."""
    return f"CASE WHEN t{i} IS NULL THEN false ELSE NOT {absent(feed, feed.columns[i], i)} END"


def is_withdrawal(feed: Feed, i: int) -> str:
    """Whether the text takes back what was said before."""
    words = _folded(feed.source.withdrawn)
    return f"coalesce({_plain(f't{i}')} IN ({words}), false)" if words else "false"


def rule(feed: Feed, i: int, broken: str) -> str:
    """The first rule that the text breaks of those that need no neighbours; null for none, and for what is missing.

    `broken` says whether a sensor fault covers it.
    """
    column = feed.columns[i]
    low, high = column.range
    return f"""CASE WHEN NOT ({says_something(feed, i)}) OR {is_withdrawal(feed, i)} THEN NULL
        WHEN n{i} IS NULL OR NOT isfinite(n{i}) OR contains(t{i}, '_') THEN 'unparseable'
        WHEN {rejected(column)} THEN 'rejected'
        WHEN NOT c{i} BETWEEN {low!r} AND {high!r} THEN 'range'
        WHEN {broken} THEN 'sensor_fault' END"""


def is_rejected(feed: Feed, i: int) -> str:
    """Whether the text is a number that its sender does not believe."""
    number = f"coalesce(isfinite(n{i}) AND NOT contains(t{i}, '_'), false)"
    return f"({rejected(feed.columns[i])} AND {says_something(feed, i)} AND NOT {is_withdrawal(feed, i)} AND {number})"


def rejected(column: Column) -> str:
    """Whether the sender does not believe its value of this column."""
    mark = literal(f"{column.name}={REJECTED}")
    return f"(flags IS NOT NULL AND list_contains(string_split(flags, ' '), {mark}))"


def _text(feed: Feed, column: Column, have: Collection[str]) -> str:
    """The text of the field, of the first alias that says something, or of the field that it had then."""
    now = _first(feed, column, (column.field, *column.aliases), have)
    cases = [
        f"WHEN r.time < {timestamp(each.before)}::TIMESTAMPTZ THEN {_first(feed, column, (each.field,), have)}"
        for each in column.former
        if each.field
    ]
    return f"CASE {' '.join(cases)} ELSE {now} END" if cases else now


def _first(feed: Feed, column: Column, fields: Collection[str], have: Collection[str]) -> str:
    names = raw_names(feed)
    found = [f"r.{quoted(names[field])}" for field in fields if names[field] in have]
    if len(found) < 2:
        return found[0] if found else "NULL::VARCHAR"
    said = [f"CASE WHEN NOT {_absent(feed, column, t, f'TRY_CAST({t} AS DOUBLE)')} THEN {t} END" for t in found]
    return f"coalesce({', '.join([*said, *found])})"


def _converted(column: Column, number: str) -> str:
    """A number as sent in the canonical unit, by the unit that it was sent in then."""
    now = _affine(number, *conversion(column.source_unit, column.unit))
    cases = [
        f"WHEN time < {timestamp(each.before)} THEN"
        f" {_affine(number, *conversion(each.source_unit or column.source_unit, column.unit))}"
        for each in column.former
    ]
    return f"CASE {' '.join(cases)} ELSE {now} END" if cases else now


def _affine(number: str, factor: float, offset: float) -> str:
    scaled = f"{number} * {factor!r}" if factor != 1 else number
    return f"{scaled} + {offset!r}" if offset else scaled


def _absent(feed: Feed, column: Column, text: str, number: str) -> str:
    declared = (*feed.source.missing, *column.missing)
    words = ", ".join(sorted({literal(each) for each in (*MISSING_WORDS, *map(_fold, declared))}))
    factor, offset = conversion(column.source_unit, column.unit)
    low, high = column.range
    usual = [each for each in MISSING_NUMBERS if not low <= each * factor + offset <= high]
    numbers = _listed({*usual, *_as_numbers(declared)})
    same = f" OR coalesce({number} IN ({numbers}), false)" if numbers else ""
    return f"({_plain(text)} IN ({words}){same})"


def _listed(numbers: Collection[float]) -> str:
    return ", ".join(map(repr, sorted(numbers)))


def _as_numbers(declared: Collection[str]) -> set[float]:
    found = set()
    for each in declared:
        try:
            number = float(each)
        except ValueError:
            continue
        if number == number and abs(number) != float("inf"):
            found.add(number)
    return found


def _folded(words: Collection[str]) -> str:
    return ", ".join(sorted({literal(_fold(word)) for word in words}))


def _fold(word: str) -> str:
    return word.strip(" \t\r\n").lower()


def _plain(text: str) -> str:
    return f"lower(trim({text}, {BLANKS}))"
