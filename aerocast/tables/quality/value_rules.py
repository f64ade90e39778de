"""Reads the texts of raw as values of a column: a number in its unit, nothing, or text that breaks a rule.

All functions give SQL over a row of raw, called `r`. For the column at index i it uses `t<i>`, the text, `n<i>`, its
number as sent, and `c<i>`, that number in the canonical unit.
"""

import math
import re
from collections.abc import Collection
from contextlib import suppress

from aerocast.common.sql import literal, quoted, timestamp
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.feed.layout import status_names
from aerocast.feed.status import fold
from aerocast.feed.text_format import TextFormat
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
_LIKE_MARKS = {" ": " \u00a0\u202f", "'": "'\u2019"}  # what people type in place of a sign of thousands
BLANKS = "' ' || chr(9) || chr(10) || chr(13)"


def texts(feed: Feed, have: Collection[str]) -> str:
    """A select list of `t<i>` and `n<i>` of every column; `have` are raw's columns, which may lack a new field."""
    parts = []
    for i, column in enumerate(feed.columns):
        text = _text(feed, column, have)
        parts += [f"{text} AS t{i}", f"{_number(feed, column, text)} AS n{i}"]
    return ", ".join(parts)


def canonical(feed: Feed) -> str:
    """A select list of `c<i>` of every column."""
    return ", ".join(f"{_converted(column, f'n{i}')} AS c{i}" for i, column in enumerate(feed.columns))


def value(feed: Feed, i: int) -> str:
    """The number that passes the rules that need neither flags nor neighbours, `WITHDRAWN`, or null."""
    column = feed.columns[i]
    low, high = column.range
    passes = f"c{i} BETWEEN {low!r} AND {high!r}"
    if numbers := _sql_list(_as_numbers(feed, (*feed.source.missing, *column.missing))):
        passes += f" AND n{i} NOT IN ({numbers})"
    declared = feed.source.format
    if declared.thousands or declared.decimal != ".":  # then a word for missing may be a number, too
        passes += f" AND NOT {_is_absent(feed, i)}"
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
        WHEN n{i} IS NULL OR NOT isfinite(n{i}) THEN 'unparseable'
        WHEN {rejected(column)} THEN 'rejected'
        WHEN NOT c{i} BETWEEN {low!r} AND {high!r} THEN 'range'
        WHEN {is_faulty} THEN 'sensor_fault' END"""


def is_rejected(feed: Feed, i: int) -> str:
    """Whether the text is a number that its sender rejects."""
    number = f"coalesce(isfinite(n{i}), false)"
    return f"({rejected(feed.columns[i])} AND {is_value(feed, i)} AND NOT {is_withdrawal(feed, i)} AND {number})"


def flags(feed: Feed, have: Collection[str]) -> str:
    """The flags of a row of raw, with one for each value that its status calls suspect."""
    codes = [
        f"CASE WHEN {is_suspect(feed, column, have)} THEN {literal(f'{column.name}={REJECTED}')} END"
        for column in feed.columns
        if feed.source.status
    ]
    return f"nullif(concat_ws(' ', r.flags, {', '.join(codes)}), '')" if codes else "r.flags"


def is_suspect(feed: Feed, column: Column, have: Collection[str]) -> str:
    """Whether the status of a row of raw calls its value suspect. Never null."""
    declared = feed.source.status
    if declared is None:
        return "false"
    word = _status_word(feed, column, have)
    if declared.good is None:
        return f"coalesce({word} IN ({_words(declared.suspect)}), false)"
    return f"coalesce({word} NOT IN ({_words(('', *declared.good, *declared.missing))}), false)"


def status(feed: Feed, column: Column, have: Collection[str]) -> str:
    """The text of a value's status in a row of raw; null for none."""
    names = raw_names(feed)
    texts = [f"r.{quoted(names[each])}" for each in status_names(feed, column) if names[each] in have]
    return f"coalesce({', '.join(texts)})" if texts else "NULL::VARCHAR"


def sender_verdict(feed: Feed, i: int, have: Collection[str]) -> str:
    """What a row of raw has of its sender's verdict on a value, for people."""
    code, column = literal(f"code {REJECTED}"), feed.columns[i]
    if not feed.source.status:
        return code
    text = f"""format('status "{{}}"', left({status(feed, column, have)}, 80))"""
    return f"CASE WHEN {is_suspect(feed, column, have)} THEN {text} ELSE {code} END"


