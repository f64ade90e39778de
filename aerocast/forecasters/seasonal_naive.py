"""The baseline that a season repeats: the value of the same hour one season before the target's time.

Where that value is missing the last value stands in, so that both baselines answer the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aerocast.forecasters.base import Log, Training
from aerocast.forecasters.params import Params
from aerocast.grid import Floats

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class SeasonalNaive:
    last: int
    season: tuple[int, ...]
    features: int
    kind: str = "seasonal_naive"

    def predict(self, x: Floats) -> Floats:
        before = x[:, list(self.season)]
        return np.where(np.isnan(before), x[:, [self.last]], before)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.forecasters.graph import Graph

        graph = Graph()
        before, last = graph.columns("features", self.season), graph.columns("features", [self.last])
        graph.op("Where", graph.op("IsNaN", before), last, before, output="forecast")
        return graph.model(self.features, len(self.season))


def fit(training: Training, _params: Params, _log: Log) -> SeasonalNaive:
    spec = training.spec
    lags = [(spec.season - horizon) % spec.season for horizon in spec.horizons]
    columns = tuple(training.names.index(f"{spec.target}_lag{lag}") for lag in lags)
    return SeasonalNaive(training.last, columns, len(training.names))
