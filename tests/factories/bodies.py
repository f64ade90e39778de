"""Request bodies of readings."""

from typing import Any

import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


def arrow_stream(**columns: Any) -> bytes:
    """Columns as the body of a post in Arrow's stream format."""
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
