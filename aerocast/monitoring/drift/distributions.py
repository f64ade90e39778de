"""Measures how far a column's newest values are from those of the same season in the reference.

Spring is not drift, so the reference is the days of the year around now, in every year it has. Days depend on one
another, so no distance is held against a p-value: blocks of the reference as long as the recent one, each against the
rest of the same season, say how far such a block strays anyhow. A reference without this season can only say how
readings step from one to the next; then steps are compared, and the evidence says so.

PSI and Jensen-Shannon use bins fixed by the reference and one for what lies beyond them; Wasserstein is in standard
deviations of the reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from aerocast.contracts.drift_state import Evidence
from aerocast.features.grid import Grid, Times
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.profile import SEASON_DAYS, Flags, Indices, Profile, Reals, day_of_year, measured_values

TESTS = ("psi", "ks", "wasserstein", "jensen_shannon")
BINS = 10
FLOOR = 1e-3  # share given to an empty bin, so that a logarithm exists
BLOCK_DAYS = 14  # newest days that are compared; a week of one weather strays from every season
LEAST_DAYS = 3
STRIDE_DAYS = 3  # between blocks of the reference
SEASON_LEAST = 20  # measured days of the season below which only steps can be compared
AGREE = 3  # tests of a column that must fire together
YEARS_MARGIN = 1.5  # beyond the farthest block of a reference that knows this season of several years
YEAR_MARGIN = 2.0  # of one year: years differ more than the weeks of one
# Distances that are no shift however alike the blocks of the reference are.
LEAST = {"psi": 0.5, "ks": 0.25, "wasserstein": 0.35, "jensen_shannon": 0.25}


@dataclass(frozen=True)
class Shifts:
    """Whether the columns are distributed otherwise than ever in this season, and every test of it."""

    fired: bool
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, eq=False)
class Season:
    """A column's season: sorted `values` (n,), its bins' `cuts`, each test's limit; `steps`: changes are compared."""

    values: Reals
    cuts: Reals
    limits: dict[str, float]
    steps: bool


def compare(feed: Feed, recent: Grid, past: Profile, columns: Sequence[str]) -> Shifts:
    """Every test of every column of both grids; `recent` is cut to its newest BLOCK_DAYS whole days."""
    days = min(BLOCK_DAYS, len(recent.time) // past.per_day) if past.per_day > 1 else len(recent.time)
    if days < LEAST_DAYS:
        return Shifts(False, ())
    newest = recent.tail(days * past.per_day)
    values = measured_values(newest)
    circular = {column.name for column in feed.columns if column.circular}
    evidence: list[Evidence] = []
    for column in columns:
        if column in circular or column not in newest.columns or column not in past.columns:
            continue
        season = _season(past, column, newest.time)
        if season is not None:
            evidence += _column(column, values[:, newest.columns.index(column)], season)
    counts = {name: sum(each.fired for each in evidence if each.subject == name) for name in columns}
    return Shifts(any(count >= AGREE for count in counts.values()), tuple(evidence))


def distances(reference: Reals, cuts: Reals, recent: Reals) -> dict[str, float]:
    """The four distances of a sample from a reference, both without NaN."""
    stats: Any = import_module("scipy.stats")
    deviation = float(np.std(reference))
    distance = float(stats.wasserstein_distance(reference, recent))
    return {
        "psi": psi(shares(reference, cuts), shares(recent, cuts)),
        "ks": float(stats.ks_2samp(reference, recent, method="asymp").statistic),
        "wasserstein": distance / deviation if deviation > 0 else (0.0 if distance == 0 else float("inf")),
        "jensen_shannon": jensen_shannon(shares(reference, cuts), shares(recent, cuts)),
    }


def edges(reference: Reals) -> Reals:
    """Edges of up to BINS bins of equal share in `reference`; what lies beyond them is "other".

    A constant reference keeps one bin around its value, so that anything else is "other" (quantile bins would collapse
    and see nothing).
    """
    low, high = float(reference.min()), float(reference.max())
    margin = max(1e-6, 1e-6 * max(abs(low), abs(high)))
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    inner = inner[(inner > low) & (inner < high)]
    return np.concatenate([[low - margin], inner, [high + margin]])


def shares(values: Reals, cuts: Reals) -> Reals:
    """Shares of `values` in each bin, and last the share outside all bins."""
    bin_of: Indices = np.searchsorted(cuts, values, side="right")
    outside = (bin_of == 0) | (bin_of == len(cuts))
    counts = np.bincount(bin_of[~outside] - 1, minlength=len(cuts) - 1)
    return np.append(counts, outside.sum()) / max(1, len(values))


def psi(reference: Reals, recent: Reals) -> float:
    """Population stability index of two rows of shares."""
    p, q = np.maximum(reference, FLOOR), np.maximum(recent, FLOOR)
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: Reals, recent: Reals) -> float:
    """Jensen-Shannon distance (base 2) of two rows of shares: 0 for the same, 1 for disjoint ones."""
    distance: Any = import_module("scipy.spatial.distance")
    return float(distance.jensenshannon(reference, recent, base=2))


