"""Distances between what a column showed lately and what it showed in the same season of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aerocast.drift.profile import Indices, Profile, Reals
from aerocast.drift.state import Evidence
from aerocast.feed import Feed
from aerocast.grid import Grid

BINS = 10
FLOOR = 1e-3  # share given to an empty bin, so that a logarithm exists


@dataclass(frozen=True)
class Shifts:
    """Whether the columns are distributed otherwise than ever in this season, and every test of it."""

    fired: bool
    evidence: tuple[Evidence, ...]


def compare(feed: Feed, recent: Grid, past: Profile, columns: Sequence[str]) -> Shifts:
    return Shifts(False, ())


def edges(reference: Reals) -> Reals:
    """Inner and outer edges of up to BINS bins of equal share in `reference`; what lies beyond them is "other".

    A constant reference keeps one bin around its value, so that anything else is "other" (quantile bins would collapse
    and see nothing).
    """
    low, high = float(reference.min()), float(reference.max())
    margin = max(1e-6, 1e-6 * max(abs(low), abs(high)))
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    inner = inner[(inner > low) & (inner < high)]
    found: Reals = np.concatenate([[low - margin], inner, [high + margin]])
    return found


def shares(values: Reals, cuts: Reals) -> Reals:
    """Shares of `values` in each bin, and last the share outside all bins."""
    place: Indices = np.searchsorted(cuts, values, side="right")
    outside = (place == 0) | (place == len(cuts))
    counts = np.bincount(place[~outside] - 1, minlength=len(cuts) - 1)
    found: Reals = np.append(counts, outside.sum()) / max(1, len(values))
    return found


def psi(reference: Reals, recent: Reals) -> float:
    """Population stability index with bins of the reference and an "other" bin."""
    cuts = edges(reference)
    p, q = (np.maximum(shares(values, cuts), FLOOR) for values in (reference, recent))
    return float(np.sum((q - p) * np.log(q / p)))
