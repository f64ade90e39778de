"""Ridge on weeks of the target's own past, for forecasts many seasons ahead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pydantic import Field

from aerocast.feed.model_kind import Log, Model, Parameters, Positive

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset, Rows
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._long_ridge import LongRidge


class LongLinearParameters(Parameters):
    """Ridge regression on the target's profile (`window.profile`)."""

    penalties: tuple[Positive, ...] = Field(
        default=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        min_length=1,
        description="Penalties to try, as shares of the rows; validation rows choose one for each horizon",
    )


@dataclass(frozen=True)
class LongLinear(Model[LongLinearParameters]):
    ridge: LongRidge
    last: int
    features: int

    kind = "long_linear"
    title = "Long ridge"
    description = "A weighted sum of the target's last weeks, step by step, for forecasts many seasons ahead."
    parameters = LongLinearParameters
    takes_covariates = False

    @classmethod
    def fit(cls, data: Dataset, parameters: LongLinearParameters, log: Log) -> Self:
        """Chooses penalty and level of each horizon on validation rows."""
        from aerocast.models.kinds._long_ridge import choose

        return cls(choose(data, parameters.penalties, log), data.last, len(data.names))

    def refit(self, data: Dataset, rows: Rows) -> Self:
        return replace(self, ridge=self.ridge.refit(data, rows))

    def predict(self, x: Floats) -> Floats:
        return x[:, [self.last]] + self.ridge.change(x)

    def to_onnx(self) -> onnx.ModelProto:
        from aerocast.models.kinds._onnx import GraphBuilder

        graph, ridge = GraphBuilder(), self.ridge
        past = graph.columns("features", ridge.columns)
        past = graph.op("Where", graph.op("IsNaN", past), graph.constant(0.0), past)
        change = graph.op("Add", graph.op("MatMul", past, graph.constant(ridge.weights)), graph.constant(ridge.bias))
        graph.op("Add", change, graph.columns("features", [self.last]), output="forecast")
        return graph.model(self.features, len(ridge.bias))