def _status_word(feed: Feed, column: Column, have: Collection[str]) -> str:
    return rf"regexp_replace({_plain(status(feed, column, have))}, '^([^.]*)\.0+$', '\1')"


def _words(words: Collection[str]) -> str:
    return ", ".join(sorted({literal(fold(word)) for word in words})) or "NULL"


def rejected(column: Column) -> str:
    """Whether the sender rejects its value of this column."""
    flag = literal(f"{column.name}={REJECTED}")
    return f"(flags IS NOT NULL AND list_contains(string_split(flags, ' '), {flag}))"


def _text(feed: Feed, column: Column, have: Collection[str]) -> str:
    """The text of the field, of the first alias with a value, or of the field that it had at that time.

    None where the value's status says that it is missing.
    """
    text = _text_of_field(feed, column, have)
    if not feed.source.status or not feed.source.status.missing:
        return text
    is_missing = f"{_status_word(feed, column, have)} IN ({_words(feed.source.status.missing)})"
    return f"CASE WHEN {is_missing} THEN NULL ELSE {text} END"


def _text_of_field(feed: Feed, column: Column, have: Collection[str]) -> str:
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
    values = [f"CASE WHEN NOT {_absent(feed, column, t, _number(feed, column, t))} THEN {t} END" for t in texts]
    return f"coalesce({', '.join([*values, *texts])})"


def _number(feed: Feed, column: Column, text: str) -> str:
    """The number that a text says in the declared format, or stands for; null for any other text."""
    number = _in_format(feed.source.format, text)
    if not column.texts:
        return number
    cases = " ".join(f"WHEN {literal(_fold(word))} THEN {float(value)!r}" for word, value in column.texts.items())
    return f"CASE {_plain(text)} {cases} ELSE {number} END"


def _in_format(declared: TextFormat, text: str) -> str:
    """A number by its decimal sign and the sign of its thousands, which must stand where groups of digits meet.

    A number that was sent as such is in raw with a point, and is read as well; where a point groups digits it has an
    exponent there (see `aerocast.ingest.channels.arrow`).
    """
    point = f"replace({text}, {literal(declared.decimal)}, '.')" if declared.decimal != "." else text
    # DuckDB reads 1_000 as a number; no other reader does.
    number = f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({point} AS DOUBLE) END"
    if declared.thousands is None:
        return number
    marks = _LIKE_MARKS.get(declared.thousands, declared.thousands)
    mark, decimal = f"[{re.escape(marks)}]", re.escape(declared.decimal)
    grouped = rf"[ \t\r\n]*[+-]?\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}(?:{decimal}\d*)?[ \t\r\n]*"
    digits = f"translate({text}, {literal(declared.decimal + marks)}, '.')"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(grouped)}) THEN TRY_CAST({digits} AS DOUBLE) ELSE {number} END"
    )


def _converted(column: Column, number: str) -> str:
    """A number in the canonical unit, from the unit that it was sent in at that time."""
    now = _affine(number, *column.conversion())
    cases = [
        f"WHEN time < {timestamp(each.before)} THEN {_affine(number, *column.conversion(each.source_unit))}"
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
    texts = {*map(_fold, column.texts)}
    words = ", ".join(sorted({literal(each) for each in ({*MISSING_WORDS} - texts) | {*map(_fold, declared)}}))
    factor, offset = column.conversion()
    low, high = column.range
    usual = [each for each in MISSING_NUMBERS if not low <= each * factor + offset <= high]
    numbers = _sql_list({*usual, *_as_numbers(feed, declared)})
    same = f" OR coalesce({number} IN ({numbers}), false)" if numbers else ""
    return f"({_plain(text)} IN ({words}){same})"


def _sql_list(numbers: Collection[float]) -> str:
    return ", ".join(map(repr, sorted(numbers)))


def _as_numbers(feed: Feed, declared: Collection[str]) -> set[float]:
    """The numbers among declared texts, written as in YAML or as in the source."""
    decimal, numbers = feed.source.format.decimal, set[float]()
    for each in declared:
        with suppress(ValueError):
            numbers.add(float(each.replace(decimal, ".")))
    return set(filter(math.isfinite, numbers))


def _folded(words: Collection[str]) -> str:
    return ", ".join(sorted({literal(_fold(word)) for word in words}))


def _fold(word: str) -> str:
    return word.strip(" \t\r\n").lower()


def _plain(text: str) -> str:
    return f"lower(trim({text}, {BLANKS}))"
