"""Ridge on the change: plain, or with every feature also times the hour's sine and cosine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pydantic import Field

from aerocast.feed.model_kind import Log, Model, Parameters, Positive

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset, Rows
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._ridge import Ridge


class LinearParameters(Parameters):
    """Ridge regression on the change from the last value."""

    penalties: tuple[Positive, ...] = Field(
        default=(30.0, 300.0, 3000.0, 10000.0, 30000.0),
        min_length=1,
        description="Penalties to try; validation rows choose one for each horizon",
    )


@dataclass(frozen=True)
class Linear(Model[LinearParameters]):
    ridge: Ridge
    last: int

    kind = "linear"
    title = "Ridge"
    description = "A weighted sum of all features, with weights that may turn with the hour of day."
    parameters = LinearParameters

    @classmethod
    def fit(cls, data: Dataset, parameters: LinearParameters, log: Log) -> Self:
        """Chooses form and penalty of each horizon on validation rows."""
        from aerocast.models.kinds._ridge import choose

        return cls(choose(data, parameters.penalties, log), data.last)

    def refit(self, data: Dataset, rows: Rows) -> Self:
        return replace(self, ridge=self.ridge.refit(data, rows))

    def predict(self, x: Floats) -> Floats:
        return x[:, [self.last]] + self.ridge.change(x)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph = GraphBuilder()
        change = self.ridge.to_graph(graph)
        graph.op("Add", change, graph.columns("features", [self.last]), output="forecast")
        return graph.model(len(self.ridge.design.mean), len(self.ridge.bias))
