"""What is so in a case, settled before any detector runs: by what was injected, and by two oracles.

Both learn from the new regime up to the after-rows, as nobody could while it began, and are scored there beside the
champion that never saw it: one from the new regime alone, one also from all before it. A change of the world is `drift`
if the better cuts the champion's error by LEARNABLE or more: there is something to learn, so the loop must retrain.
Below NEGLIGIBLE it is `quiet`: reporting a covariate shift is right, retraining is not. In between (`grey`) either is
right, and the case counts neither as found nor as missed. `shift` is a published change that must be reported, whether
or not retraining pays. Recovery is measured against the oracle of the new regime alone.
What an oracle would have gained by the season alone, with nothing injected, is no merit of the change: it is taken off
before LEARNABLE is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Ints
from aerocast.feed.declaration import Feed
from measuring.champions import Champion, alone, freely, learn, rmse, utc
from measuring.faults import Injected
from measuring.loop import outcome_errors, replay
from measuring.series import grid

LEARNABLE, NEGLIGIBLE = 0.15, 0.05
Expected = Literal["quiet", "shift", "drift", "grey", "sensor"]
ACCEPTED: Mapping[Expected, frozenset[str]] = {
    "quiet": frozenset({"ok", "covariate_shift"}),
    "shift": frozenset({"covariate_shift", "concept_drift"}),
    "drift": frozenset({"concept_drift"}),
    "grey": frozenset({"ok", "covariate_shift", "concept_drift"}),
    "sensor": frozenset({"sensor_fault"}),
}


@dataclass(frozen=True, eq=False)
class Case:
    """One run: `live` is the row where serving begins, `after` how many of the last rows judge the recovery.

    `expected` is given where a published fact settles it; None leaves a change of the world to the oracle. `accepted`
    adds diagnoses that are right too. `source` names the base series.
    """

    scenario: str
    seed: int
    feed: Feed
    injected: Injected
    live: int
    after: int
    every: int = 24
    expected: Expected | None = None
    accepted: frozenset[str] = frozenset()
    source: str = ""

    @property
    def target(self) -> int:
        return self.injected.world.columns.index(self.feed.targets[0])


@dataclass(frozen=True, eq=False)
class Truth:
    """`gain` is what the better oracle cuts off the champion's error on the after-rows; errors are (after, H)."""

    expected: Expected
    gain: float
    oracle: NDArray[np.float64] | None
    frozen: NDArray[np.float64]


def errors(case: Case, levels: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """True value - forecast (n, H) at rows `first` .. of the world, whatever the sensor said."""
    world = case.injected.world.values[first : first + len(levels), case.target]
    return outcome_errors(world, levels, case.feed.horizons)


def settle(case: Case, champion: Champion, seasonal: float = 0.0) -> Truth:
    """The truth of a case; `seasonal` is the gain of the same rows with nothing injected, where that is known."""
    world, rows = case.injected.world, len(case.injected.world.time)
    after = np.arange(rows - case.after, rows)
    frozen = errors(case, replay(champion, world, case.feed, after), int(after[0]))
    if case.injected.cause == "sensor":
        return Truth("sensor", float("nan"), None, frozen)
    found = _oracles(case, after)
    if not found:
        return Truth(
            case.expected or ("quiet" if case.injected.cause == "none" else "grey"), float("nan"), None, frozen
        )
    seen = np.logical_and.reduce([np.isfinite(table) for table in (*found, frozen)])
    frozen, *found = (np.where(seen, table, np.nan) for table in (frozen, *found))
    gain = 1 - min(map(rmse, found)) / rmse(frozen)
    return Truth(case.expected or _expected(case, gain, seasonal), gain, found[0], frozen)


def _expected(case: Case, gain: float, seasonal: float) -> Expected:
    if case.injected.cause == "none" or gain <= NEGLIGIBLE:
        return "quiet"
    return "drift" if gain - max(0.0, seasonal) >= LEARNABLE else "grey"


def _oracles(case: Case, after: Ints) -> list[NDArray[np.float64]]:
    """Errors (after, H) of the oracle of the new regime alone, and of the one that knows what was before; or none."""
    world, first, gaps = case.injected.world, int(after[0]), case.feed.gap_policy.max_steps
    alike = alone(case.feed, grid(world.cut(case.injected.onset, first), gaps))
    if alike is None:
        return []
    known, since = grid(world.cut(0, first), gaps), utc(world.time[case.injected.onset])
    knowing = learn(freely(case.feed), known, None, since).champion
    return [errors(case, replay(each, world, case.feed, after), first) for each in (alike, knowing) if each]
