"""The history of predictions, as the platform writes it and the server reads it: a CSV file a month of target times.

`<home>/exports/<feed>/prediction_history/<YYYY-MM>.csv` has a row an evaluated forecast, in the order of `Key`. A month
is replaced as a whole when its outcomes change. A reader finds a time by bisection: what it reads does not grow with
the month.
The server imports this module: the standard library only.
"""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from aerocast.common.errors import AeroCastError
from aerocast.storage.home import Home

FOLDER = "prediction_history"
COLUMNS = (
    *("time", "target", "station", "horizon", "origin", "issued_at", "forecast", "lower", "upper", "level", "actual"),
    *("actual_from", "error", "inside", "persistence", "seasonal_naive", "version", "model", "shadow", "degraded"),
    *("reasons", "id", "asked"),
)
REASONS = "; "  # between the reasons of a row
LONGEST_LINE = 64 << 10
NEAR = 32 << 10  # bytes that are rather read than bisected
_FILE = re.compile(r"(\d{4}-\d{2})\.csv")
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ,")
_TIME_SIZE = 20


class Key(NamedTuple):
    """The place of a row in its file, and in all files: as printed, an empty text first."""

    time: str
    target: str
    station: str
    horizon: int
    issued_at: str
    id: str
    shadow: str

    @classmethod
    def of(cls, row: dict[str, str]) -> "Key":
        """Raises ValueError for a horizon that is no number."""
        first, last = (row["time"], row["target"], row["station"]), (row["issued_at"], row["id"], row["shadow"])
        return cls(*first, int(row["horizon"]), *last)


def place(home: Home, feed: str) -> Path:
    """The folder of the months' files."""
    return Path(home) / "exports" / feed / FOLDER


def months(home: Home, feed: str) -> list[str]:
    """The months of which there is a file, oldest first."""
    try:
        names = os.listdir(place(home, feed))
    except FileNotFoundError:
        return []
    return sorted(match[1] for match in map(_FILE.fullmatch, names) if match)


def rows(path: Path, start: str) -> Iterator[dict[str, str]]:
    """The rows of a month from the time `start` on (`2026-01-05T12:00:00Z`), by column, in their order.

    Raises:
        AeroCastError: it is no such file.
    """
    with open(path, "rb") as stream:
        header = stream.readline(LONGEST_LINE).decode(errors="replace").strip().split(",")
        if missing := {*COLUMNS} - {*header}:
            raise AeroCastError(f"{path.name} has no columns {', '.join(sorted(missing))}")
        _seek(stream, start.encode())
        for cells in csv.reader(_records(path, stream)):
            if len(cells) != len(header):
                raise AeroCastError(f"{path.name} has a row of {len(cells)} cells instead of {len(header)}")
            if cells[0] >= start:
                yield dict(zip(header, cells, strict=True))


def _seek(stream: BinaryIO, start: bytes) -> None:
    """Goes to the beginning of a row at or before the first of the time `start`, and near it."""
    low, high = stream.tell(), stream.seek(0, os.SEEK_END)
    while high - low > NEAR:
        at, time = _row_after(stream, (low + high) // 2, high)
        if time < start and at < high:
            low = at
        else:
            high = (low + high) // 2
    stream.seek(low)


def _row_after(stream: BinaryIO, at: int, end: int) -> tuple[int, bytes]:
    """Where the first row that begins after `at` begins, and its time; `end` if there is none before it."""
    stream.seek(at)
    stream.readline(LONGEST_LINE)
    while (at := stream.tell()) < end:
        line = stream.readline(LONGEST_LINE)
        if _TIME.match(line):
            return at, line[:_TIME_SIZE]
    return end, b""


def _records(path: Path, stream: BinaryIO) -> Iterator[str]:
    while line := stream.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise AeroCastError(f"{path.name} has a line of {LONGEST_LINE} bytes or more")
        yield line.decode(errors="replace")
