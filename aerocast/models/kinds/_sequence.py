"""The second small graph of a release: it answers short sequences, whatever kind the champion is.

Why a graph of its own, and trees: docs/decisions/003-short-sequences.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from aerocast.feed.model_kind import Log, Untrainable
from aerocast.models.kinds.xgboost import Xgboost, XgboostParameters

if TYPE_CHECKING:
    from aerocast.features.dataset import Dataset, Rows


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
        return super().fit(_requests(data, parameters.seed), parameters, log)

    def refit(self, data: Dataset, rows: Rows) -> Self:
        seed = self.sharp[0].settings["seed"]
        return super().refit(_requests(data, seed), _requests(replace(data, train=rows), seed).train)

    def decisive(self, at: int) -> tuple[int, ...]:
        return ()  # its columns are those of requests, not of the rows that it was given


def _requests(data: Dataset, seed: int) -> Dataset:
    """The same rows cut to requests by the seed. Raises Untrainable: no row of a part is whole."""
    import numpy as np

    from aerocast.features.dataset import Dataset, Rows
    from aerocast.features.sequences import none_whole, sequence_names, sequence_rows

    spec, names = data.spec, data.names
    parts = []
    for offset, (role, rows) in enumerate({"training": data.train, "validation": data.validation}.items()):
        whole, x = sequence_rows(spec, names, rows.x, 2 * seed + offset)
        if not np.isfinite(rows.y[whole]).any(axis=0).all():
            raise Untrainable(none_whole(spec, role))
        parts.append(Rows(x, rows.y[whole]))
    return Dataset(spec, tuple(sequence_names(spec)), *parts)
