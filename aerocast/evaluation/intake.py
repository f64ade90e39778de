"""Intake: each closed segment of the prediction log goes into the lake exactly once, and is deleted after that.

A prediction lies in the month of its target time (of its issue, where it has none); a posted outcome in the month of
the prediction that it is about, so that a month of outcomes is a function of one month of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from aerocast import memory, predictions
from aerocast.home import Home
from aerocast.lake import PARTITION, Lake
from aerocast.months import month_of
from aerocast.predictions import Logged, Posted

if TYPE_CHECKING:
    import duckdb

ROUND, ROUND_BYTES = memory.MEMORY // 2, 64 << 20  # segments taken at once, and about how long they are
NEXT = ROUND // 5  # segments of the next round in which may be what an outcome of this one is about
NEWEST = 3  # months of predictions in which a posted outcome's forecast is looked for first
Recorded = TypeVar("Recorded", Logged, Posted)
FILES = 64  # small files of a month before they are joined

_TIME, _TEXT, _NUMBER = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
PREDICTIONS = pa.schema(
    [
        *(("id", _TEXT), ("target", _TEXT), ("station", _TEXT), ("issued_at", _TIME), ("origin", _TIME)),
        *(("horizon", pa.int32()), ("time", _TIME), ("value", _NUMBER), ("lower", _NUMBER), ("upper", _NUMBER)),
        *(("level", _NUMBER), ("version", _TEXT), ("kind", _TEXT), ("graph", _TEXT), ("shadow", pa.bool_())),
        *(("degraded", pa.bool_()), ("reasons", _TEXT), (PARTITION, _TEXT)),
    ]
)
POSTED = pa.schema(
    [
        *(("posted_at", _TIME), ("target", _TEXT), ("station", _TEXT), ("id", _TEXT), ("horizon", pa.int32())),
        *(("predicted", _NUMBER), ("actual", _NUMBER), ("line", pa.int64()), (PARTITION, _TEXT)),
    ]
)


@dataclass(frozen=True)
class Taken:
    """What one intake brought: segments, rows of each table, lines that could not be read, ids that nobody issued."""

    segments: int = 0
    predictions: int = 0
    posted: int = 0
    damaged: int = 0
    unknown: int = 0

    def plus(self, other: Taken) -> Taken:
        return Taken(*(own + more for own, more in zip(astuple(self), astuple(other), strict=True)))


def take(con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: str) -> Taken:
    """Appends every closed segment to `<feed>/predictions` and `<feed>/posted`, then deletes it.

    A segment counts by its name: a kill at any point repeats nothing and loses nothing. Those of a round come in one
    commit, and are deleted before the next round, so that the tables need not remember more of them.

    Raises:
        AeroCastError: the log cannot be read, the lake not written.
    """
    waiting: Sequence[Path] = predictions.segments(home, feed)
    total = Taken()
    while waiting:
        own, rest = _upto(waiting, ROUND)
        total, waiting = total.plus(_round(con, lake, feed, own, _upto(rest, NEXT)[0])), rest
    for name in (f"{feed}/predictions", f"{feed}/posted"):
        tidy(lake, name)
    return total


def _upto(waiting: Sequence[Path], count: int) -> tuple[Sequence[Path], Sequence[Path]]:
    """The oldest segments, at most `count` and about ROUND_BYTES of them, and the others."""
    size = 0
    for at, path in enumerate(waiting):
        if at == count or size > ROUND_BYTES:
            return waiting[:at], waiting[at:]
        size += path.stat().st_size
    return waiting, ()


def _round(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: str, waiting: Sequence[Path], following: Sequence[Path]
) -> Taken:
    """Takes and deletes the segments `waiting`; of those `following` the predictions only.

    All predictions first: an outcome may lie in an older segment of another server than what it is about.
    """
    records = {path: predictions.read(path) for path in (*waiting, *following)}
    issued = _add(lake, f"{feed}/predictions", {p.stem: found.predictions for p, found in records.items()}, _issued)
    own = [records[path] for path in waiting]
    known = _months(con, lake, f"{feed}/predictions", {each.id for one in own for each in one.outcomes if each.id})
    outcomes = {path.stem: records[path].outcomes for path in waiting}
    brought = _add(lake, f"{feed}/posted", outcomes, lambda posted: _posted(posted, known))
    for path in waiting:
        predictions.discard(path)
    unknown = sum(each.id is not None and each.id not in known for one in own for each in one.outcomes)
    return Taken(len(waiting), issued, brought, sum(one.damaged for one in own), unknown)


def _add(
    lake: Lake, name: str, segments: Mapping[str, Sequence[Recorded]], table: Callable[[Sequence[Recorded]], pa.Table]
) -> int:
    """Appends what the table does not know yet, in one commit; how many rows."""
    while True:
        version = lake.version(name)
        new = {segment: table(records) for segment, records in segments.items() if not lake.has(name, segment)}
        new = {segment: rows for segment, rows in new.items() if len(rows)}
        turns = dict.fromkeys(new, 0 if version is None else version + 1)
        if not new or lake.amend(name, rows := pa.concat_tables(new.values()), turns, upon=version):
            return len(rows) if new else 0


def _issued(logged: Iterable[Logged]) -> pa.Table:
    """One row a horizon."""
    same = ("id", "target", "station", "issued_at", "origin", "level", "version", "kind", "graph", "shadow", "degraded")
    rows = []
    for each in logged:
        common = {name: getattr(each, name) for name in same} | {"reasons": "; ".join(each.reasons)}
        for part in each.forecasts:
            own = {name: getattr(part, name) for name in ("horizon", "time", "value", "lower", "upper")}
            rows.append(common | own | {PARTITION: month_of(part.time or each.issued_at)})
    return pa.Table.from_pylist(rows, PREDICTIONS)


def _posted(posted: Sequence[Posted], known: Mapping[str, Mapping[int, str]]) -> pa.Table:
    """One row an outcome; without a horizon it is about the answer's first one."""
    same = ("posted_at", "target", "station", "id", "predicted", "actual")
    rows = []
    for line, each in enumerate(posted):
        months = known.get(each.id or "", {})
        horizon = each.horizon if each.horizon is not None else min(months, default=None)
        month = months.get(-1 if horizon is None else horizon) or month_of(each.posted_at)
        own = {"horizon": horizon, "line": line, PARTITION: month}
        rows.append({name: getattr(each, name) for name in same} | own)
    return pa.Table.from_pylist(rows, POSTED)


def _months(con: duckdb.DuckDBPyConnection, lake: Lake, name: str, ids: set[str]) -> dict[str, dict[int, str]]:
    """Answer -> horizon -> month of its prediction: looked for in the newest months, then in all the others."""
    months, found = lake.months(name), dict[str, dict[int, str]]()
    for part in (months[-NEWEST:], months[:-NEWEST]):
        missing = ids - found.keys()
        if not part or not missing:
            continue
        lake.relation(con, name, part).create_view("intake_issued", replace=True)
        con.register("intake_wanted", pa.table({"id": pa.array(sorted(missing), _TEXT)}))
        rows = con.sql(f"SELECT DISTINCT id, horizon, {PARTITION} FROM intake_issued JOIN intake_wanted USING (id)")
        for id, horizon, month in rows.fetchall():
            found.setdefault(id, {})[horizon] = month
        con.unregister("intake_wanted")
    return found


def tidy(lake: Lake, name: str) -> None:
    """One file an append would make reading dear: the newest months' small files are joined now and then."""
    for month in lake.months(name)[-NEWEST:]:
        if len(lake.files(name, [month])) > FILES:
            lake.compact(name, month)
