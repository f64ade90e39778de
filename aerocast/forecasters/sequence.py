"""The second small graph of a release: it answers short sequences, whatever kind the champion is.

Why a graph of its own, and trees: docs/decisions/003-short-sequences.md.
"""

from __future__ import annotations

import numpy as np

from aerocast.errors import AeroCastError
from aerocast.forecasters.base import Forecaster, Log, Rows, Training, fit, silent
from aerocast.sequences import sequence_names, sequence_rows

KIND = "xgboost"


class NoSequences(AeroCastError):
    """Too few rows are whole in their newest steps: there is nothing to learn short sequences from."""

    def __init__(self, training: Training, role: str) -> None:
        spec = training.spec
        columns = ", ".join(spec.columns)
        super().__init__(f"no {role} row has {spec.steps} steps on end in which all of {columns} are measured")


def fit_sequence(training: Training, seed: int = 0, log: Log = silent) -> Forecaster:
    """A model over `sequence_names(spec)` from full feature rows, which it cuts to requests by `seed`.

    Raises:
        NoSequences: no row is whole in its newest `steps` steps.
    """
    spec, names = training.spec, training.names
    parts = []
    for offset, (role, rows) in enumerate({"training": training.train, "validation": training.validation}.items()):
        kept, x = sequence_rows(spec, names, rows.x, 2 * seed + offset)
        if not np.isfinite(rows.y[kept]).any(axis=0).all():
            raise NoSequences(training, role)
        parts.append(Rows(x, rows.y[kept]))
    return fit(KIND, Training(spec, tuple(sequence_names(spec)), *parts), {"seed": seed}, log)
