"""Small files joined while a month is still written to: one file an append would make reading dear within days."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from aerocast.lake.reading import PARTITION
from aerocast.lake.writing import Lake

NEWEST = (
    3  # months that are looked at; what came late into others is joined at night (`aerocast.operations.maintenance`)
)
FILES, MOST = 64, 512  # files of a month at which they may be joined, and are in any case
SHARE = 4  # small files are joined once they are this part of the largest, so that few bytes are written again


def tidy(lake: Lake, name: str) -> int:
    """Joins the files of the newest months that are crowded, if there is such a table; how many months."""
    if not lake.exists(name):
        return 0
    sizes: dict[str, list[int]] = {}
    for month, size in _sizes(lake, name):
        sizes.setdefault(month, []).append(size)
    months = [month for month in sorted(sizes)[-NEWEST:] if _is_crowded(sizes[month])]
    for month in months:
        lake.compact(name, month)
    return len(months)


def _is_crowded(sizes: Sequence[int]) -> bool:
    small = sum(sizes) - max(sizes)
    return len(sizes) > FILES and (small * SHARE >= max(sizes) or len(sizes) > MOST)


def _sizes(lake: Lake, name: str) -> list[tuple[str, int]]:
    """The month and the bytes of each file."""
    actions: pa.Table = pa.RecordBatchReader.from_stream(lake.opened(name).get_add_actions(flatten=True)).read_all()
    columns: Mapping[str, list[object]] = actions.select([f"partition.{PARTITION}", "size_bytes"]).to_pydict()
    return [(str(month), int(str(size))) for month, size in zip(*columns.values(), strict=True)]
