"""Intake: each closed segment of the prediction log goes into the lake exactly once, and is deleted after that.

A prediction lies in the month of its target time (of its issue, where it has none); a posted outcome in the month of
the prediction that it is about, so that a month of outcomes is a function of one month of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.months import month_of
from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged, PostedOutcome
from aerocast.lake import PARTITION, Lake, LakeReader, compaction, memory
from aerocast.monitoring.evaluation import answers
from aerocast.storage.home import Home

if TYPE_CHECKING:
    import duckdb

ROUND, ROUND_BYTES = memory.MEMORY // 2, 64 << 20  # segments taken at once, and about how long they are
NEXT = ROUND // 5  # segments of the next round in which may be what an outcome of this one is about
NEWEST, OLDEST = 3, 12  # months in which a posted outcome's forecast is looked for first, and at all
Recorded = TypeVar("Recorded", Logged, PostedOutcome)

_TIME, _TEXT, _NUMBER = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
PREDICTIONS = pa.schema(
    [
        *(("id", _TEXT), ("target", _TEXT), ("station", _TEXT), ("issued_at", _TIME), ("origin", _TIME)),
        *(("horizon", pa.int32()), ("time", _TIME), ("value", _NUMBER), ("lower", _NUMBER), ("upper", _NUMBER)),
        *(("level", _NUMBER), ("version", _TEXT), ("kind", _TEXT), ("graph", _TEXT), ("shadow", pa.bool_())),
        *(("degraded", pa.bool_()), ("reasons", _TEXT), ("forecast", pa.int64()), ("asked", pa.int64())),
        (PARTITION, _TEXT),
    ]
)
POSTED = pa.schema(
    [
        *(("posted_at", _TIME), ("target", _TEXT), ("station", _TEXT), ("id", _TEXT), ("horizon", pa.int32())),
        *(("predicted", _NUMBER), ("actual", _NUMBER), ("line", pa.int64()), ("forecast", pa.int64())),
        (PARTITION, _TEXT),
    ]
)


@dataclass(frozen=True)
class LogIntake:
    """What one intake brought: segments, forecasts, outcomes, lines that could not be read, ids that nobody issued."""

    segments: int = 0
    predictions: int = 0
    posted: int = 0
    damaged: int = 0
    unknown: int = 0

    def plus(self, other: LogIntake) -> LogIntake:
        return LogIntake(*(own + more for own, more in zip(astuple(self), astuple(other), strict=True)))


class KnownAnswer(NamedTuple):
    """What is known of an answer: the number of what it said, and the month of each horizon's prediction."""

    forecast: int | None
    months: Mapping[int, str]


def take(con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: str) -> LogIntake:
    """Appends every closed segment to `<feed>/{predictions,answers,posted}`, then deletes it.

    A segment counts by its name: a kill at any point repeats nothing and loses nothing. Those of a round come in one
    commit, and are deleted before the next round, so that the tables need not remember more of them.

    Raises:
        AeroCastError: the log cannot be read, the lake not written.
    """
    waiting: Sequence[Path] = predictions.segments(home, feed)
    total = LogIntake()
    while waiting:
        own, rest = _upto(waiting, ROUND)
        total, waiting = total.plus(_round(con, lake, feed, own, _upto(rest, NEXT)[0])), rest
    for name in ("predictions", "answers", "posted"):
        compaction.tidy(lake, f"{feed}/{name}")
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
) -> LogIntake:
    """Takes and deletes the segments `waiting`; of those `following` the predictions only.

    All predictions first: an outcome may lie in an older segment of another server than what it is about.
    """
    records = {path: predictions.read(path) for path in (*waiting, *following)}
    logged = {path.stem: found.predictions for path, found in records.items()}
    issued = _add(lake, f"{feed}/predictions", logged, predicted)
    _add(lake, f"{feed}/answers", logged, answers.table)
    own = [records[path] for path in waiting]
    known = _known(con, lake, feed, {each.id for one in own for each in one.outcomes if each.id})
    outcomes = {path.stem: records[path].outcomes for path in waiting}
    brought = len(_add(lake, f"{feed}/posted", outcomes, lambda posted: _posted(posted, known)))
    for path in waiting:
        predictions.discard(path)
    unknown = sum(each.id is not None and each.id not in known for one in own for each in one.outcomes)
    forecasts = pc.sum(issued["asked"]).as_py() or 0 if len(issued) else 0
    return LogIntake(len(waiting), forecasts, brought, sum(one.damaged for one in own), unknown)


