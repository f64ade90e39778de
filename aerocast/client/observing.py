"""Readings as the bodies of posts: dictionaries as JSON, tables as Arrow streams, in parts that the server takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
# Below the server's limits on readings, values and bytes of a body (serving/readings.py).
MOST_OBJECTS, MOST_ROWS, MOST_BYTES = 10_000, 50_000, 4 << 20

Rows: TypeAlias = "Sequence[Mapping[str, Any]] | pa.Table | pd.DataFrame"


class Acceptance(NamedTuple):
    """What the server has on its disk: how many readings, by the ids of the posts.

    `duplicates` were posted before under the same key and are there once; `ignored` are fields that the feed does not
    declare. What is well-formed is accepted, and judged later: a value out of range is quarantined with its reason.
    """

    accepted: int
    duplicates: int
    ignored: tuple[str, ...]
    ids: tuple[str, ...]


class Part(NamedTuple):
    """The body of one post, and which reading of all is its first."""

    kind: str
    body: bytes
    first: int


def parts(rows: Rows) -> Iterator[Part]:
    """The rows as bodies, at least one, in order. A data frame's index counts where it has a name."""
    if isinstance(rows, pa.Table):
        return _streams(rows)
    if hasattr(rows, "columns"):
        return _streams(pa.Table.from_pandas(rows))
    return _arrays(rows)


def _streams(rows: pa.Table) -> Iterator[Part]:
    size = max(1, rows.nbytes // max(1, len(rows)))
    step = max(1, min(MOST_ROWS, MOST_BYTES // size))
    for first in range(0, max(1, len(rows)), step):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.slice(first, step))
        yield Part(ARROW, sink.getvalue().to_pybytes(), first)


def _arrays(rows: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    for first in range(0, max(1, len(rows)), MOST_OBJECTS):
        body = msgspec.json.encode([dict(each) for each in rows[first : first + MOST_OBJECTS]], enc_hook=_number)
        yield Part(JSON, body, first)


def _number(value: Any) -> Any:
    """A number of numpy's, as Python has it. Raises TypeError for what JSON has no form for."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no value of a reading")
