"""The second small graph of a release: it answers short sequences, whatever kind the champion is.

Why a graph of its own, and trees: docs/decisions/003-short-sequences.md.
"""

from __future__ import annotations

from aerocast.forecasters.base import Forecaster, Log, Rows, Training, fit, silent
from aerocast.sequences import sequence_names, sequence_rows

KIND = "xgboost"


def fit_sequence(training: Training, seed: int = 0, log: Log = silent) -> Forecaster:
    """A model over `sequence_names(spec)` from full feature rows, which it cuts to requests by `seed`.

    Raises:
        AeroCastError: no row is whole in its newest `steps` steps.
    """
    spec, names = training.spec, training.names
    parts = []
    for offset, rows in enumerate((training.train, training.validation)):
        kept, x = sequence_rows(spec, names, rows.x, 2 * seed + offset)
        parts.append(Rows(x, rows.y[kept]))
    return fit(KIND, Training(spec, tuple(sequence_names(spec)), *parts), {"seed": seed}, log)
