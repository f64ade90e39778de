"""The baseline that a season repeats: the value of the same hour one season before the target's time.

Where that value is missing the last value stands in, so that both baselines answer the same rows.
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
    season: tuple[int, ...]
    features: int

    kind = "seasonal_naive"
    title = "Seasonal naive"
    description = "The value one season before the target's time."
    parameters = Parameters
    is_baseline = True

    @classmethod
    def fit(cls, data: Dataset, parameters: Parameters, log: Log) -> Self:
        spec = data.spec
        lags = [(spec.season - horizon) % spec.season for horizon in spec.horizons]
        columns = tuple(data.names.index(f"{spec.target}_lag{lag}") for lag in lags)
        return cls(data.last, columns, len(data.names))

    def predict(self, x: Floats) -> Floats:
        import numpy as np

        before = x[:, list(self.season)]
        return np.where(np.isnan(before), x[:, [self.last]], before)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        before, last = graph.columns("features", self.season), graph.columns("features", [self.last])
        graph.op("Where", graph.op("IsNaN", before), last, before, output="forecast")
        return graph.model(self.features, len(self.season))
