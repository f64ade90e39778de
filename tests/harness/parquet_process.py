"""Reads Parquet files in a small process, and says what it took: python -m tests.harness.parquet_process FOLDER.

Prints a line of JSON: what became of each file, and the peaks of memory, in megabytes, of this process and its own.
"""

import json
import resource
import sys
from pathlib import Path

import pyarrow as pa

from aerocast.ingest.channels.parquet import read_columns, read_tables, stop_idle
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from tests.factories.feeds import small_feed
from tests.harness.memory import megabytes


def outcome(path: Path, home: Path) -> str:
    try:
        columns, _ = read_columns(path, definition_of(small_feed(home)))
        return f"{sum(map(len, read_tables(path, columns.names)))} rows"
    except (ReadingError, pa.ArrowException) as error:
        return "refused" if str(error) else "refused without a reason"


def main(folder: str) -> None:
    outcomes = {path.stem: outcome(path, Path(folder)) for path in sorted(Path(folder).glob("*.parquet"))}
    stop_idle()
    own, others = megabytes("VmHWM"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(json.dumps({"outcomes": outcomes, "own": own, "others": others}))


if __name__ == "__main__":
    main(sys.argv[1])
