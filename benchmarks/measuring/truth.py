"""What is so in a case, settled before any detector runs: by what was injected, and by an oracle.

The oracle is a model of the feed's kind trained on the new regime alone, up to the after-rows, and scored there beside
the champion that never saw it. A change of the world is `drift` if that cuts the error by LEARNABLE or more: then
there is something to learn and the loop must retrain. Below NEGLIGIBLE it is `quiet`: reporting a covariate shift is
right, retraining is not. In between (`grey`) either is right, and the case counts neither as found nor as missed.
`shift` is a published change that must be reported, whether or not retraining pays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aerocast.feed import Feed
from measuring.champions import Champion, alone, rmse
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
    """`gain` is the share that the oracle cuts off the champion's error on the after-rows; errors are (after, H)."""

    expected: Expected
    gain: float
    oracle: NDArray[np.float64] | None
    frozen: NDArray[np.float64]


def errors(case: Case, levels: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """True value - forecast (n, H) at rows `first` .. of the world, whatever the sensor said."""
    world = case.injected.world.values[first : first + len(levels), case.target]
    return outcome_errors(world, levels, case.feed.horizons)


def settle(case: Case, champion: Champion) -> Truth:
    """The truth of a case; the oracle is trained only where it decides or judges something."""
    world, rows = case.injected.world, len(case.injected.world.time)
    after = np.arange(rows - case.after, rows)
    frozen = errors(case, replay(champion, world, case.feed, after), int(after[0]))
    if case.injected.cause == "sensor":
        return Truth("sensor", float("nan"), None, frozen)
    if case.injected.cause == "none":
        return Truth(case.expected or "quiet", float("nan"), None, frozen)
    regime = world.cut(case.injected.onset, int(after[0]))
    oracle = alone(case.feed, grid(regime, case.feed.gap_policy.max_steps))
    if oracle is None:
        return Truth(case.expected or "grey", float("nan"), None, frozen)
    found = errors(case, replay(oracle, world, case.feed, after), int(after[0]))
    both = np.isfinite(found) & np.isfinite(frozen)
    found, frozen = np.where(both, found, np.nan), np.where(both, frozen, np.nan)
    gain = 1 - rmse(found) / rmse(frozen)
    expected: Expected = "drift" if gain >= LEARNABLE else "quiet" if gain <= NEGLIGIBLE else "grey"
    return Truth(case.expected or expected, gain, found, frozen)
