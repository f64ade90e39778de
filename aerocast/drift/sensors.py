"""Can a sensor be believed: each test against what the same sensor did in its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aerocast.drift.profile import Indices, Reals

RUN_FLOOR = 6  # identical readings that any hourly sensor may give
RUN_MARGIN = 1.5  # a stuck sensor outlasts the reference's longest run by this factor


@dataclass(frozen=True)
class Found:
    """A fault in one column: steps [start, end) of the examined grid; `end` None while it lasts."""

    column: str
    kind: str
    start: int
    end: int | None
    value: float
    threshold: float
    detail: str


def runs(values: Reals) -> tuple[Indices, Indices, Reals]:
    """Runs of identical measured values: their first and last row and their value; missing rows break none."""
    rows = np.flatnonzero(np.isfinite(values))
    if not len(rows):
        return rows, rows, np.empty(0)
    seen = values[rows]
    first = np.flatnonzero(np.append(True, seen[1:] != seen[:-1]))
    last = np.append(first[1:], len(rows)) - 1
    return rows[first], rows[last], seen[first]


def flat_line(column: str, recent: Reals, reference: Reals) -> Found | None:
    """The longest run at the end of `recent` that the reference never had at that value nor, by a margin, at any."""
    starts, ends, held = runs(recent)
    if not len(starts):
        return None
    past_starts, past_ends, past = runs(reference)
    lengths = past_ends - past_starts + 1
    for start, end, value in zip(starts[::-1], ends[::-1], held[::-1], strict=True):
        same = lengths[past == value]
        limit = max(RUN_FLOOR, RUN_MARGIN * np.quantile(lengths, 0.999), 3 * same.max() if len(same) else 0)
        if end - start + 1 > limit:
            over = None if end == starts[-1] or end == ends[-1] else int(end) + 1
            said = f"{column} stood at {value:g} for {end - start + 1} steps; the reference's limit is {limit:.0f}"
            return Found(column, "flat_line", int(start), over, float(end - start + 1), float(limit), said)
    return None
