"""DuckDB's view of an object store: data files are asked about once."""

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from obstore.fsspec import FsspecStore

from aerocast.lake import Lake
from aerocast.storage.home import ObjectHome


def test_data_file_is_requested_once(bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = FsspecStore._info

    async def info(self: FsspecStore, path: str, **kwargs: Any) -> dict[str, Any]:
        asked.append(path)
        return await real(self, path, **kwargs)

    lake, moment = Lake(bucket), datetime(2024, 1, 1, tzinfo=UTC)
    for value in (1.0, 2.0):
        rows = pa.table({"month": ["2024-01"], "time": pa.array([moment], pa.timestamp("us", "UTC")), "value": [value]})
        lake.replace("noaa/silver", rows, ["2024-01"])
        monkeypatch.setattr(FsspecStore, "_info", info)
        for _ in range(3):
            with duckdb.connect() as con:
                assert lake.relation(con, "noaa/silver").select("value").fetchall() == [(value,)]
        assert len(asked) == len(set(asked)) <= 1, "what replaced the file has another name"
        asked.clear()
        monkeypatch.undo()
