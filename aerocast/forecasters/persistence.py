"""The baseline that nothing changes: the last value at every horizon."""

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
class Persistence:
    last: int
    features: int
    horizons: int
    kind: str = "persistence"

    def predict(self, x: Floats) -> Floats:
        return np.repeat(x[:, [self.last]], self.horizons, axis=1)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.forecasters.graph import Graph

        graph = Graph()
        graph.op("Gather", "features", graph.constant([self.last] * self.horizons), axis=1, output="forecast")
        return graph.model(self.features, self.horizons)


def fit(training: Training, _params: Params, _log: Log) -> Persistence:
    return Persistence(training.last, len(training.names), len(training.spec.horizons))
