"""The records that a table's commits carry besides rows: its deliveries, and what each month holds and was made from.

Records are Delta application transactions, so they are committed with the rows. For the content of months see
`aerocast.lake.fingerprints`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from aerocast.lake import fingerprints
from aerocast.lake.fingerprints import NO_EDGES, Edges, MonthContent
from aerocast.lake.memory import EXPIRED

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.fs import PyFileSystem


class Ledger:
    """The records of one version of a table; empty for a table that does not exist.

    `load` reads them, by name.
    """

    def __init__(self, version: int | None, load: Callable[[], dict[str, int]]) -> None:
        self.version, self._load = version, load

    @cached_property
    def records(self) -> dict[str, int]:
        """All records, by name."""
        return self._load()

    def has_segment(self, segment: str) -> bool:
        """Whether this segment was delivered, as far as the table remembers (see `Once`)."""
        return segment in self.records

    def position(self, stream: str) -> int | None:
        """The newest position of a stream of deliveries (see `Stream`); None for an unknown stream."""
        return self.records.get(stream)

    def is_current(self, month: str, config_hash: str) -> bool:
        """Whether the month's rows were written with this hash (see `Lake.replace`)."""
        return self.records.get(hash_key(month)) == hash_number(config_hash)

    def stale(self, hashes: Mapping[str, str]) -> list[str]:
        """The months whose rows were not written with the hash given here, oldest first."""
        return [month for month in sorted(hashes) if not self.is_current(month, hashes[month])]

    def content(self, months: Sequence[str], edges: Edges = NO_EDGES) -> dict[str, MonthContent]:
        """Fingerprints of what these months hold, and of their edges of that length; months never made are left out.

        A month that was made and is empty has a fingerprint.
        """
        contents = {}
        for month in months:
            if whole := self.fingerprint(month):
                keys = {s: fingerprints.edge_key(month, s, length) for s, length in edges.lengths().items()}
                sides = {s: fingerprints.to_text(self.records[key]) for s, key in keys.items() if key in self.records}
                contents[month] = MonthContent(whole, sides.get("head", whole), sides.get("tail", whole))
        return contents

    def fingerprint(self, month: str) -> str:
        """That of all that a month holds; empty for a month never made."""
        number = self.records.get(fingerprints.content_key(month))
        return "" if number is None else fingerprints.to_text(number)

    def origins(self) -> dict[str, str]:
        """The content of the layer above that each month was made from, as `replace` recorded it."""
        start = fingerprints.origin_key("")
        return {name: fingerprints.to_text(number) for name, number in self._records_after(start).items()}

    def removed_months(self) -> set[str]:
        """The months that `Lake.remove` has removed from the table."""
        return set(self._records_after(fingerprints.removal_key("")))

    def inputs(self, months: Sequence[str], edges: Edges) -> dict[str, list[str]]:
        """The fingerprints of what lies in each month, `edges.tail` before its start and `edges.head` after its end.

        What a neighbour holds beyond its edge does not count; a month inside a longer span counts as a whole.
        """
        near = fingerprints.neighbours(months, edges)
        every = sorted({each for sides in near.values() for side in sides for each in side})
        return fingerprints.inputs(near, self.content(every, edges))

    def _records_after(self, start: str) -> dict[str, int]:
        return {name[len(start) :]: number for name, number in self.records.items() if name.startswith(start)}


def hash_key(month: str) -> str:
    """The record that says with which hash a month was written."""
    return f"config/{month}"


def hash_number(config_hash: str) -> int:
    """A hash as the positive 63-bit number that an application transaction can carry."""
    return int(config_hash[:15], 16)


def read_records(table: DeltaTable) -> dict[str, int]:
    """Every application transaction of the table's version, by reading its log once.

    Raises:
        OSError: the log changed meanwhile.
    """
    log, version = log_of(table), table.version()
    try:
        return _transactions(log, version, _last_checkpoint(log))
    except FileNotFoundError:
        # That checkpoint is of a later version, or of one whose successors were cleaned away.
        return _transactions(log, version, max((each for each in checkpoints(log) if each <= version), default=None))


def log_of(table: DeltaTable) -> PyFileSystem:
    """The table's folder; its log is in `_delta_log`."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    return PyFileSystem(DeltaStorageHandler.from_table(table._table))


def _transactions(log: PyFileSystem, version: int, start: int | None) -> dict[str, int]:
    """Those of the checkpoint `start` (None: of the log's beginning) and of each commit after it."""
    import pyarrow.parquet as pq

    records: dict[str, int] = {}
    if start is not None and start > version:
        raise FileNotFoundError
    if start is not None:
        column = pq.read_table(f"_delta_log/{start:020d}.checkpoint.parquet", columns=["txn"], filesystem=log)["txn"]
        for chunk in column.chunks:
            actions = (chunk.drop_null().field(name).to_pylist() for name in ("appId", "version", "lastUpdated"))
            records |= {app: number for app, number, at in zip(*actions, strict=True) if at != EXPIRED}
    for each in range(0 if start is None else start + 1, version + 1):
        with log.open_input_stream(f"_delta_log/{each:020d}.json") as stream:
            for line in stream.read().splitlines():
                if line.startswith(b'{"txn"'):
                    action = json.loads(line)["txn"]
                    if action.get("lastUpdated") == EXPIRED:
                        records.pop(action["appId"], None)
                    else:
                        records[action["appId"]] = action["version"]
    return records


def _last_checkpoint(log: PyFileSystem) -> int | None:
    """The newest checkpoint according to the log; None without one."""
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
