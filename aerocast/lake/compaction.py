"""Joins small files of months that are still written to: with one file an append, reads would soon be slow."""

from collections.abc import Sequence

from aerocast.lake.writing import Lake

NEWEST = 3  # months that are looked at; the others are joined at night (`aerocast.operations.retention`)
FILES, MOST = 64, 512  # files of a month from which they may be joined, and above which they are in any case
SHARE = 4  # small files are joined once they reach this part of the largest, so that few bytes are written again


def tidy(lake: Lake, name: str) -> int:
    """Joins the files of the newest months that have many, and returns how many months; none without a table."""
    sizes = lake.file_sizes(name)
    months = [month for month in sorted(sizes)[-NEWEST:] if _is_crowded(sizes[month])]
    for month in months:
        lake.compact(name, month)
    return len(months)


def _is_crowded(sizes: Sequence[int]) -> bool:
    small = sum(sizes) - max(sizes)
    return len(sizes) > FILES and (small * SHARE >= max(sizes) or len(sizes) > MOST)
