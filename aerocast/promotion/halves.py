"""Forecasts of a release for the test against the incumbent, without the flattery of stand-ins chosen on the same rows.

What stands in for the challenger is chosen by the rows that judge, so on these rows it cannot but look good: where
challenger and incumbent are equal and near the baselines, the test would find a gain three times as often as it says.
So each half of the time is forecast by the columns that the other half asks for (cross-fitting: Chernozhukov et al.
2018): what is tested is the choice, on rows that had no say in it.
"""

from collections.abc import Mapping

import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Floats
from aerocast.promotion.gate import Column, pass_columns
from aerocast.promotion.scoring import score
from aerocast.tables.training import Samples


def levels(
    test: Samples,
    horizons: tuple[int, ...],
    forecasts: Mapping[str, Floats],
    challenger: Mapping[int, str],
    columns: Mapping[int, Column],
    incumbent: str | None,
    least: float,
) -> Floats:
    """(n, H) forecasts of a challenger (kind by horizon) with stand-ins, of all `forecasts` (n, H) by name.

    `columns` are what all rows ask for; they stand where a half has no row to score at some horizon.
    """
    early = test.time < np.quantile(test.time.astype(np.int64), 0.5).astype(test.time.dtype)
    result = np.empty_like(test.rows.y)
    for mine, others in ((early, ~early), (~early, early)):
        try:
            part = {name: each[others] for name, each in forecasts.items()}
            scores = score(part, test.rows.y[others], test.station[others], horizons)
            own: Mapping[int, Column] = pass_columns(scores, challenger, incumbent, least)
        except AeroCastError:
            own = columns
        for at, column in enumerate(own.values()):
            result[mine, at] = forecasts[column.model][mine, at]
    return result
