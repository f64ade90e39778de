"""A model kind of one's own: least squares on the change from the last value.

The module is imported whenever a declaration of the kind is read, so it imports numpy and the like in its functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field

from aerocast.feed.model_kind import Log, Model, Parameters

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset
    from aerocast.features.grid import Floats


class ToyParameters(Parameters):
    """What a declaration may say under `candidates.toy`."""

    penalty: float = Field(default=10.0, gt=0, description="Penalty on large weights, the same at all horizons")


class Toy(Model[ToyParameters]):
    """One weight for each feature and horizon; a missing feature counts as 0."""

    kind = "toy"
    title = "A toy"
    description = "One ridge for all horizons."
    parameters = ToyParameters

    def __init__(self, weights: Floats, last: int) -> None:
        self.weights, self.last = weights, last

    @classmethod
    def fit(cls, data: Dataset, parameters: ToyParameters, log: Log) -> Self:
        from .arithmetic import solve

        rows = data.both()
        return cls(solve(rows.x, data.change(rows), parameters.penalty), data.last)

    def predict(self, x: Floats) -> Floats:
        import numpy as np

        levels: Floats = x[:, [self.last]] + np.nan_to_num(x) @ self.weights
        return levels

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        known = graph.op("Where", graph.op("IsNaN", "features"), graph.constant(0.0), "features")
        change = graph.op("MatMul", known, graph.constant(self.weights))
        graph.op("Add", change, graph.columns("features", [self.last]), output="forecast")
        return graph.model(*self.weights.shape)
