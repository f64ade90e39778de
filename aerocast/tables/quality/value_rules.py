"""Reads the texts of raw as values of a column: a number in its unit, nothing, or text that breaks a rule.

All functions give SQL over a row of raw, called `r`. For the column at index i it uses `t<i>`, the text, `n<i>`, its
number as sent, and `c<i>`, that number in the canonical unit.
"""

import math
from collections.abc import Collection
from contextlib import suppress

from aerocast.common.sql import literal, quoted, timestamp
from aerocast.common.units import conversion
from aerocast.feed.declaration import Column, Feed
from aerocast.tables.raw import raw_names

VALUE_RULES = ("unparseable", "rejected", "range", "sensor_fault", "step")
REJECTED = "X"  # the sender's flag of a value that it rejects
# Texts that people and programs write for a missing value; compared without case and blanks.
MISSING_WORDS = (
    *("", "-", "--", "na", "n/a", "#n/a", "nan", "+nan", "-nan", "null", "nil", "none"),
    *("missing", "unknown", "unavailable"),
)
# Missing only where the column's range excludes them; otherwise they are measured.
MISSING_NUMBERS = (-999.0, -9999.0)
# Stands for a value that was taken back: no number that passes a range is infinite.
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
    if numbers := _sql_list(_as_numbers((*feed.source.missing, *column.missing))):
        passes += f" AND n{i} NOT IN ({numbers})"
    cases = [f"WHEN {passes} THEN c{i}"]
    if words := _folded(feed.source.withdrawn):
        cases.append(f"WHEN {_plain(f't{i}')} IN ({words}) THEN {WITHDRAWN}")
    return f"CASE {' '.join(cases)} END"


def fails(feed: Feed, i: int, value: str) -> str:
    """Whether the text is a value, but `value` (as by the function) is null. Never null."""
    # The words are compared only where it matters: a CASE looks at no more rows than it must.
    return f"CASE WHEN t{i} IS NULL OR {value} IS NOT NULL THEN false ELSE NOT {_is_absent(feed, i)} END"


def is_value(feed: Feed, i: int) -> str:
    """Whether the text is there, and not one of the words and numbers for missing."""
    return f"CASE WHEN t{i} IS NULL THEN false ELSE NOT {_is_absent(feed, i)} END"


def is_withdrawal(feed: Feed, i: int) -> str:
    """Whether the text takes earlier values back."""
    words = _folded(feed.source.withdrawn)
    return f"coalesce({_plain(f't{i}')} IN ({words}), false)" if words else "false"


def rule(feed: Feed, i: int, is_faulty: str) -> str:
    """The first rule that the text breaks, of those that need no neighbours; null for none and for a missing value.

    `is_faulty` says whether a sensor fault covers it.
    """
    column = feed.columns[i]
    low, high = column.range
    return f"""CASE WHEN NOT ({is_value(feed, i)}) OR {is_withdrawal(feed, i)} THEN NULL
        WHEN n{i} IS NULL OR NOT isfinite(n{i}) OR contains(t{i}, '_') THEN 'unparseable'
        WHEN {rejected(column)} THEN 'rejected'
        WHEN NOT c{i} BETWEEN {low!r} AND {high!r} THEN 'range'
        WHEN {is_faulty} THEN 'sensor_fault' END"""


def is_rejected(feed: Feed, i: int) -> str:
    """Whether the text is a number that its sender rejects."""
    number = f"coalesce(isfinite(n{i}) AND NOT contains(t{i}, '_'), false)"
    return f"({rejected(feed.columns[i])} AND {is_value(feed, i)} AND NOT {is_withdrawal(feed, i)} AND {number})"


def rejected(column: Column) -> str:
    """Whether the sender rejects its value of this column."""
    flag = literal(f"{column.name}={REJECTED}")
    return f"(flags IS NOT NULL AND list_contains(string_split(flags, ' '), {flag}))"


def _text(feed: Feed, column: Column, have: Collection[str]) -> str:
    """The text of the field, of the first alias with a value, or of the field that it had at that time."""
    now = _first(feed, column, (column.field, *column.aliases), have)
    cases = [
        f"WHEN r.time < {timestamp(each.before)}::TIMESTAMPTZ THEN {_first(feed, column, (each.field,), have)}"
        for each in column.former
        if each.field
    ]
    return f"CASE {' '.join(cases)} ELSE {now} END" if cases else now


def _first(feed: Feed, column: Column, fields: Collection[str], have: Collection[str]) -> str:
    names = raw_names(feed)
    texts = [f"r.{quoted(names[field])}" for field in fields if names[field] in have]
    if len(texts) < 2:
        return texts[0] if texts else "NULL::VARCHAR"
    values = [f"CASE WHEN NOT {_absent(feed, column, t, f'TRY_CAST({t} AS DOUBLE)')} THEN {t} END" for t in texts]
    return f"coalesce({', '.join([*values, *texts])})"


def _converted(column: Column, number: str) -> str:
    """A number in the canonical unit, from the unit that it was sent in at that time."""
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


def _is_absent(feed: Feed, i: int) -> str:
    return _absent(feed, feed.columns[i], f"t{i}", f"n{i}")


def _absent(feed: Feed, column: Column, text: str, number: str) -> str:
    declared = (*feed.source.missing, *column.missing)
    words = ", ".join(sorted({literal(each) for each in (*MISSING_WORDS, *map(_fold, declared))}))
    factor, offset = conversion(column.source_unit, column.unit)
    low, high = column.range
    usual = [each for each in MISSING_NUMBERS if not low <= each * factor + offset <= high]
    numbers = _sql_list({*usual, *_as_numbers(declared)})
    same = f" OR coalesce({number} IN ({numbers}), false)" if numbers else ""
    return f"({_plain(text)} IN ({words}){same})"


def _sql_list(numbers: Collection[float]) -> str:
    return ", ".join(map(repr, sorted(numbers)))


def _as_numbers(declared: Collection[str]) -> set[float]:
    numbers = set[float]()
    for each in declared:
        with suppress(ValueError):
            numbers.add(float(each))
    return set(filter(math.isfinite, numbers))


def _folded(words: Collection[str]) -> str:
    return ", ".join(sorted({literal(_fold(word)) for word in words}))


def _fold(word: str) -> str:
    return word.strip(" \t\r\n").lower()


def _plain(text: str) -> str:
    return f"lower(trim({text}, {BLANKS}))"
