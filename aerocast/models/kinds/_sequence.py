"""The second small graph of a release: it answers short sequences, whatever kind the champion is.

Why a graph of its own, and trees: docs/decisions/003-short-sequences.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aerocast.feed.model_kind import Log, Untrainable
from aerocast.models.kinds.xgboost import Xgboost, XgboostParameters

if TYPE_CHECKING:
    from aerocast.features.dataset import Dataset


@dataclass(frozen=True)
class Sequence(Xgboost):
    """Boosted trees over `sequence_names(spec)`, from full feature rows that are cut to requests by the seed."""

    kind = "sequence"
    title = "Short sequences"
    description = "What a request of a few steps holds, by boosted trees; it serves beside whichever candidate does."
    learns_sequences = True

    @classmethod
    def fit(cls, data: Dataset, parameters: XgboostParameters, log: Log) -> Self:
        """Raises Untrainable: no row is whole in its newest `steps` steps."""
        import numpy as np

        from aerocast.features.dataset import Dataset, Rows
        from aerocast.features.sequences import none_whole, sequence_names, sequence_rows

        spec, names = data.spec, data.names
        parts = []
        for offset, (role, rows) in enumerate({"training": data.train, "validation": data.validation}.items()):
            whole, x = sequence_rows(spec, names, rows.x, 2 * parameters.seed + offset)
            if not np.isfinite(rows.y[whole]).any(axis=0).all():
                raise Untrainable(none_whole(spec, role))
            parts.append(Rows(x, rows.y[whole]))
        return super().fit(Dataset(spec, tuple(sequence_names(spec)), *parts), parameters, log)
