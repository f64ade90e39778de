"""The baseline that a season repeats: the value at the same local hour one season before the target's time.

Of several seasons, validation rows choose one for each horizon. Where that value is missing the last value stands in,
so that both baselines answer the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aerocast.feed.model_kind import Log, Model, Parameters

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset
    from aerocast.features.grid import Floats


@dataclass(frozen=True)
class SeasonalNaive(Model[Parameters]):
    last: int
    before: tuple[int, ...]  # for each horizon, the feature of its season
    features: int

    kind = "seasonal_naive"
    title = "Seasonal naive"
    description = "The value one season before the target's time; of several, each horizon's best."
    parameters = Parameters
    is_baseline = True

    @classmethod
    def fit(cls, data: Dataset, parameters: Parameters, log: Log) -> Self:
        import numpy as np

        from aerocast.features.dataset import rmse

        spec, rows, own = data.spec, data.validation, dict[int, tuple[float, int]]()
        for step, season in enumerate(spec.seasons):
            columns = [data.names.index(f"{spec.target}_season{season}_{horizon}") for horizon in spec.horizons]
            errors = rmse(cls(data.last, tuple(columns), len(data.names)).predict(rows.x), rows.y)
            log(step, {f"{cls.loss}_{h}": float(e) for h, e in zip(spec.horizons, errors, strict=True)})
            for at, each in enumerate(zip(errors.tolist(), columns, strict=True)):
                own[at] = min(own.get(at, (np.inf, 0)), each)
        return cls(data.last, tuple(column for _, column in own.values()), len(data.names))

    def predict(self, x: Floats) -> Floats:
        import numpy as np

        before = x[:, list(self.before)]
        return np.where(np.isnan(before), x[:, [self.last]], before)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        before, last = graph.columns("features", self.before), graph.columns("features", [self.last])
        graph.op("Where", graph.op("IsNaN", before), last, before, output="forecast")
        return graph.model(self.features, len(self.before))
