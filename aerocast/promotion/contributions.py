"""How much each group of features moves a trial's entry on test rows: the mean size of its part at each horizon."""

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.explanations import explain
from aerocast.features.grid import WindowSpec
from aerocast.features.groups import feature_groups
from aerocast.models.inference import runner, select
from aerocast.promotion.trial import Trial

ROWS = 100  # test rows that are explained


def mean_contributions(spec: WindowSpec, trial: Trial) -> dict[str, NDArray[np.float64]]:
    """By group the mean absolute parts (H,) in the target's unit, the largest first; of a sample of the test rows.

    Empty where there is nothing to explain: no entry, or no earlier rows to explain it against.
    """
    entry, typical = trial.entry, trial.typical
    if entry is None or typical is None or not len(typical.time):
        return {}
    test = trial.samples
    sample = np.random.default_rng(0).permutation(len(test.time))[:ROWS]
    x = select(test.rows.x[np.sort(sample)], test.names, entry.features)
    groups, owner = feature_groups(spec, entry.features)
    _, parts = explain(runner(entry.serving.graph), x, select(typical.rows.x, typical.names, entry.features), owner)
    sizes = np.abs(parts).mean(axis=0)
    order = np.argsort(-sizes.mean(axis=1), kind="stable")
    return {groups[at]: sizes[at] for at in order}
