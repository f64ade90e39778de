"""Takes each closed segment of the prediction log into the lake exactly once, and deletes it after that.

A prediction lies in the month of its target time (of its issue, where it has none); a posted outcome in the month of
the prediction that it is about, so that a month of outcomes is a function of one month of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.months import month_of
from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged, PostedOutcome
from aerocast.lake import PARTITION, Lake, LakeReader, compaction, memory
from aerocast.monitoring.evaluation import answers
from aerocast.storage.home import Home

ROUND, ROUND_BYTES = memory.MEMORY // 2, 64 << 20  # segments taken at once, and about how long they are
NEXT = ROUND // 5  # segments of the next round in which may be what an outcome of this one is about
NEWEST, OLDEST = 3, 12  # months in which a posted outcome's forecast is looked for first, and at all
Record = TypeVar("Record", Logged, PostedOutcome)

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
    """Counts of one intake: segments, forecasts, outcomes, lines that could not be read, ids that were never issued."""

    segments: int = 0
    predictions: int = 0
    posted: int = 0
    damaged: int = 0
    unknown: int = 0

    def plus(self, other: "LogIntake") -> "LogIntake":
        return LogIntake(*(own + more for own, more in zip(astuple(self), astuple(other), strict=True)))


class KnownAnswer(NamedTuple):
    """An answer in the lake: the number of its forecast, and the month of each horizon's prediction."""

    forecast: int | None
    months: Mapping[int, str]


def take_segments(con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: str) -> LogIntake:
    """Appends every closed segment to `<feed>/{predictions,answers,posted}`, then deletes it.

    A segment is identified by its name: a kill at any point repeats nothing and loses nothing. Those of a round come in
    one commit, and are deleted before the next round, so that the tables need not remember more of them.

    Raises:
        AeroCastError: the log cannot be read, the lake not written.
    """
    segments: Sequence[Path] = predictions.closed_segments(home, feed)
    total = LogIntake()
    while segments:
        own, rest = _split_round(segments, ROUND)
        total, segments = total.plus(_round(con, lake, feed, own, _split_round(rest, NEXT)[0])), rest
    for name in ("predictions", "answers", "posted"):
        compaction.tidy(lake, f"{feed}/{name}")
    return total


def _split_round(segments: Sequence[Path], count: int) -> tuple[Sequence[Path], Sequence[Path]]:
    """Splits off the oldest segments, at most `count` and about ROUND_BYTES of them."""
    size = 0
    for at, path in enumerate(segments):
        if at == count or size > ROUND_BYTES:
            return segments[:at], segments[at:]
        size += path.stat().st_size
    return segments, ()


def _round(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: str, segments: Sequence[Path], next_segments: Sequence[Path]
) -> LogIntake:
    """Takes and deletes `segments`; of `next_segments` it takes the predictions only.

    All predictions first: an outcome may lie in an older segment of another server than what it is about.
    """
    records = {path: predictions.read_segment(path) for path in (*segments, *next_segments)}
    answered = {path.stem: record.predictions for path, record in records.items()}
    rows = _add(lake, f"{feed}/predictions", answered, prediction_table)
    _add(lake, f"{feed}/answers", answered, answers.answer_table)
    own = [records[path] for path in segments]
    answers_by_id = _known_answers(con, lake, feed, {each.id for one in own for each in one.outcomes if each.id})
    outcomes = {path.stem: records[path].outcomes for path in segments}
    count = len(_add(lake, f"{feed}/posted", outcomes, lambda posted: _posted_table(posted, answers_by_id)))
    for path in segments:
        predictions.remove_segment(path)
    unknown = sum(each.id is not None and each.id not in answers_by_id for one in own for each in one.outcomes)
    forecasts = pc.sum(rows["asked"]).as_py() or 0 if len(rows) else 0
    return LogIntake(len(segments), forecasts, count, sum(one.damaged for one in own), unknown)


def _add(
    lake: Lake, name: str, segments: Mapping[str, Sequence[Record]], table: Callable[[Sequence[Record]], pa.Table]
) -> pa.Table:
    """Appends the segments that the table does not have yet, in one commit; their rows."""
    while True:
        view = lake.view()
        version, recorded = view.version(name), view.ledger(name).records
        new = {segment: records for segment, records in segments.items() if records and segment not in recorded}
        if not new:
            return table([])
        rows = table([record for records in new.values() for record in records])
        if lake.amend(name, rows, dict.fromkeys(new, 0 if version is None else version + 1), upon=version):
            return rows


