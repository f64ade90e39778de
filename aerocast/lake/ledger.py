"""What a table's commits have recorded beside the rows: deliveries taken, and what each month holds and was made from.

Records are Delta application transactions, so they are there exactly when the rows are. `marks` says what the marks of
a month's content are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aerocast.lake import marks
from aerocast.lake.marks import NO_EDGES, Edges, MonthContent
from aerocast.lake.memory import EXPIRED

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.fs import PyFileSystem


class Ledger:
    """The records of one version of a table; an empty one of a table that does not exist.

    `read` gives them all, by name; `files` the data files of a month, by which one of an older home is known.
    """

    def __init__(
        self, version: int | None, read: Callable[[], dict[str, int]], files: Callable[[str], list[str]]
    ) -> None:
        self.version, self._read, self._files = version, read, files

    @cached_property
    def records(self) -> dict[str, int]:
        """All of them, by name."""
        return self._read()

    def has(self, segment: str) -> bool:
        """Whether this segment was taken, as far as the table remembers (see `Once`)."""
        return segment in self.records

    def position(self, stream: str) -> int | None:
        """Where a stream of deliveries is (see `Stream`); None if the table never heard of it."""
        return self.records.get(stream)

    def holds(self, month: str, config_hash: str) -> bool:
        """Whether the month's rows were put there with this hash (see `Lake.replace`)."""
        return self.records.get(hash_mark(month)) == hash_number(config_hash)

    def stale(self, hashes: Mapping[str, str]) -> list[str]:
        """The months whose rows were not put there with the hash given here, oldest first."""
        return [month for month in sorted(hashes) if not self.holds(month, hashes[month])]

    def content(self, months: Sequence[str], edges: Edges = NO_EDGES) -> dict[str, MonthContent]:
        """Marks of what each of these months holds, and of its edges of that length; none of a month never made.

        A month that was made and is empty has a mark. One of an older home, without marks, is known by its files.
        """
        contents = {}
        for month in months:
            if whole := self.mark(month):
                kept = {s: self.records.get(marks.edge(month, s, reach)) for s, reach in edges.kept().items()}
                sides = {side: marks.text(mark) for side, mark in kept.items() if mark is not None}
                contents[month] = MonthContent(whole, sides.get("head", whole), sides.get("tail", whole))
        return contents

    def mark(self, month: str) -> str:
        """The mark of all that a month holds; of one from before there were marks, its files'; empty if never made."""
        number = self.records.get(marks.whole(month))
        if number is None:
            files = self._files(month)
            return marks.text(marks.number("files", *files)) if files else ""
        return marks.text(number)

    def origins(self) -> dict[str, str]:
        """What content of the layer above each month was made from, as `replace` recorded, empty months included."""
        return {name: marks.text(mark) for name, mark in self._named(marks.origin("")).items()}

    def gone(self) -> set[str]:
        """The months that were taken out of the table with `Lake.remove`."""
        return set(self._named(marks.removed("")))

    def around(self, months: Sequence[str], edges: Edges) -> dict[str, list[str]]:
        """Each month's own content, and that of what lies `edges.tail` before its start and `edges.head` after its end.

        What a neighbour holds beyond that reach does not count; of a month in the middle of a long reach, all does.
        """
        near = marks.neighbours(months, edges)
        wanted = sorted({each for sides in near.values() for side in sides for each in side})
        return marks.around(near, self.content(wanted, edges))

    def _named(self, start: str) -> dict[str, int]:
        return {name[len(start) :]: number for name, number in self.records.items() if name.startswith(start)}


class Token(Protocol):
    """How a delivery is taken exactly once."""

    def known(self, ledger: Ledger) -> bool:
        """Whether the table has it already."""
        ...

    def records(self, commit: int) -> dict[str, int]:
        """What is recorded with its rows, given the number of the commit."""
        ...


class Once(NamedTuple):
    """A segment that is taken once, as far as the table remembers (`aerocast.lake.memory`)."""

    segment: str

    def known(self, ledger: Ledger) -> bool:
        return ledger.has(self.segment)

    def records(self, commit: int) -> dict[str, int]:
        return {self.segment: commit}


class Slot(NamedTuple):
    """A place that holds one segment at a time, such as a month of a file: what comes back after a change counts."""

    slot: str
    segment: str

    def known(self, ledger: Ledger) -> bool:
        held = ledger.records.get(self.slot)
        # In an older home a slot has the number of its turn, and each segment that it held the turn in which it came.
        older = ledger.records.get(f"{self.slot}@{self.segment}")
        return held is not None and held in (marks.number(self.segment), older)

    def records(self, commit: int) -> dict[str, int]:
        return {self.slot: marks.number(self.segment)}


class Stream(NamedTuple):
    """Deliveries that are counted: what lies behind the newest position known is taken."""

    name: str
    position: int

    def known(self, ledger: Ledger) -> bool:
        reached = ledger.position(self.name)
        return reached is not None and self.position <= reached

    def records(self, commit: int) -> dict[str, int]:
        return {self.name: self.position}


def hash_mark(month: str) -> str:
    """The record that says with which hash a month was put there."""
    return f"config/{month}"


def hash_number(config_hash: str) -> int:
    """A hash as the positive 63-bit number that an application transaction can carry."""
    return int(config_hash[:15], 16)


def read(table: DeltaTable) -> dict[str, int]:
    """Every application transaction of the table's version, in one look at its log; `table` itself asks for each.

    Raises:
        OSError: the log changed under the look.
    """
    log, version = log_of(table), table.version()
    try:
        return _read(log, version, _hinted(log))
    except FileNotFoundError:
        # The hint is of a later version, or of one whose successors were cleaned away.
        return _read(log, version, max((each for each in checkpoints(log) if each <= version), default=None))


def log_of(table: DeltaTable) -> PyFileSystem:
    """The table's folder, wherever it is; its log lies in `_delta_log`."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    return PyFileSystem(DeltaStorageHandler.from_table(table._table))


def _read(log: PyFileSystem, version: int, start: int | None) -> dict[str, int]:
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


def _hinted(log: PyFileSystem) -> int | None:
    """The checkpoint that the log calls its newest; None without one."""
    try:
        with log.open_input_stream("_delta_log/_last_checkpoint") as stream:
            return int(json.loads(stream.read())["version"])
    except FileNotFoundError:
        return None


def checkpoints(log: PyFileSystem) -> list[int]:
    """The versions that have a checkpoint, oldest first."""
    from pyarrow.fs import FileSelector

    names = [info.base_name for info in log.get_file_info(FileSelector("_delta_log"))]
    return sorted(int(name.split(".")[0]) for name in names if name.endswith(".checkpoint.parquet"))
