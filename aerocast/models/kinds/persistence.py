"""The baseline that nothing changes: the last value at every horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aerocast.feed.model_kind import Log, Model, Parameters

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset
    from aerocast.features.grid import Floats


@dataclass(frozen=True)
class Persistence(Model[Parameters]):
    last: int
    features: int
    horizons: int

    kind = "persistence"
    title = "Persistence"
    description = "The last value, at every horizon."
    parameters = Parameters
    is_baseline = True

    @classmethod
    def fit(cls, data: Dataset, parameters: Parameters, log: Log) -> Self:
        return cls(data.last, len(data.names), len(data.spec.horizons))

    def predict(self, x: Floats) -> Floats:
        return x[:, [self.last]].repeat(self.horizons, axis=1)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        graph.op("Gather", "features", graph.constant([self.last] * self.horizons), axis=1, output="forecast")
        return graph.model(self.features, self.horizons)
