"""Recordings of whole years, which are not part of the project."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import SHARED


def recording(file: str) -> pa.Table:
    """A recorded table; the test is skipped where it is absent."""
    path = SHARED / file
    if not path.exists():
        pytest.skip(f"no test data at {path} (set AEROCAST_TEST_DATA)")
    return pq.read_table(path)