def _column(column: str, values: Reals, season: Season) -> list[Evidence]:
    sample = np.diff(values) if season.steps else values
    sample = sample[np.isfinite(sample)]
    if len(sample) < max(12, len(values) // 3):
        return []
    what = "changes from step to step (the reference lacks this season)" if season.steps else "the same season"
    distance_of = distances(season.values, season.cuts, sample)
    return [
        Evidence(
            test,
            column,
            distance_of[test],
            season.limits[test],
            distance_of[test] > season.limits[test],
            f"{column}: {test} of {len(sample)} newest readings from {what} of the reference",
        )
        for test in TESTS
    ]


def _season(past: Profile, column: str, time: Times) -> Season | None:
    """The column's season around the middle of `time`, cached in the profile; None if the reference is too short."""
    middle, size = time[len(time) // 2 : len(time) // 2 + 1], len(time)
    fortnight = int(day_of_year(middle)[0] // 15)
    key = ("season", column, fortnight, size)
    return past.remember(key, lambda: _learn_season(past, column, fortnight * 15 + 7, size))


def _learn_season(past: Profile, column: str, day: float, size: int) -> Season | None:
    values = past.column(column)
    apart = np.abs(past.day - day)
    near = np.minimum(apart, 365.25 - apart) <= SEASON_DAYS
    steps = np.isfinite(values[near]).sum() < SEASON_LEAST * past.per_day
    if steps:
        values, near = np.append(np.diff(values), np.nan), np.ones(len(values), dtype=bool)
    season = near & np.isfinite(values)
    if season.sum() < 3 * size:
        return None
    pool = np.sort(values[season])
    cuts = edges(pool)
    years = len(np.unique(past.time[season].astype("datetime64[Y]")))
    margin = YEARS_MARGIN if years > 1 else YEAR_MARGIN
    farthest = _farthest_block(values, near, cuts, size, max(1, STRIDE_DAYS * past.per_day * (4 if steps else 1)))
    limits = {test: max(LEAST[test], margin * farthest[test]) for test in TESTS}
    # Two of the four cannot exceed 1, so a wild season must not put them out of reach.
    limits |= {test: min(limits[test], 0.9) for test in ("ks", "jensen_shannon")}
    return Season(pool, cuts, limits, bool(steps))


def _farthest_block(values: Reals, near: Flags, cuts: Reals, size: int, stride: int) -> dict[str, float]:
    """How far the farthest block strays from the rest of the season, for each test."""
    most = dict.fromkeys(TESTS, 0.0)
    mask = near & np.isfinite(values)
    for start in range(0, len(values) - size + 1, stride):
        block = slice(start, start + size)
        if mask[block].sum() < size // 2:
            continue
        rest = mask.copy()
        rest[max(0, start - size // 2) : start + size + size // 2] = False  # neighbours share its weather
        if rest.sum() < size:
            continue
        distance_of = distances(values[rest], cuts, values[block][mask[block]])
        most = {test: max(most[test], distance_of[test]) for test in TESTS}
    return most