def prediction_table(logged: Sequence[Logged]) -> pa.Table:
    """One row a horizon of each distinct forecast."""
    same = ("id", "target", "station", "issued_at", "origin", "level", "version", "kind", "graph", "shadow", "degraded")
    rows = []
    for each, forecast, count in answers.distinct_forecasts(logged):
        common = {name: getattr(each, name) for name in same} | {"reasons": "; ".join(each.reasons)}
        common |= {"forecast": forecast, "asked": count}
        for part in each.forecasts:
            own = {name: getattr(part, name) for name in ("horizon", "time", "value", "lower", "upper")}
            rows.append(common | own | {PARTITION: month_of(part.time or each.issued_at)})
    return pa.Table.from_pylist(rows, PREDICTIONS)


def _posted_table(posted: Sequence[PostedOutcome], answers_by_id: Mapping[str, KnownAnswer]) -> pa.Table:
    """One row an outcome; without a horizon it is about the answer's first one."""
    same = ("posted_at", "target", "station", "id", "predicted", "actual")
    rows = []
    for line, each in enumerate(posted):
        forecast, months = answers_by_id.get(each.id or "", KnownAnswer(None, {}))
        horizon = each.horizon if each.horizon is not None else min(months, default=None)
        month = months.get(-1 if horizon is None else horizon) or month_of(each.posted_at)
        own = {"horizon": horizon, "line": line, "forecast": forecast, PARTITION: month}
        rows.append({name: getattr(each, name) for name in same} | own)
    return pa.Table.from_pylist(rows, POSTED)


def _known_answers(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: str, ids: set[str]
) -> dict[str, KnownAnswer]:
    """Looks these answers up by id, first in the newest months, and not in months older than a year.

    Answers from before forecasts had numbers are looked up by their own id.
    """
    name, numbers = f"{feed}/answers", {answers.answer_number(id): id for id in ids}
    months = lake.months(name)[-OLDEST:]
    forecasts: dict[str, int] = {}
    for part in (months[-NEWEST:], months[:-NEWEST]):
        rest = pa.array([number for number, id in numbers.items() if id not in forecasts], pa.int64())
        rows = _matching_rows(con, lake, name, part, "answer", rest, "answer, forecast")
        forecasts |= {numbers[number]: forecast for number, forecast in rows}
    by_number = _prediction_months(con, lake, feed, "forecast", pa.array(sorted(set(forecasts.values())), pa.int64()))
    by_id = _prediction_months(con, lake, feed, "id", pa.array(sorted(ids - forecasts.keys()), _TEXT))
    by_own_id = {id: KnownAnswer(None, rows) for id, rows in by_id.items()}
    return by_own_id | {id: KnownAnswer(number, by_number.get(number, {})) for id, number in forecasts.items()}


def _prediction_months(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: str, column: str, values: pa.Array
) -> dict[Any, dict[int, str]]:
    """By the value of that column, horizon -> month of its prediction."""
    name = f"{feed}/predictions"
    months, months_of = lake.months(name)[-OLDEST:], dict[Any, dict[int, str]]()
    for part in (months[-NEWEST:], months[:-NEWEST]):
        rest = pa.array([value for value in values.to_pylist() if value not in months_of], values.type)
        columns = f"{column}, horizon, {PARTITION}"
        for value, horizon, month in _matching_rows(con, lake, name, part, column, rest, columns):
            months_of.setdefault(value, {})[horizon] = month
    return months_of


def _matching_rows(
    con: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    name: str,
    months: Sequence[str],
    column: str,
    values: pa.Array,
    columns: str,
) -> list[tuple[Any, ...]]:
    """The distinct rows of these months whose `column` is one of those wanted."""
    if not months or not len(values):
        return []
    rows = lake.relation(con, name, months)
    if column not in rows.columns:  # a table of an older home
        return []
    rows.create_view("intake_stored", replace=True)
    con.register("intake_wanted", pa.table({column: values}))
    try:
        query = f"SELECT DISTINCT {columns} FROM intake_stored SEMI JOIN intake_wanted USING ({column})"
        return con.sql(query).fetchall()
    finally:
        con.unregister("intake_wanted")
