"""What a month holds, as short marks that are committed with its rows: content decides whether what follows is stale.

A replaced month's mark is a digest of its rows in any order; an appended month's is a chain over the segments that
reached it. Both are kept of the whole month and of its edges, the spans next to its start (`head`) and its end
(`tail`) that a neighbour's computation reaches into. A mark is a text that differs when the content does; it travels
as the version of a Delta application transaction, so it is there exactly when the rows are.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from aerocast.common.months import month_span, months_around
from aerocast.common.sql import literal, quoted
from aerocast.common.times import utc

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

NOTHING = timedelta(0)
NONE = 0  # the mark of an edge where nothing lies; a neighbour that was never made counts the same
_MICROSECOND = timedelta(microseconds=1)


class Edges(NamedTuple):
    """How far over a month's borders others read: into the rows after its start, and into those before its end."""

    head: timedelta = NOTHING
    tail: timedelta = NOTHING

    def kept(self) -> dict[str, timedelta]:
        """The edges that are of any length: side -> reach."""
        return {side: reach for side, reach in (("head", self.head), ("tail", self.tail)) if reach > NOTHING}


NO_EDGES = Edges()


class MonthContent(NamedTuple):
    """Marks of a month: of all its rows, and of its edges; where an edge was not kept, of the whole month again."""

    all: str
    head: str
    tail: str


def whole(month: str) -> str:
    """The transaction that carries the mark of a month."""
    return f"content/{month}"


def edge(month: str, side: str, reach: timedelta) -> str:
    """The transaction that carries the mark of a month's `head` or `tail` of that length."""
    return f"content/{month}/{side}/{reach // _MICROSECOND}"


def origin(month: str) -> str:
    """The transaction that says what a month was made from."""
    return f"origin/{month}"


def removed(month: str) -> str:
    """The transaction that says that a month's rows were taken out for good."""
    return f"gone/{month}"


def number(*parts: object) -> int:
    """The parts as the positive 60-bit number that a Delta application transaction can carry."""
    return int(hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:15], 16)


def text(mark: int) -> str:
    """A transaction's number as a mark."""
    return f"{mark:x}"


def digests(
    con: "duckdb.DuckDBPyConnection",
    rows: "duckdb.DuckDBPyRelation",
    months: Sequence[str],
    edges: Edges,
    apart: Sequence[str] = (),
) -> dict[str, int]:
    """Transactions with the marks of replaced months: a digest of `rows` in any order, nulls and NaN included.

    A month without rows has a mark, too: it was made, and is empty. Columns named in `apart` do not count.
    """
    names, kept = sorted(set(rows.columns) - {*apart, "month"}), edges.kept()
    tests = {"head": "instant < low + {}", "tail": "instant >= high - {}"}
    inside = {"all": "true"} | {side: tests[side].format(reach // _MICROSECOND) for side, reach in kept.items()}
    spans = {month: [round(at.timestamp() * 1e6) for at in month_span(month)] for month in sorted(set(months))}
    values = ", ".join(f"({literal(month)}, {low}, {high})" for month, (low, high) in spans.items())
    at = "epoch_us(time)" if "time" in names else "NULL"
    figures = ", ".join(
        f"count(*) FILTER ({test}), coalesce(sum(h) FILTER ({test}), 0), coalesce(bit_xor(h) FILTER ({test}), 0)"
        for test in inside.values()
    )
    rows.create_view("marked_rows", replace=True)
    found = con.execute(
        f"SELECT month, {figures} FROM (SELECT month, {at} AS instant, hash({', '.join(map(quoted, names))}) AS h"
        f" FROM marked_rows) JOIN (VALUES {values}) spans(month, low, high) USING (month) GROUP BY month"
    ).fetchall()
    counted = {row[0]: row[1:] for row in found}
    marks = {}
    for month in spans:
        sums = counted.get(month, (0,) * 3 * len(inside))
        for place, side in enumerate(inside):
            own = sums[3 * place : 3 * place + 3]
            named = edge(month, side, kept[side]) if side in kept else whole(month)
            marks[named] = NONE if side in kept and not own[0] else number("rows", *names, *own)
    return marks


def chained(
    held: Callable[[str], int | None],
    before: Callable[[str], str],
    reached: dict[str, list[str]],
    edges: Edges,
    *segment: object,
) -> dict[str, int]:
    """Transactions with the new marks of the months that a segment reaches (`reach`).

    `held` looks an old one up; `before(month)` is the mark of all that the month held so far, empty for nothing.
    """
    marks = {}
    for month, sides in reached.items():
        named = {"all": whole(month)} | {side: edge(month, side, long) for side, long in edges.kept().items()}
        for side, mark in named.items():
            old = held(mark)
            if old is None or side in sides:
                # An edge that is kept from now on began with whatever the whole month held.
                known = before(month) if old is None else text(old)
                said = segment if side in sides else ()
                marks[mark] = number("segment", known, *said) if known or said else NONE
    return marks


def reach(rows: "pa.Table", edges: Edges) -> dict[str, list[str]]:
    """What rows that are to be appended reach: month -> `all`, and `head` and `tail` if a reading lies there."""
    if "month" not in rows.column_names:
        return {}
    if "time" not in rows.column_names:
        return {month: ["all"] for month in sorted(set(rows["month"].to_pylist()))}
    found = {}
    for each in rows.group_by("month").aggregate([("time", "min"), ("time", "max")]).to_pylist():
        start, end = month_span(each["month"])
        first, last = (time and utc(time) for time in (each["time_min"], each["time_max"]))
        sides = {
            "all": True,
            "head": first is not None and first < start + edges.head,
            "tail": last is not None and last >= end - edges.tail,
        }
        found[each["month"]] = [side for side, there in sides.items() if there]
    return found


def neighbours(months: Sequence[str], edges: Edges) -> dict[str, tuple[list[str], list[str]]]:
    """Each month with those that lie within `edges.tail` before it, and with those within `edges.head` after it."""
    return {
        month: (months_around([month], edges.tail, NOTHING), months_around([month], NOTHING, edges.head))
        for month in months
    }


def around(near: Mapping[str, tuple[list[str], list[str]]], held: Mapping[str, MonthContent]) -> dict[str, list[str]]:
    """The marks of what each month reads, its own first, given the content of its `neighbours`."""
    read = {}
    for month, (earlier, later) in near.items():
        parts = [held[month].all if month in held else ""]
        for side, others in (("tail", earlier[:-1]), ("head", later[1:])):
            # A reach over several months ends inside the farthest, at an edge that was not kept.
            kept = side if len(others) == 1 else "all"
            parts += [getattr(held[other], kept) if other in held else text(NONE) for other in others]
        read[month] = parts
    return read


def made_from(parts: Sequence[str]) -> str:
    """The marks of all that a month was made from as one, such as `replace` takes for its `origins`."""
    return text(number("from", *parts))