def _add(
    lake: Lake, name: str, segments: Mapping[str, Sequence[Recorded]], table: Callable[[Sequence[Recorded]], pa.Table]
) -> pa.Table:
    """Appends what the table does not know yet, in one commit; its rows."""
    while True:
        view = lake.view()
        version, known = view.version(name), view.ledger(name).records
        new = {segment: records for segment, records in segments.items() if records and segment not in known}
        if not new:
            return table([])
        rows = table([record for records in new.values() for record in records])
        if lake.amend(name, rows, dict.fromkeys(new, 0 if version is None else version + 1), upon=version):
            return rows


def predicted(logged: Sequence[Logged]) -> pa.Table:
    """One row a horizon of each distinct forecast."""
    same = ("id", "target", "station", "issued_at", "origin", "level", "version", "kind", "graph", "shadow", "degraded")
    rows = []
    for each, forecast, asked in answers.distinct(logged):
        common = {name: getattr(each, name) for name in same} | {"reasons": "; ".join(each.reasons)}
        common |= {"forecast": forecast, "asked": asked}
        for part in each.forecasts:
            own = {name: getattr(part, name) for name in ("horizon", "time", "value", "lower", "upper")}
            rows.append(common | own | {PARTITION: month_of(part.time or each.issued_at)})
    return pa.Table.from_pylist(rows, PREDICTIONS)


def _posted(posted: Sequence[PostedOutcome], known: Mapping[str, KnownAnswer]) -> pa.Table:
    """One row an outcome; without a horizon it is about the answer's first one."""
    same = ("posted_at", "target", "station", "id", "predicted", "actual")
    rows = []
    for line, each in enumerate(posted):
        forecast, months = known.get(each.id or "", KnownAnswer(None, {}))
        horizon = each.horizon if each.horizon is not None else min(months, default=None)
        month = months.get(-1 if horizon is None else horizon) or month_of(each.posted_at)
        own = {"horizon": horizon, "line": line, "forecast": forecast, PARTITION: month}
        rows.append({name: getattr(each, name) for name in same} | own)
    return pa.Table.from_pylist(rows, POSTED)


def _known(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: str, ids: set[str]) -> dict[str, KnownAnswer]:
    """What each of these answers said, and when; the newest months are looked through first, and no older than a year.

    Answers of before there were forecasts by number are found by their own id.
    """
    name, numbers = f"{feed}/answers", {answers.number(id): id for id in ids}
    months = lake.months(name)[-OLDEST:]
    forecasts: dict[str, int] = {}
    for part in (months[-NEWEST:], months[:-NEWEST]):
        wanted = pa.array([number for number, id in numbers.items() if id not in forecasts], pa.int64())
        found = _among(con, lake, name, part, "answer", wanted, "answer, forecast")
        forecasts |= {numbers[number]: forecast for number, forecast in found}
    by_number = _months(con, lake, feed, "forecast", pa.array(sorted(set(forecasts.values())), pa.int64()))
    by_id = _months(con, lake, feed, "id", pa.array(sorted(ids - forecasts.keys()), _TEXT))
    known = {id: KnownAnswer(None, found) for id, found in by_id.items()}
    return known | {id: KnownAnswer(number, by_number.get(number, {})) for id, number in forecasts.items()}


def _months(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: str, column: str, wanted: pa.Array
) -> dict[Any, dict[int, str]]:
    """By the value of that column, horizon -> month of its prediction."""
    name = f"{feed}/predictions"
    months, found = lake.months(name)[-OLDEST:], dict[Any, dict[int, str]]()
    for part in (months[-NEWEST:], months[:-NEWEST]):
        left = pa.array([value for value in wanted.to_pylist() if value not in found], wanted.type)
        for value, horizon, month in _among(con, lake, name, part, column, left, f"{column}, horizon, {PARTITION}"):
            found.setdefault(value, {})[horizon] = month
    return found


def _among(
    con: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    name: str,
    months: Sequence[str],
    column: str,
    wanted: pa.Array,
    columns: str,
) -> list[tuple[Any, ...]]:
    """The distinct rows of these months whose `column` is one of those wanted."""
    if not months or not len(wanted):
        return []
    stored = lake.relation(con, name, months)
    if column not in stored.columns:  # a table of before there was one
        return []
    stored.create_view("intake_stored", replace=True)
    con.register("intake_wanted", pa.table({column: wanted}))
    try:
        query = f"SELECT DISTINCT {columns} FROM intake_stored SEMI JOIN intake_wanted USING ({column})"
        return con.sql(query).fetchall()
    finally:
        con.unregister("intake_wanted")
