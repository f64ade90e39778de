"""What a month holds, as short marks that are committed with its rows: content decides whether what follows is stale.

A replaced month's mark is a digest of its rows in any order; an appended month's is a chain over the segments that
reached it. Both are kept of the whole month and of its edges, the spans next to its start (`head`) and its end
(`tail`) that a neighbour's computation reaches into. A mark is a text that differs when the content does; it travels
as the version of a Delta application transaction, so it is there exactly when the rows are.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from aerocast.common.months import month_span, months_around
from aerocast.common.sql import literal, quoted
from aerocast.common.times import utc
from aerocast.memory import EXPIRED

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyarrow.fs import PyFileSystem

    from aerocast.lake import Lake

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


class Content(NamedTuple):
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


def transactions(table: "DeltaTable") -> dict[str, int]:
    """Every application transaction of the table's version, in one look at its log; `table` itself asks for each.

    Raises:
        OSError: the log changed under the look.
    """
    log, version = log_of(table), table.version()
    try:
        return _transactions(log, version, _hinted(log))
    except FileNotFoundError:
        # The hint is of a later version, or of one whose successors were cleaned away.
        return _transactions(log, version, max((each for each in checkpoints(log) if each <= version), default=None))


def log_of(table: "DeltaTable") -> "PyFileSystem":
    """The table's folder, wherever it is; its log lies in `_delta_log`."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    return PyFileSystem(DeltaStorageHandler.from_table(table._table))


def _transactions(log: "PyFileSystem", version: int, start: int | None) -> dict[str, int]:
    """Those of the checkpoint `start` (None: of the log's beginning) and of each commit after it."""
    import pyarrow.parquet as pq

    found: dict[str, int] = {}
    if start is not None and start > version:
        raise FileNotFoundError
    if start is not None:
        stored = pq.read_table(f"_delta_log/{start:020d}.checkpoint.parquet", columns=["txn"], filesystem=log)["txn"]
        for chunk in stored.chunks:
            taken = chunk.drop_null()
            actions = (taken.field(name).to_pylist() for name in ("appId", "version", "lastUpdated"))
            found |= {app: number for app, number, at in zip(*actions, strict=True) if at != EXPIRED}
    for each in range(0 if start is None else start + 1, version + 1):
        with log.open_input_stream(f"_delta_log/{each:020d}.json") as stream:
            for line in stream.read().splitlines():
                if line.startswith(b'{"txn"'):
                    action = json.loads(line)["txn"]
                    if action.get("lastUpdated") == EXPIRED:
                        found.pop(action["appId"], None)
                    else:
                        found[action["appId"]] = action["version"]
    return found


def _hinted(log: "PyFileSystem") -> int | None:
    """The checkpoint that the log calls its newest; None without one."""
    try:
        with log.open_input_stream("_delta_log/_last_checkpoint") as stream:
            return int(json.loads(stream.read())["version"])
    except FileNotFoundError:
        return None


def checkpoints(log: "PyFileSystem") -> list[int]:
    """The versions that have a checkpoint, oldest first."""
    from pyarrow.fs import FileSelector

    names = [info.base_name for info in log.get_file_info(FileSelector("_delta_log"))]
    return sorted(int(name.split(".")[0]) for name in names if name.endswith(".checkpoint.parquet"))


def around(
    lake: "Lake", name: str, months: Sequence[str], before: timedelta = NOTHING, after: timedelta = NOTHING
) -> dict[str, list[str]]:
    """Each month's own content in table `name`, and that of what lies `before` its start and `after` its end.

    What a neighbour holds beyond that reach does not count; of a month in the middle of a long reach, all does.
    """
    near = {
        month: (months_around([month], before, NOTHING), months_around([month], NOTHING, after)) for month in months
    }
    wanted = sorted({each for sides in near.values() for side in sides for each in side})
    held = lake.content(name, wanted, Edges(after, before))
    found = {}
    for month, (earlier, later) in near.items():
        parts = [held[month].all if month in held else ""]
        for side, others in (("tail", earlier[:-1]), ("head", later[1:])):
            # A reach over several months ends inside the farthest, at an edge that was not kept.
            kept = side if len(others) == 1 else "all"
            parts += [getattr(held[other], kept) if other in held else text(NONE) for other in others]
        found[month] = parts
    return found


def made_from(parts: Sequence[str]) -> str:
    """The marks of all that a month was made from as one, such as `replace` takes for its `origins`."""
    return text(number("from", *parts))
