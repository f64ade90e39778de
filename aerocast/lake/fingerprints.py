"""Fingerprints of what a month holds: a table below is stale when they differ from those it was made from.

A replaced month's fingerprint is a digest of its rows in any order; an appended month's is a chain over the segments
that were added to it. Both are recorded for the whole month and for its edges, the spans after its start (`head`) and
before its end (`tail`) that a neighbour's computation reads. Each is the version of a Delta application transaction, so
it is committed with the rows.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import duckdb
import pyarrow as pa

from aerocast.common.months import month_span, months_around
from aerocast.common.sql import literal, quoted
from aerocast.common.times import MICROSECOND, to_microseconds, utc

NOTHING = timedelta(0)
NONE = 0  # the fingerprint of an edge without rows; a neighbour that does not exist counts the same


class Edges(NamedTuple):
    """How far others read over a month's borders: into the rows after its start, and into those before its end."""

    head: timedelta = NOTHING
    tail: timedelta = NOTHING

    def lengths(self) -> dict[str, timedelta]:
        """The edges that have a length: side -> length."""
        return {side: length for side, length in self._asdict().items() if length > NOTHING}


NO_EDGES = Edges()


class MonthContent(NamedTuple):
    """Fingerprints of a month and its edges; an edge that is not recorded has that of the whole month."""

    all: str
    head: str
    tail: str


def content_key(month: str) -> str:
    """The transaction with the fingerprint of a month."""
    return f"content/{month}"


def edge_key(month: str, side: str, length: timedelta) -> str:
    """The transaction with the fingerprint of a month's `head` or `tail` of that length."""
    return f"content/{month}/{side}/{length // MICROSECOND}"


def origin_key(month: str) -> str:
    """The transaction that says what a month was made from."""
    return f"origin/{month}"


def removal_key(month: str) -> str:
    """The transaction that says that a month's rows were removed for good."""
    return f"gone/{month}"


def fingerprint(*parts: object) -> int:
    """The parts as a positive 60-bit number, which a Delta application transaction can carry."""
    return int(hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:15], 16)


def to_text(number: int) -> str:
    """A fingerprint as text."""
    return f"{number:x}"


def fingerprint_rows(
    con: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    months: Sequence[str],
    edges: Edges,
    ignore: Sequence[str] = (),
) -> dict[str, int]:
    """Transactions with the fingerprints of replaced months: of `rows` in any order, nulls and NaN included.

    A month without rows has one, too: it was made, and is empty. The columns in `ignore` do not count.
    """
    names, lengths = sorted(set(rows.columns) - {*ignore, "month"}), edges.lengths()
    tests = {"head": "instant < low + {}", "tail": "instant >= high - {}"}
    filters = {"all": "true"} | {side: tests[side].format(length // MICROSECOND) for side, length in lengths.items()}
    spans = {month: [to_microseconds(border) for border in month_span(month)] for month in sorted(set(months))}
    values = ", ".join(f"({literal(month)}, {low}, {high})" for month, (low, high) in spans.items())
    instant = "epoch_us(time)" if "time" in names else "NULL"
    figures = ", ".join(
        f"count(*) FILTER ({test}), coalesce(sum(h) FILTER ({test}), 0), coalesce(bit_xor(h) FILTER ({test}), 0)"
        for test in filters.values()
    )
    rows.create_view("fingerprint_rows", replace=True)
    totals = con.execute(
        f"SELECT month, {figures} FROM (SELECT month, {instant} AS instant, hash({', '.join(map(quoted, names))}) AS h"
        f" FROM fingerprint_rows) JOIN (VALUES {values}) spans(month, low, high) USING (month) GROUP BY month"
    ).fetchall()
    by_month = {row[0]: row[1:] for row in totals}
    numbers = {}
    for month in spans:
        sums = by_month.get(month, (0,) * 3 * len(filters))
        for index, side in enumerate(filters):
            own = sums[3 * index : 3 * index + 3]
            key = edge_key(month, side, lengths[side]) if side in lengths else content_key(month)
            numbers[key] = NONE if side in lengths and not own[0] else fingerprint("rows", *names, *own)
    return numbers


def extend(
    number_of: Callable[[str], int | None],
    whole_of: Callable[[str], str],
    sides_by_month: Mapping[str, Sequence[str]],
    edges: Edges,
    *segment: object,
) -> dict[str, int]:
    """Transactions with the new fingerprints of the months to which a segment adds rows (`sides_by_month`).

    `number_of(key)` is the present number of a transaction; `whole_of(month)` the fingerprint of all that the month
    holds, empty for nothing.
    """
    numbers = {}
    for month, sides in sides_by_month.items():
        keys = {"all": content_key(month)} | {s: edge_key(month, s, length) for s, length in edges.lengths().items()}
        for side, key in keys.items():
            number = number_of(key)
            if number is None or side in sides:
                # An edge that is recorded from now on begins with what the whole month holds.
                before = whole_of(month) if number is None else to_text(number)
                addition = segment if side in sides else ()
                numbers[key] = fingerprint("segment", before, *addition) if before or addition else NONE
    return numbers


def sides_of(rows: pa.Table, edges: Edges) -> dict[str, list[str]]:
    """Where rows to be appended lie: month -> `all`, and `head` and `tail` if a reading lies there."""
    if "month" not in rows.column_names:
        return {}
    if "time" not in rows.column_names:
        return {month: ["all"] for month in sorted(set(rows["month"].to_pylist()))}
    sides_by_month = {}
    for each in rows.group_by("month").aggregate([("time", "min"), ("time", "max")]).to_pylist():
        start, end = month_span(each["month"])
        first, last = (time and utc(time) for time in (each["time_min"], each["time_max"]))
        sides = {
            "all": True,
            "head": first is not None and first < start + edges.head,
            "tail": last is not None and last >= end - edges.tail,
        }
        sides_by_month[each["month"]] = [side for side, is_there in sides.items() if is_there]
    return sides_by_month


def neighbours(months: Sequence[str], edges: Edges) -> dict[str, tuple[list[str], list[str]]]:
    """Each month with those that lie within `edges.tail` before it, and with those within `edges.head` after it."""
    return {
        month: (months_around([month], edges.tail, NOTHING), months_around([month], NOTHING, edges.head))
        for month in months
    }


def inputs(
    neighbourhood: Mapping[str, tuple[list[str], list[str]]], content: Mapping[str, MonthContent]
) -> dict[str, list[str]]:
    """The fingerprints of what each month reads, its own first, from the content of its `neighbours`."""
    inputs = {}
    for month, (earlier, later) in neighbourhood.items():
        parts = [content[month].all if month in content else ""]
        for side, others in (("tail", earlier[:-1]), ("head", later[1:])):
            # Over several months the farthest one is read in part, to an edge that is not recorded.
            part = side if len(others) == 1 else "all"
            parts += [getattr(content[other], part) if other in content else to_text(NONE) for other in others]
        inputs[month] = parts
    return inputs


def origin_of(parts: Sequence[str]) -> str:
    """One fingerprint of all that a month was made from, as `Lake.replace` takes it for its `origins`."""
    return to_text(fingerprint("from", *parts))
