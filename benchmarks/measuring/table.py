"""Readable tables on the terminal."""

from collections.abc import Sequence


def lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned lines: the first column to the left, the others to the right."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(header))]
    shown = [
        "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in table)
    ]
    return [shown[0], "-" * len(shown[0]), *shown[1:]]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a titled table at once: a long benchmark should be seen to move."""
    print("\n".join([f"\n{title}", *(f"  {line}" for line in lines(header, rows))]), flush=True)


def verdict(reached: bool) -> str:
    """How a figure stands to its target."""
    return "reached" if reached else "MISSED"
